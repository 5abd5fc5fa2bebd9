"""Find labels, or weights, that do not lie on their images, by correlation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pyunet_checks import matching
from pyunet_checks.findings import Finding
from pyunet_checks.labels import is_instances
from pyunet_checks.sources import Picture, Source

MOST = 64
SURE = 6.0
SURE_OF_FEW = 9.0
FEW = 4
WEAK = 0.06
BETTER = 1.4
MARGIN = 0.05
USUAL = 0.7
CONTRAST = 0.35
Views = list[tuple[matching.Plane, matching.Plane]]


def check_pairs(
    images: Source, labels: Source, *, kinds: tuple[str, str, str]
) -> list[Finding]:
    """Find labels that are shifted, turned, or that belong to another image.

    Parameters
    ----------
    images, labels : Source
        Pictures of one set, in the same order.
    kinds : three str
        Kinds of findings for shifted, turned and foreign ones.
    """
    pairs = [
        (image, label)
        for image, label in zip(images.pictures, labels.pictures, strict=False)
        if image.size == label.size and np.ptp(label.plane) and np.ptp(image.plane)
    ]
    pairs = [pairs[i] for i in _some(len(pairs))]
    if not pairs:
        return []
    views = _views(pairs, label_kind=labels.role.endswith("labels"))
    where = f"{labels.role} {labels.path}"
    return (
        _placed(views, pairs, where, kinds)
        or _foreign(views, pairs, labels.role, kinds)
        or _each_placed(views, pairs, labels.role, kinds)
    )


def check_contrast(images: Source, labels: Source) -> list[Finding]:
    """Find images, or masks, that are bright where the others are dark."""
    pairs = [
        (image, label)
        for image, label in zip(images.pictures, labels.pictures, strict=False)
        if image.size == label.size and len(label.values[0]) == 2
    ]
    if len(pairs) < 3:
        return []
    signs, shares = [], []
    for image, label in pairs:
        inside = label.numbers == label.values[0].max()
        plane = image.plane
        apart = float(plane[inside].mean() - plane[~inside].mean())
        signs.append(apart / max(float(plane.std()), 1e-9))
        shares.append(float(inside.mean()))
    usual, share = float(np.median(signs)), float(np.median(shares))
    if abs(usual) < CONTRAST:
        return []
    findings = []
    for (image, label), sign, mine in zip(pairs, signs, shares, strict=True):
        if sign * usual > 0 or abs(sign) < CONTRAST:
            continue
        what = f"inside is {'brighter' if sign > 0 else 'darker'}, unlike in the others"
        swapped = abs(1 - mine - share) + 0.05 < abs(mine - share)
        kind, picture = (
            ("mixed-polarity", label) if swapped else ("inverted-image", image)
        )
        role = labels.role if swapped else images.role
        findings.append(Finding(kind, f"{role} {picture.name}", what))
    return findings


def _some(count: int) -> list[int]:
    """Pick at most 64, evenly."""
    places = np.linspace(0, count - 1, min(count, MOST))
    return sorted({int(i) for i in np.rint(places)}) if count else []


def _views(pairs: Sequence[tuple[Picture, Picture]], *, label_kind: bool) -> Views:
    """Give image and label as they can be compared: filled, or else by their edges.

    What correlates better in place (or anywhere) is taken for all pairs.
    """
    filled, edged = [], []
    instances = label_kind and is_instances([label for _, label in pairs])
    for image, label in pairs:
        numbers = (label.numbers > 0) if instances else label.plane
        grey = matching.small(image.plane)
        drawn = matching.small(numbers)
        filled.append((matching.detail(grey), matching.detail(drawn)))
        steep, border = matching.edges(grey), matching.edges(drawn)
        edged.append((matching.detail(steep), matching.detail(border)))
    return max((filled, edged), key=lambda views: abs(_map(views)[0].value))


def _map(views: Views) -> tuple[matching.Match, float]:
    """Give the best place for all labels together, and the correlation in place."""
    shape = views[0][0].shape
    alike = [view for view in views if view[0].shape == shape]
    total = np.mean(
        [
            matching.correlation(matching.spectrum(a), matching.spectrum(b), shape)
            for a, b in alike
        ],
        axis=0,
    )
    middle = tuple(length // 2 for length in total.shape)
    return matching.best(total), float(total[middle])


def _placed(
    views: Views,
    pairs: Sequence[tuple[Picture, Picture]],
    where: str,
    kinds: tuple[str, str, str],
) -> list[Finding]:
    """Look at all labels together."""
    match, unmoved = _map(views)
    factor = matching.shrinkage(pairs[0][0].size)
    turn, value = _turn(views)
    sure = SURE if len(views) >= FEW else SURE_OF_FEW
    if _crossed(value, match, sure):
        what = f"fit their images better when {matching.TURNS[turn]}"
        return [Finding(kinds[1], where, what)]
    if _moved(match, unmoved, sure):
        what = f"fit their images better when moved by about {match.y * factor} rows "
        what += f"and {match.x * factor} columns"
        return [Finding(kinds[0], where, what)]
    return []


def _each_placed(
    views: Views,
    pairs: Sequence[tuple[Picture, Picture]],
    role: str,
    kinds: tuple[str, str, str],
) -> list[Finding]:
    """Look at each label alone."""
    findings = []
    for view, (image, label) in zip(views, pairs, strict=True):
        factor = matching.shrinkage(image.size)
        match, unmoved = _map([view])
        turn, value = _turn([view])
        where = f"{role} {label.name}"
        if _crossed(value, match, SURE_OF_FEW):
            what = f"fits {image.name} better when {matching.TURNS[turn]}"
            findings.append(Finding(kinds[1], where, what))
        elif _moved(match, unmoved, SURE_OF_FEW):
            what = f"fits {image.name} better when moved by about {match.y * factor} "
            what += f"rows and {match.x * factor} columns"
            findings.append(Finding(kinds[0], where, what))
    return findings


def _moved(match: matching.Match, unmoved: float, sure: float) -> bool:
    far = max(abs(match.y), abs(match.x)) > 1
    value = abs(match.value)
    return far and value > max(BETTER * abs(unmoved), WEAK, sure * match.noise)


def _crossed(turned: float, match: matching.Match, sure: float) -> bool:
    return turned > max(BETTER * abs(match.value), WEAK, sure * match.noise)


def _turn(views: Views) -> tuple[int, float]:
    """Give the turn, other than none, in which the labels fit best, and how well."""
    candidates = []
    for turn in range(1, len(matching.TURNS)):
        values = [
            float((a * matching.turned(b, turn)).sum())
            for a, b in views
            if matching.turned(b, turn).shape == a.shape
        ]
        candidates.append((abs(float(np.mean(values))) if values else 0.0, turn))
    value, turn = max(candidates)
    return turn, value


def _foreign(
    views: Views,
    pairs: Sequence[tuple[Picture, Picture]],
    role: str,
    kinds: tuple[str, str, str],
) -> list[Finding]:
    """Find labels that fit another image much better than their own."""
    shape = views[0][0].shape
    if len(views) < 2 or any(a.shape != shape for a, _ in views):
        return []
    images = np.stack([a.ravel() for a, _ in views])
    labels = np.stack([b.ravel() for _, b in views])
    table: NDArray[np.float32] = labels @ images.T
    extremes = table[np.arange(len(table)), np.abs(table).argmax(axis=1)]
    table *= np.sign(np.median(extremes))
    # a label on its own image fits about as well as most labels fit somewhere
    enough = USUAL * float(np.median(table.max(axis=1)))
    findings = []
    for row, (_, label) in enumerate(pairs):
        best = int(table[row].argmax())
        value = table[row, best]
        if value > max(BETTER * table[row, row] + MARGIN, enough) and best != row:
            what = f"fits {pairs[best][0].name} better than {pairs[row][0].name}"
            findings.append(Finding(kinds[2], f"{role} {label.name}", what))
    return findings
