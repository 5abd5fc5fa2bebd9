"""Overlap of two labellings with classes: Dice, IoU, precision, recall, accuracy.

Truth comes before prediction. All functions pool the pixels of the arrays they are
given; for the score of one image, give that image, or take `evaluate`, which does both.
With TP, FP, FN, TN, the pixels of a class that are found, wrongly found, missed, and
rightly left out:

===============  ========================  =======================================
``dice``         2 TP / (2 TP + FP + FN)   F1; Soerensen-Dice coefficient
``iou``          TP / (TP + FP + FN)       Jaccard index; "mIoU" is its mean
``precision``    TP / (TP + FP)            positive predictive value
``recall``       TP / (TP + FN)            sensitivity, true positive rate
``specificity``  TN / (TN + FP)            true negative rate
``accuracy``                               (TP + TN) / all
===============  ========================  =======================================

All are 0 to 1 without unit, 1 is best; NaN where the denominator is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyunet.errors import DataError

Numbers = NDArray[np.int64]
MEASURES: Mapping[
    str, Callable[[Numbers, Numbers, Numbers, Numbers], NDArray[np.float64]]
] = {
    "dice": lambda tp, fp, fn, tn: _ratio(2 * tp, 2 * tp + fp + fn),
    "iou": lambda tp, fp, fn, tn: _ratio(tp, tp + fp + fn),
    "precision": lambda tp, fp, fn, tn: _ratio(tp, tp + fp),
    "recall": lambda tp, fp, fn, tn: _ratio(tp, tp + fn),
    "specificity": lambda tp, fp, fn, tn: _ratio(tn, tn + fp),
    "accuracy": lambda tp, fp, fn, tn: _ratio(tp + tn, tp + fp + fn + tn),
}


def evaluate(
    truth: ArrayLike,
    prediction: ArrayLike,
    classes: int,
    *,
    mask: ArrayLike | None = None,
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return every measure of the module of each class, pooled and of each image.

    Parameters
    ----------
    truth, prediction : array of int, shape (N, ...)
        Classes 0 .. `classes` - 1; axis 0 counts images.
    classes : int
        How many classes there are.
    mask : array of bool, optional
        The pixels that count, e.g. a field of view; of the shape of one image or of
        all. Default: all.

    Returns
    -------
    dict of str to dict of str to array of float
        ``"pooled"``: measure -> (classes,), of the pixels of all images together;
        ``"per_image"``: measure -> (N, classes). Measures are the keys of `MEASURES`,
        see the module.

    Raises
    ------
    DataError
        Shapes that differ, no pixels, classes outside the range.

    Examples
    --------
    >>> scores = evaluate([[1, 1, 0, 0], [0, 0, 0, 1]], [[1, 0, 0, 0], [0, 0, 0, 1]], 2)
    >>> scores["per_image"]["recall"].tolist()
    [[1.0, 0.5], [1.0, 1.0]]
    >>> scores["pooled"]["dice"].round(4).tolist()
    [0.9091, 0.8]
    """
    true, predicted = np.asarray(truth), np.asarray(prediction)
    _check(true, predicted, classes)
    inside = np.ones(true.shape, bool)
    if mask is not None:
        given = np.asarray(mask, bool)
        if given.shape not in (true.shape, true.shape[1:]):
            raise DataError(
                f"a mask of shape {given.shape}: expected {true.shape} or "
                f"{true.shape[1:]}"
            )
        inside &= given
    counts = np.array(
        [
            _counts(true_image[kept], predicted_image[kept], classes)
            for true_image, predicted_image, kept in zip(
                true, predicted, inside, strict=True
            )
        ]
    )
    return {
        "pooled": {name: rule(*counts.sum(0)) for name, rule in MEASURES.items()},
        "per_image": {
            name: rule(*counts.swapaxes(0, 1)) for name, rule in MEASURES.items()
        },
    }


def iou(truth: ArrayLike, prediction: ArrayLike, classes: int) -> NDArray[np.float64]:
    """Return the intersection over the union of each class (Jaccard index).

    ``|T and P| / |T or P|`` of the pixels T and P of a class.

    Parameters
    ----------
    truth, prediction : array of int, any one shape
        Classes 0 .. `classes` - 1.
    classes : int
        How many classes there are.

    Returns
    -------
    array of float, shape (classes,)
        0 to 1, 1 is best; no unit. A class that is in one array only has 0; a class in
        neither has nothing to be right or wrong about: NaN, which `mean` leaves out.

    Raises
    ------
    DataError
        Shapes that differ, no pixels, classes outside the range.

    References
    ----------
    M. Everingham et al., "The PASCAL Visual Object Classes challenge", IJCV 88, 2010.

    Examples
    --------
    >>> iou([1, 1, 0, 0], [1, 0, 0, 0], 3).tolist()
    [0.6666666666666666, 0.5, nan]
    """
    both, true, predicted = _pixels(truth, prediction, classes)
    return _ratio(both, true + predicted - both)


def dice(truth: ArrayLike, prediction: ArrayLike, classes: int) -> NDArray[np.float64]:
    """Return the Dice coefficient of each class (F score of its pixels).

    ``2 |T and P| / (|T| + |P|)`` of the pixels T and P of a class; in terms of `iou`,
    ``2 iou / (1 + iou)``.

    Parameters
    ----------
    truth, prediction : array of int, any one shape
        Classes 0 .. `classes` - 1.
    classes : int
        How many classes there are.

    Returns
    -------
    array of float, shape (classes,)
        0 to 1, 1 is best; no unit. Classes that are missing are treated as by `iou`.

    Raises
    ------
    DataError
        Shapes that differ, no pixels, classes outside the range.

    References
    ----------
    L. R. Dice, "Measures of the amount of ecologic association between species",
    Ecology 26, 1945.

    Examples
    --------
    >>> dice([1, 1, 0, 0], [1, 0, 0, 0], 3).tolist()
    [0.8, 0.6666666666666666, nan]
    """
    both, true, predicted = _pixels(truth, prediction, classes)
    return _ratio(2 * both, true + predicted)


def pixel_accuracy(truth: ArrayLike, prediction: ArrayLike, classes: int) -> float:
    """Return the share of pixels that have the right class.

    Parameters
    ----------
    truth, prediction : array of int, any one shape
        Classes 0 .. `classes` - 1.
    classes : int
        How many classes there are.

    Returns
    -------
    float
        0 to 1, 1 is best; no unit.

    Raises
    ------
    DataError
        Shapes that differ, no pixels, classes outside the range.

    Examples
    --------
    >>> pixel_accuracy([1, 1, 0, 0], [1, 0, 0, 0], 2)
    0.75
    """
    both, true, _ = _pixels(truth, prediction, classes)
    return float(both.sum() / true.sum())


def mean(scores: NDArray[np.float64]) -> float:
    """Return the mean over the classes that occur; NaN if none does.

    Examples
    --------
    >>> mean(np.array([0.5, 1.0, np.nan]))
    0.75
    """
    defined = scores[~np.isnan(scores)]
    return float(defined.mean()) if defined.size else np.nan


def _pixels(
    truth: ArrayLike, prediction: ArrayLike, classes: int
) -> tuple[Numbers, Numbers, Numbers]:
    """Return the pixels of each class in both arrays, in the truth, as predicted."""
    true, predicted = np.asarray(truth), np.asarray(prediction)
    _check(true, predicted, classes)
    tp, fp, fn, _ = _counts(true.ravel(), predicted.ravel(), classes)
    return tp, tp + fn, tp + fp


def _check(true: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> None:
    if true.shape != predicted.shape or not true.size:
        raise DataError(
            f"truth of shape {true.shape} and prediction of shape {predicted.shape}: "
            "expected the same shape for both, with pixels"
        )
    for name, array in (("truth", true), ("prediction", predicted)):
        low, high = array.min(), array.max()
        if low < 0 or high >= classes:
            raise DataError(
                f"the {name} has classes {low} to {high}; expected 0 to {classes - 1}"
            )


def _counts(
    truth: NDArray[np.int64], prediction: NDArray[np.int64], classes: int
) -> Numbers:
    """Return TP, FP, FN and TN of each class, shape (4, classes), of flat arrays."""
    truth, prediction = truth.astype(np.intp), prediction.astype(np.intp)
    tp, true, taken = (
        np.bincount(each, minlength=classes)
        for each in (truth[truth == prediction], truth, prediction)
    )
    return np.array([tp, taken - tp, true - tp, truth.size - true - taken + tp])


def _ratio(part: NDArray[np.int64], total: NDArray[np.int64]) -> NDArray[np.float64]:
    result = np.full(part.shape, np.nan)
    np.divide(part, total, out=result, where=total > 0)
    return result
