"""Find test images among the training images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pyunet_checks import matching
from pyunet_checks.findings import Finding
from pyunet_checks.sources import Picture, Source

MOST = 100
ALIKE = 0.85
STILL_ALIKE = 0.8
SHARED = 0.4
ENOUGH = 6
SIDE = 128


def check_leakage(train: Source, test: Source) -> list[Finding]:
    """Find test images that are training images, changed or not.

    Equal, with noise or other grey values, shifted (by up to 2/5 of the size), turned
    by right angles or mirrored.

    Parameters
    ----------
    train, test : Source
        Images of both sets.
    """
    training = {p.digest: p for p in train.pictures}
    findings, rest = [], []
    for picture in test.pictures:
        if picture.digest in training:
            what = f"is equal to {training[picture.digest].name} of the training set"
            findings.append(Finding("leak-equal", f"{test.role} {picture.name}", what))
        elif np.ptp(picture.plane):
            rest.append(picture)
    return findings + _similar(train, rest, test.role) + _differs(train, test)


def _some(pictures: Sequence[Picture]) -> list[Picture]:
    if len(pictures) <= MOST:
        return list(pictures)
    return [pictures[int(i)] for i in np.linspace(0, len(pictures) - 1, MOST)]


def _similar(train: Source, test: Sequence[Picture], role: str) -> list[Finding]:
    training = [p for p in _some(train.pictures) if np.ptp(p.plane)]
    ours = [matching.detail(matching.small(p.plane, SIDE)) for p in training]
    theirs = [matching.detail(matching.small(p.plane, SIDE)) for p in _some(test)]
    spectra = [matching.spectrum(plane) for plane in ours]
    shared = _shared(ours)
    findings = []
    for picture, plane in zip(_some(test), theirs, strict=True):
        for turn, name in enumerate(matching.TURNS):
            turned = np.ascontiguousarray(matching.turned(plane, turn))
            spectrum = matching.spectrum(turned)
            hit = next(
                (
                    training[i]
                    for i, trained_on in enumerate(ours)
                    if trained_on.shape == turned.shape
                    and _copy(trained_on, turned, spectra[i], spectrum, shared)
                ),
                None,
            )
            if hit:
                what = f"{name}, is like {hit.name} of the training set"
                where = f"{role} {picture.name}"
                findings.append(Finding("leak-similar", where, what))
                break
    return findings


def _shared(planes: Sequence[matching.Plane]) -> matching.Plane | None:
    """Give what all pictures have in common, such as the rim of a field of view."""
    if len(planes) < ENOUGH or len({plane.shape for plane in planes}) > 1:
        return None
    mean = np.mean(planes, axis=0)
    power = float(np.square(mean).sum())
    return np.asarray(mean / np.sqrt(power)) if power > SHARED else None


def _copy(
    first: matching.Plane,
    second: matching.Plane,
    spectrum: NDArray[np.complex64],
    others: NDArray[np.complex64],
    shared: matching.Plane | None,
) -> bool:
    match = matching.best(matching.correlation(spectrum, others, first.shape))
    if match.value < ALIKE - 0.4:
        return False
    alike = matching.overlap_correlation(first, second, match.y, match.x)
    if alike < ALIKE:
        return False
    if shared is None:
        return True
    a, b = (plane - shared * float((plane * shared).sum()) for plane in (first, second))
    return matching.overlap_correlation(a, b, match.y, match.x) > STILL_ALIKE


def _differs(train: Source, test: Source) -> list[Finding]:
    """Compare type and channels of both sets."""
    kinds = [
        {(f"{p.array.dtype}", len(p.array)) for p in source.pictures}
        for source in (train, test)
    ]
    if not all(kinds) or kinds[0] & kinds[1]:
        return []
    (kind, channels), (other, others) = (sorted(values)[0] for values in kinds)
    what = f"{others} channel(s) of {other}, the training set {channels} of {kind}"
    return [Finding("test-differs", f"{test.role} {test.path}", what)]
