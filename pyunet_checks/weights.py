"""Weight maps: zero, negative, huge, of other labels."""

from __future__ import annotations

import numpy as np

from pyunet_checks.findings import Finding, listed
from pyunet_checks.pairs import check_pairs
from pyunet_checks.sources import Picture, Source

HUGE = 1000.0
FOREIGN = ("weights-foreign",) * 3


def check_weights(labels: Source, weights: Source) -> list[Finding]:
    """Find weights that cannot be right for their labels.

    Parameters
    ----------
    labels, weights : Source
        Of one set, in the same order.
    """
    findings = []
    for picture in weights.pictures:
        problem = _wrong(picture)
        if problem:
            where = f"{weights.role} {picture.name}"
            findings.append(Finding(*problem[:1], where, problem[1]))
    if findings:
        return findings
    findings = _classes(labels, weights)
    return findings or check_pairs(labels, weights, kinds=FOREIGN)


def _wrong(picture: Picture) -> tuple[str, str] | None:
    values = picture.array
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return "not-finite", "weights with NaN or infinite values"
    low, high = float(values.min()), float(values.max())
    if low < 0:
        return "weights-negative", f"weights go down to {low:g}"
    if high == 0:
        return "weights-zero", "every weight is 0"
    if high > HUGE:
        return "weights-huge", f"weights go up to {high:g}"
    return None


def _classes(labels: Source, weights: Source) -> list[Finding]:
    """Find classes whose weights are all 0."""
    total: dict[int, float] = {}
    for label, weight in zip(labels.pictures, weights.pictures, strict=False):
        if label.size != weight.size:
            continue
        for value in label.values[0]:
            share = float(weight.plane[label.numbers == value].sum())
            total[int(value)] = total.get(int(value), 0.0) + share
    nothing = sorted(value for value, share in total.items() if share == 0)
    if not nothing:
        return []
    what = f"all weights of label {listed(nothing)} are 0"
    return [Finding("weights-class-zero", f"{weights.role} {weights.path}", what)]
