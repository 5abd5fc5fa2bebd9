"""Label images by themselves: values, classes, polarity, objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import measure

from pyunet_checks.findings import Finding, listed
from pyunet_checks.sources import Picture, Source

MASKS = ([0, 1], [0, 255], [0, 65535])
MOST_CLASSES = 16
TINY = 4
STRAY = 2e-5
NEAR = 2
FALLS_APART = 4.0
MARGIN = 3.0
OPPOSITE = 0.35
ROUND = 0.9
SMALLEST = 25
ENOUGH = 5
CROWDED = 0.5
DOUBLE = 1.75
TOLERATED = 0.02


def check_labels(
    source: Source, *, classes: int | None = None, told: bool = False
) -> list[Finding]:
    """Find labels whose values cannot be classes or objects.

    Parameters
    ----------
    source : Source
        Labels of one set.
    classes : int, optional
        How many the net has.
    told : bool, default False
        The user has said which value is the inside: polarity is not doubted.
    """
    findings = []
    pictures = []
    for picture in source.pictures:
        problem = _unusable(picture)
        if problem:
            kind, what = problem
            findings.append(Finding(kind, f"{source.role} {picture.name}", what))
        else:
            pictures.append(picture)
    if not pictures:
        return findings
    values = set_values(pictures)
    where = f"{source.role} {source.path}"
    if len(values) == 1:
        what = f"every pixel of every label is {next(iter(values))}"
        return [*findings, Finding("label-constant", where, what)]
    findings += _empty(pictures, source.role)
    findings += _values(pictures, values, where, classes)
    if len(values) == 2:
        findings += _polarity(pictures, max(values), source.role, where, told=told)
    return findings + _objects(pictures, values, source.role, where)


def set_values(pictures: Sequence[Picture]) -> dict[int, int]:
    """Give all values of some labels, in order, and in how many pixels each occurs."""
    counts: dict[int, int] = {}
    for picture in pictures:
        for value, count in zip(*picture.values, strict=True):
            counts[int(value)] = counts.get(int(value), 0) + int(count)
    return dict(sorted(counts.items()))


def is_instances(pictures: Sequence[Picture]) -> bool:
    """Whether most values mark one region each: objects, not classes."""
    values = regions = 0
    for picture in pictures:
        inside = picture.values[0][picture.values[0] != 0]
        values += len(inside)
        regions += int(_numbered(picture.numbers, 2).max())
    most = max(len(p.values[0]) for p in pictures)
    return most > 4 and regions <= 1.5 * values


def _unusable(picture: Picture) -> tuple[str, str] | None:
    """Return why a label image cannot be checked further."""
    array = picture.array
    if len(array) > 1 and (array != array[:1]).any():
        return "label-colour", f"{len(array)} different colour channels"
    numbers = picture.numbers
    if numbers.dtype.kind == "f":
        if not np.isfinite(numbers).all():
            return "not-finite", "labels with NaN or infinite values"
        odd = int(np.count_nonzero(numbers != np.rint(numbers)))
        if odd:
            what = f"{odd} pixels are fractions, from {numbers.min():g} to "
            return "label-fractions", what + f"{numbers.max():g}"
    if numbers.min() < 0:
        return "label-negative", f"values go down to {numbers.min()}"
    return _blurred(numbers, *picture.values)


def _blurred(
    numbers: NDArray[Any], values: NDArray[Any], counts: NDArray[np.intp]
) -> tuple[str, str] | None:
    """Find values that are neither classes nor objects, but scattered at borders."""
    main = values[counts >= 0.05 * numbers.size].astype(np.float64)
    if len(values) < 6 or not 2 <= len(main) <= MOST_CLASSES:
        return None
    integers = numbers.astype(np.int64)
    areas = np.bincount(measure.label(integers, background=-1).ravel())  # type: ignore[no-untyped-call]
    if np.count_nonzero((areas > 0) & (areas <= TINY)) < 3 * len(values):
        return None
    apart = np.abs(numbers.astype(np.float64)[..., None] - main)
    nearest = apart.argmin(axis=-1)
    border = ndimage.minimum_filter(nearest, 2 * NEAR + 1) != ndimage.maximum_filter(
        nearest, 2 * NEAR + 1
    )
    strange = apart.min(axis=-1) > 0
    away = np.count_nonzero(strange & ~border) / max(int(np.count_nonzero(strange)), 1)
    what = f"{len(values)} values, mostly {listed([f'{v:g}' for v in main])}, the rest "
    if away > 0.05:
        return "label-jpeg", what + "scattered around them, as lossy compression does"
    return "label-interpolated", what + "between them along the borders"


def _empty(pictures: Sequence[Picture], role: str) -> list[Finding]:
    return [
        Finding("label-empty", f"{role} {p.name}", f"every pixel is {p.values[0][0]}")
        for p in pictures
        if len(p.values[0]) == 1
    ]


def _values(
    pictures: Sequence[Picture],
    values: dict[int, int],
    where: str,
    classes: int | None,
) -> list[Finding]:
    numbers = list(values)
    full = [p for p in pictures if len(p.values[0]) > 1]
    tops = {int(p.values[0].max()) for p in full}
    if numbers in ([0, 1, 255], [0, 1, 65535], [0, 255, 65535]) and len(tops) > 1:
        what = f"the highest value is {listed(sorted(tops))} in different files"
        return [Finding("label-mixed", where, what)]
    if is_instances(full):
        return []
    stray = [v for v, count in values.items() if count < max(8, STRAY * _pixels(full))]
    if len(numbers) - len(stray) >= 2 and stray:
        what = f"{listed([f'{v} in {values[v]} pixel(s)' for v in stray])}"
        return [Finding("label-stray", where, what)]
    if classes and numbers not in MASKS[1:] and numbers[-1] >= classes:
        beyond = [number for number in numbers if number >= classes]
        what = f"{listed(beyond)}, but the net has the classes 0 to {classes - 1}"
        return [Finding("label-beyond", where, what)]
    if numbers not in MASKS and numbers != list(range(len(numbers))):
        return [Finding("label-values", where, f"{len(numbers)}: {listed(numbers)}")]
    return _missing(full, numbers, where)


def _pixels(pictures: Sequence[Picture]) -> int:
    return sum(picture.numbers.size for picture in pictures)


def _missing(
    pictures: Sequence[Picture], numbers: list[int], where: str
) -> list[Finding]:
    """Find classes that one image lacks and all others have."""
    if len(numbers) < 3 or len(numbers) > MOST_CLASSES or len(pictures) < 3:
        return []
    findings = []
    for number in numbers:
        without = [p for p in pictures if number not in p.values[0]]
        if len(without) == 1:
            what = f"class {number} is missing in {without[0].name} alone"
            findings.append(Finding("class-missing", where, what))
    return findings


def _polarity(
    pictures: Sequence[Picture], high: int, role: str, where: str, *, told: bool
) -> list[Finding]:
    """Find inverted masks: by share among the others, or all by how connected they are.

    The inside of cells falls apart into regions, what is around them hangs together.
    """
    full = [p for p in pictures if len(p.values[0]) > 1]
    masks = [p.numbers == high for p in full]
    shares = np.array([mask.mean() for mask in masks])
    usual = float(np.median(shares))
    odd = np.abs(shares - usual) > np.abs(1 - shares - usual) + OPPOSITE
    findings = [
        Finding(
            "mixed-polarity",
            f"{role} {p.name}",
            f"{high} covers {share:.0%} of it, {usual:.0%} of the others",
        )
        for p, share, strange in zip(full, shares, odd, strict=True)
        if strange and len(full) > 2
    ]
    if told or findings:
        return findings
    ratios = [(_parts(mask), _parts(~mask)) for mask in masks]
    above, below = np.median(np.array(ratios), axis=0)
    if below >= FALLS_APART and below >= MARGIN * above:
        what = (
            f"0 falls apart into {below:.0f} regions of like size, {high} hangs "
            "together: 0 seems to be the inside of cells"
        )
        findings.append(Finding("polarity", where, what))
    return findings


def _parts(mask: NDArray[np.bool_]) -> float:
    """Count 4-connected regions, each by its share of the area."""
    areas = np.bincount(_numbered(mask, 1).ravel())[1:].astype(np.float64)
    return float(areas.sum() ** 2 / np.square(areas).sum()) if len(areas) else 1.0


def _numbered(numbers: NDArray[Any], connectivity: int) -> NDArray[np.intp]:
    components = measure.label(  # type: ignore[no-untyped-call]
        numbers.astype(np.int64), background=0, connectivity=connectivity
    )
    return np.asarray(components, np.intp)


def _objects(
    pictures: Sequence[Picture], values: dict[int, int], role: str, where: str
) -> list[Finding]:
    """Find numbers shared by several objects, and objects that look like two."""
    findings = []
    instances = is_instances(pictures)
    if not instances and len(values) > 2:
        return []
    total, names, count = 0, [], 0
    for picture in pictures:
        numbers = picture.numbers
        reused = _reused(numbers) if instances else []
        if reused:
            what = f"{listed(reused)} mark(s) several separate objects"
            findings.append(Finding("id-reused", f"{role} {picture.name}", what))
        objects = numbers.astype(np.int64) if instances else _numbered(numbers > 0, 1)
        merged, number = _merged(objects)
        total, count = total + merged, count + number
        names += [picture.name] if merged else []
    if total > TOLERATED * count:
        what = f"{total} of {count} objects look like two grown together, in "
        findings.append(Finding("objects-merged", where, what + listed(names)))
    return findings


def _reused(numbers: NDArray[Any]) -> list[int]:
    parts = _numbered(numbers, 2)
    areas = np.bincount(parts.ravel())
    owner = np.zeros(len(areas), np.int64)
    owner[parts.ravel()] = numbers.ravel()
    reused = []
    for number in np.unique(owner[1:]):
        sizes = np.sort(areas[1:][owner[1:] == number])
        if len(sizes) > 1 and sizes[-2] > max(TINY, 0.2 * sizes[-1]):
            reused.append(int(number))
    return reused


def _merged(objects: NDArray[Any]) -> tuple[int, int]:
    """Count objects that look like two, where most objects are alike.

    Blobs on a background, most of them round: then one with a waist is two. Or most of
    one size: then one of twice the size is two.
    """
    properties = [
        p
        for p in measure.regionprops(objects)  # type: ignore[no-untyped-call]
        if p.area >= SMALLEST
    ]
    if len(properties) < ENOUGH or np.count_nonzero(objects) > CROWDED * objects.size:
        return 0, len(properties)
    solid = np.array([p.solidity for p in properties])
    areas = np.array([p.area for p in properties])
    usual = float(np.median(areas))
    low, high = np.percentile(areas, (25, 75))
    merged = (areas > DOUBLE * usual) & (high < 1.3 * low)
    if np.median(solid) >= ROUND and np.percentile(solid, 25) > ROUND - 0.05:
        doubtful = (solid < min(ROUND, np.median(solid) - 0.04)) & (areas > 1.4 * usual)
        waist = [
            doubt and _has_waist(p.image)
            for p, doubt in zip(properties, doubtful, strict=True)
        ]
        merged |= np.array(waist)
    return int(np.count_nonzero(merged)), len(properties)


def _has_waist(shape: NDArray[np.bool_]) -> bool:
    depth = ndimage.distance_transform_edt(np.pad(shape, 1))
    deepest = float(depth.max())
    for level in np.linspace(0.95, 0.3, 14) * deepest:
        cores, count = ndimage.label(depth > level)
        sizes = ndimage.maximum(depth, cores, range(1, count + 1))
        deep = [
            s for s in np.atleast_1d(sizes) if s > 0.6 * deepest and s > 1.25 * level
        ]
        if len(deep) > 1:
            return True
    return False
