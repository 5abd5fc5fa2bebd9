"""Scores of every image, the confusion of classes, and the images to look at."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pyunet.errors import DataError
from pyunet_metrics import overlap
from pyunet_reproduce.report.pictures import Figure, case_figures
from pyunet_reproduce.report.run import Case

SHOWN = 3  # worst images, and best ones


@dataclass(frozen=True)
class CaseScore:
    """The scores of one image.

    Attributes
    ----------
    name : str
    mean_iou : float
        Over the classes that are there.
    accuracy : float
        Share of the pixels that have the right class.
    iou, dice : tuple of float
        Of each class; NaN where neither truth nor prediction has it.
    """

    name: str
    mean_iou: float
    accuracy: float
    iou: tuple[float, ...]
    dice: tuple[float, ...]


@dataclass
class Scored:
    """What all images came to.

    Attributes
    ----------
    cases : list of CaseScore
        In their own order.
    confusion : ndarray of int64, shape (K, K)
        Pixels of the true class (row) that got a class (column).
    worst, best : list of (float, CaseScore, list of Figure)
        By mean IoU, from its end; no image is in both.
    """

    cases: list[CaseScore] = field(default_factory=list)
    confusion: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((0, 0), np.int64)
    )
    worst: list[tuple[CaseScore, list[Figure]]] = field(default_factory=list)
    best: list[tuple[CaseScore, list[Figure]]] = field(default_factory=list)


def score_cases(cases: Iterable[Case], *, classes: int = 2) -> Scored:
    """Score images one by one; pictures of the worst and the best are kept.

    Parameters
    ----------
    cases : iterable of Case
    classes : int, default 2
        How many there are at least; more are counted where they occur.

    Returns
    -------
    Scored

    Raises
    ------
    DataError
        No image; a truth and a prediction of different sizes.

    Examples
    --------
    >>> truth = np.array([[0, 0, 1, 1]])
    >>> scored = score_cases([Case("a", truth, np.array([[0, 1, 1, 1]]))])
    >>> scored.cases[0].accuracy, scored.confusion.tolist()
    (0.75, [[1, 1], [0, 2]])
    """
    result = Scored(confusion=np.zeros((classes, classes), np.int64))
    kept = _Extremes()
    for case in tqdm(cases, "scoring", unit="image", disable=None):
        counts = _counts(case)
        result.confusion = _sum(result.confusion, counts)
        score = _score(case, len(result.confusion))
        result.cases.append(score)
        kept.add(score, case)
    if not result.cases:
        raise DataError("no image to score; expected at least one")
    result.worst, result.best = kept.split()
    return result


def _counts(case: Case) -> NDArray[np.int64]:
    truth, prediction = _pixels(case)
    count = int(max(truth.max(initial=0), prediction.max(initial=0))) + 1
    pairs = np.bincount(truth * count + prediction, minlength=count * count)
    return pairs.reshape(count, count)


def _pixels(case: Case) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    if case.truth.shape != case.prediction.shape:
        raise DataError(
            f"{case.name}: truth of {case.truth.shape} pixels, prediction of "
            f"{case.prediction.shape}: expected the same shape for both"
        )
    kept: Any = ... if case.counts is None else case.counts
    truth, prediction = case.truth[kept], case.prediction[kept]
    return truth.ravel().astype(np.intp), prediction.ravel().astype(np.intp)


def _score(case: Case, classes: int) -> CaseScore:
    truth, prediction = _pixels(case)
    if not truth.size:
        raise DataError(f"{case.name}: no pixel counts; expected at least one")
    iou = overlap.iou(truth, prediction, classes)
    return CaseScore(
        case.name,
        overlap.mean(iou),
        overlap.pixel_accuracy(truth, prediction, classes),
        tuple(iou.tolist()),
        tuple(overlap.dice(truth, prediction, classes).tolist()),
    )


def _sum(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Add tables of different numbers of classes."""
    size = max(len(first), len(second))
    total = np.zeros((size, size), np.int64)
    for counts in (first, second):
        total[: len(counts), : len(counts)] += counts
    return total


class _Extremes:
    """Keeps pictures of the worst and the best images only."""

    def __init__(self) -> None:
        self._kept: list[tuple[float, int, CaseScore, list[Figure]]] = []
        self._count = 0

    def add(self, score: CaseScore, case: Case) -> None:
        """Take in an image; draw it only if it is among them."""
        value, number = score.mean_iou, self._count
        self._count += 1
        place = bisect.bisect(self._kept, (value, number))
        crowded = len(self._kept) == 2 * SHOWN
        if crowded and place == SHOWN:
            return
        self._kept.insert(place, (value, number, score, case_figures(case)))
        if crowded:
            # the middle one of seven is neither among the worst nor the best three
            del self._kept[SHOWN]

    def split(
        self,
    ) -> tuple[
        list[tuple[CaseScore, list[Figure]]], list[tuple[CaseScore, list[Figure]]]
    ]:
        """Give the worst, the worst first, and the best, the best first."""
        both = [(score, figures) for _, _, score, figures in self._kept]
        half = (len(both) + 1) // 2
        return both[:half], both[half:][::-1]
