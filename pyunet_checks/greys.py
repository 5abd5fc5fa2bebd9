"""Grey values of images: range, bit depth, contrast, outliers, copies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pyunet_checks import matching
from pyunet_checks.findings import Finding
from pyunet_checks.sources import Picture, Source

UNUSED = 4
FLAT = 0.02
FAINT = 0.1
OUTLIER = 0.35
UNLIKE = 0.12
SAME = 0.99
SMALLEST = 32
QUANTILES = np.linspace(1, 99, 50)


def check_greys(source: Source) -> list[Finding]:
    """Find images whose grey values cannot be right.

    Parameters
    ----------
    source : Source
        Images of one set.
    """
    usable: list[Picture] = []
    findings = []
    for picture in source.pictures:
        problems = _not_finite(picture, source.role) or _constant(picture, source.role)
        findings += problems
        if not problems:
            usable.append(picture)
    findings += _range(usable, source) + _flat(usable, source.role)
    findings += _outliers(usable, source.role) + _channels(usable, source)
    return findings + check_copies(source)


def check_size(source: Source, smallest: tuple[int, ...] | None) -> list[Finding]:
    """Find images that are smaller than a tile, (Y, X), or than any net can use."""
    least = smallest[-2:] if smallest else (SMALLEST, SMALLEST)
    what = "the output tile" if smallest else "any net here needs"
    return [
        Finding(
            "too-small",
            f"{source.role} {p.name}",
            f"{p.size[0]} x {p.size[1]} pixels, less than {what}, "
            f"{least[0]} x {least[1]}",
        )
        for p in source.pictures
        if p.size[0] < least[0] or p.size[1] < least[1]
    ]


def check_copies(source: Source) -> list[Finding]:
    """Find images that occur twice, exactly or up to noise."""
    findings = []
    seen: dict[bytes, Picture] = {}
    details: list[tuple[Picture, matching.Plane]] = []
    for picture in source.pictures:
        where, first = f"{source.role} {picture.name}", seen.get(picture.digest)
        if np.ptp(picture.plane) == 0:
            continue
        if first is not None:
            findings.append(Finding("duplicate", where, f"is equal to {first.name}"))
            continue
        seen[picture.digest] = picture
        detail = matching.detail(matching.small(picture.plane))
        for other, theirs in details:
            alike = float((detail * theirs).sum()) if _alike(detail, theirs) else 0.0
            if alike > SAME:
                what = f"is {other.name} up to noise (correlation {alike:.3f})"
                findings.append(Finding("duplicate", where, what))
                break
        details.append((picture, detail))
    return findings


def _alike(first: matching.Plane, second: matching.Plane) -> bool:
    return first.shape == second.shape


def _not_finite(picture: Picture, role: str) -> list[Finding]:
    if picture.array.dtype.kind != "f":
        return []
    bad = int(np.count_nonzero(~np.isfinite(picture.array)))
    what = f"{bad} pixels are NaN or infinite"
    return [Finding("not-finite", f"{role} {picture.name}", what)] if bad else []


def _constant(picture: Picture, role: str) -> list[Finding]:
    low, high = picture.array.min(), picture.array.max()
    if low != high:
        return []
    kind = picture.array.dtype
    top = np.iinfo(kind).max if kind.kind in "ui" else 1
    name = "black" if low == 0 else "white" if low == top else "of one value"
    what = f"all pixels are {name} ({low})"
    return [Finding("constant-image", f"{role} {picture.name}", what)]


def _range(pictures: Sequence[Picture], source: Source) -> list[Finding]:
    if not pictures:
        return []
    where = f"{source.role} {source.path}"
    kind = pictures[0].array.dtype
    low = min(float(p.array.min()) for p in pictures)
    high = max(float(p.array.max()) for p in pictures)
    if kind in (np.uint8, np.uint16):
        top = np.iinfo(kind).max
        if high > top // UNUSED:
            return []
        bits = int(high).bit_length()
        what = f"no value above {high:.0f} of {top}: {bits} bit in {kind}"
        return [Finding("bits", where, what)]
    if kind.kind == "f" and low >= 0 and high <= 1:
        return []
    what = f"{kind} values from {low:g} to {high:g}, not 0..1"
    return [Finding("range", where, what)]


def _full_range(pictures: Sequence[Picture]) -> tuple[float, float]:
    low = min(float(p.array.min()) for p in pictures)
    return low, max(float(p.array.max()) for p in pictures)


def _flat(pictures: Sequence[Picture], role: str) -> list[Finding]:
    if not pictures:
        return []
    low, high = _full_range(pictures)
    spreads = [
        float(np.subtract(*np.percentile(p.plane, (99.9, 0.1)))) for p in pictures
    ]
    limit = max(FLAT * (high - low), FAINT * float(np.median(spreads)))
    if len(pictures) == 1 and pictures[0].array.dtype.kind in "ui":
        limit = FLAT * float(np.iinfo(pictures[0].array.dtype).max) / UNUSED
    return [
        Finding(
            "flat-image",
            f"{role} {p.name}",
            f"grey values span {spread:.3g} of the set's {high - low:.4g}",
        )
        for p, spread in zip(pictures, spreads, strict=True)
        if spread < limit
    ]


def _outliers(pictures: Sequence[Picture], role: str) -> list[Finding]:
    """Compare the grey values' quantiles with those of most images."""
    if len(pictures) < 3:
        return []
    low, high = _full_range(pictures)
    curves = np.stack([np.percentile(p.plane, QUANTILES) for p in pictures])
    curves = (curves - low) / (high - low)
    usual = np.median(curves, axis=0)
    middles = curves[:, len(QUANTILES) // 2]
    spread = float(np.median(np.abs(middles - np.median(middles))))
    findings = []
    for picture, curve, middle in zip(pictures, curves, middles, strict=True):
        where = f"{role} {picture.name}"
        if is_inverse(curve, usual):
            what = "its grey values are distributed as the inverse of the others'"
            findings.append(Finding("inverted-image", where, what))
        elif abs(middle - np.median(middles)) > max(OUTLIER, 6 * spread):
            what = (
                f"median {middle:.2f} of the range, the others {np.median(usual):.2f}"
            )
            findings.append(Finding("exposure", where, what))
    return findings


def is_inverse(curve: NDArray[np.float64], usual: NDArray[np.float64]) -> bool:
    """Whether quantiles (0..1) fit the usual ones much better when inverted."""
    apart = float(np.abs(curve - usual).mean())
    inverse = float(np.abs(1 - curve[::-1] - usual).mean())
    return apart > UNLIKE and inverse < 0.4 * apart


def _channels(pictures: Sequence[Picture], source: Source) -> list[Finding]:
    counts = {len(p.array) for p in pictures}
    if len(counts) != 1 or counts == {1}:
        return []
    where = f"{source.role} {source.path}"
    if all((p.array == p.array[:1]).all() for p in pictures):
        what = f"the {counts.pop()} channels of every image are equal"
        return [Finding("grey-as-colour", where, what)]
    return [
        Finding("dead-channel", where, f"channel {number} is constant in every image")
        for number in range(counts.pop())
        if all(np.ptp(p.array[number]) == 0 for p in pictures)
    ]
