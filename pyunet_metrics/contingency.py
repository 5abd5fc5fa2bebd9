"""Counts over the common table of two labellings, and the scores made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyunet.errors import DataError

Counts = tuple[float, float, float, float]


@dataclass(frozen=True)
class Contingency:
    """How many pixels carry each pair of labels.

    Attributes
    ----------
    truth, prediction : ndarray of int, shape (K,)
        The labels of each pair that occurs.
    pixels : ndarray of int64, shape (K,)
        How many pixels carry it.
    """

    truth: NDArray[np.int64]
    prediction: NDArray[np.int64]
    pixels: NDArray[np.int64]

    def select(self, keep: NDArray[np.bool_]) -> Contingency:
        """Return the table of the pairs that `keep` marks."""
        return Contingency(self.truth[keep], self.prediction[keep], self.pixels[keep])


def contingency(truth: NDArray[Any], prediction: NDArray[Any]) -> Contingency:
    """Count the pairs of labels of two arrays of one shape, labels 0, 1, 2, ...

    Examples
    --------
    >>> table = contingency(np.array([1, 1, 2, 2]), np.array([1, 1, 1, 0]))
    >>> table.truth.tolist(), table.prediction.tolist(), table.pixels.tolist()
    ([1, 2, 2], [1, 0, 1], [2, 1, 1])
    """
    width = int(prediction.max()) + 1
    keys = truth.astype(np.int64).ravel() * width + prediction.ravel()
    pairs, pixels = np.unique(keys, return_counts=True)
    return Contingency(pairs // width, pairs % width, pixels)


def sums_by(labels: NDArray[np.int64], pixels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the pixels of each label that occurs."""
    _, place = np.unique(labels, return_inverse=True)
    return np.bincount(place, weights=pixels).astype(np.int64)


def square_counts(table: Contingency) -> Counts:
    """Count pairs of pixels of the truth's objects, a pixel with itself included.

    The Rand form of the ISBI 2012 code since 2015: pixels outside the truth's
    objects are left out; pixels of objects that the proposal calls membrane are
    clusters of one pixel each.

    Returns
    -------
    tuple of float
        True positives, true negatives, false positives, false negatives; NaN where
        the truth has no object.

    Examples
    --------
    Two objects of two pixels each, found as one:

    >>> square_counts(contingency(np.array([1, 1, 2, 2]), np.array([1, 1, 1, 1])))
    (8.0, 0.0, 8.0, 0.0)
    """
    inside = table.select(table.truth > 0)
    total = int(inside.pixels.sum())
    if not total:
        return (np.nan,) * 4
    both = inside.select(inside.prediction > 0)
    singles = total - int(both.pixels.sum())
    together = int((both.pixels**2).sum()) + singles
    truth = int((sums_by(inside.truth, inside.pixels) ** 2).sum())
    prediction = int((sums_by(both.prediction, both.pixels) ** 2).sum()) + singles
    return _counts(total**2, together, truth, prediction)


def pair_counts(table: Contingency, *, background: bool = False) -> Counts:
    """Count unordered pairs of two different pixels, as the Rand index was defined.

    Parameters
    ----------
    table : Contingency
        Truth and proposal.
    background : bool, default False
        True: label 0 is one ordinary object on both sides (the classic Rand index).
        False: as the ISBI 2012 code of 2014, only pixels of the truth's objects,
        where the proposal's label 0 is in no object.

    Returns
    -------
    tuple of float
        True positives, true negatives, false positives, false negatives.

    Examples
    --------
    >>> pair_counts(contingency(np.array([1, 1, 2, 2]), np.array([1, 1, 1, 1])))
    (2.0, 0.0, 4.0, 0.0)
    """
    inside = table if background else table.select(table.truth > 0)
    both = inside if background else inside.select(inside.prediction > 0)
    return _counts(
        _pairs(inside.pixels.sum()),
        _pairs(both.pixels),
        _pairs(sums_by(inside.truth, inside.pixels)),
        _pairs(sums_by(both.prediction, both.pixels)),
    )


def _pairs(pixels: NDArray[np.int64]) -> int:
    return int((pixels * (pixels - 1) // 2).sum())


def _counts(total: int, together: int, truth: int, prediction: int) -> Counts:
    """Return tp, tn, fp, fn of pairs together in both, in one of the two."""
    return (
        float(together),
        float(total + together - truth - prediction),
        float(prediction - together),
        float(truth - together),
    )


def f_score(counts: ArrayLike) -> NDArray[np.float64]:
    """Return the harmonic mean of precision and recall.

    Precision is 1 where nothing is falsely positive, recall 1 where nothing is
    falsely negative, and F is 0 where both are 0 or the counts are NaN.

    Parameters
    ----------
    counts : array, shape (..., 4)
        True positives, true negatives, false positives, false negatives.

    Returns
    -------
    array of float, shape (...)
        0 to 1, 1 is best.

    Examples
    --------
    >>> f_score([[2, 0, 4, 0], [0, 0, 1, 1], [0, 3, 0, 0]]).tolist()
    [0.5, 0.0, 1.0]
    """
    tp, _, fp, fn = np.moveaxis(np.asarray(counts, float), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(fp == 0, 1.0, tp / (tp + fp))
        recall = np.where(fn == 0, 1.0, tp / (tp + fn))
        score = 2 * precision * recall / (precision + recall)
    return np.where(precision + recall > 0, score, 0.0)


def information_score(table: Contingency) -> float:
    """Return F of the information that truth and proposal share.

    Precision is the mutual information over the truth's entropy, recall that over
    the proposal's. Pixels are left out and counted as for `square_counts`.

    Parameters
    ----------
    table : Contingency
        Truth and proposal.

    Returns
    -------
    float
        0 to 1, 1 is best; 0 where truth or proposal is a single object, NaN where the
        two share nothing at all.

    Examples
    --------
    >>> information_score(contingency(np.array([1, 1, 2, 2]), np.array([1, 1, 2, 2])))
    1.0
    >>> information_score(contingency(np.array([1, 1, 2, 2]), np.array([1, 1, 1, 1])))
    0.0
    """
    inside = table.select(table.truth > 0)
    total = int(inside.pixels.sum())
    if not total:
        return 0.0
    both = inside.select(inside.prediction > 0)
    singles = (total - int(both.pixels.sum())) / total * np.log(total)
    truth = -_p_log_p(sums_by(inside.truth, inside.pixels), total)
    prediction = singles - _p_log_p(sums_by(both.prediction, both.pixels), total)
    joint = singles - _p_log_p(both.pixels, total)
    if truth == 0 or prediction == 0:
        return 0.0
    shared = truth + prediction - joint
    precision, recall = shared / truth, shared / prediction
    if precision + recall == 0:
        return np.nan
    return float(2 * precision * recall / (precision + recall))


def _p_log_p(pixels: NDArray[np.int64], total: int) -> float:
    share = pixels / total
    return float((share * np.log(share)).sum())


@dataclass(frozen=True)
class Overlaps:
    """What the objects of two label images share.

    Attributes
    ----------
    truth, prediction : ndarray of int, shapes (T,), (P,)
        The numbers of the objects, ascending.
    shared : ndarray of int64, shape (T, P)
        Pixels that a pair has in common.
    truth_areas, prediction_areas : ndarray of int64, shapes (T,), (P,)
        Pixels of each object.
    """

    truth: NDArray[Any]
    prediction: NDArray[Any]
    shared: NDArray[np.int64]
    truth_areas: NDArray[np.int64]
    prediction_areas: NDArray[np.int64]


def overlaps(truth: ArrayLike, prediction: ArrayLike) -> Overlaps:
    """Count what the objects of two label images share; 0 is no object.

    Parameters
    ----------
    truth, prediction : array of int, any one shape

    Raises
    ------
    DataError
        Shapes that differ, negative numbers or fractions.

    Examples
    --------
    >>> common = overlaps([7, 7, 0, 9], [1, 1, 1, 0])
    >>> common.shared.tolist()
    [[2], [0]]
    >>> common.truth_areas.tolist(), common.prediction_areas.tolist()
    ([2, 1], [3])
    """
    true, predicted = np.asarray(truth), np.asarray(prediction)
    if true.shape != predicted.shape:
        raise DataError(
            f"truth of shape {true.shape} and prediction of shape {predicted.shape}: "
            "expected the same shape for both"
        )
    for name, array in (("truth", true), ("prediction", predicted)):
        if array.dtype.kind not in "uib" or (array.size and array.min() < 0):
            raise DataError(
                f"the {name} has {array.dtype} values"
                + (f" down to {array.min()}" if array.size else "")
                + "; expected object numbers, whole and not negative"
            )
    ids, places = np.unique(true, return_inverse=True)
    other_ids, other_places = np.unique(predicted, return_inverse=True)
    table = np.bincount(
        places.ravel() * len(other_ids) + other_places.ravel(),
        minlength=len(ids) * len(other_ids),
    ).reshape(len(ids), len(other_ids))
    rows, columns = ids > 0, other_ids > 0
    return Overlaps(
        ids[rows],
        other_ids[columns],
        table[np.ix_(rows, columns)],
        table[rows].sum(axis=1),
        table[:, columns].sum(axis=0),
    )
