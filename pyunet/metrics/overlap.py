"""Overlap of two labellings with classes: IoU, Dice and pixel accuracy.

Truth comes before prediction. All functions pool the pixels of the arrays they are
given; for the score of one image, give that image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyunet.errors import DataError


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
    both, known, found = _pixels(truth, prediction, classes)
    return _ratio(both, known + found - both)


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
    both, known, found = _pixels(truth, prediction, classes)
    return _ratio(2 * both, known + found)


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
    both, known, _ = _pixels(truth, prediction, classes)
    return float(both.sum() / known.sum())


def mean(scores: NDArray[np.float64]) -> float:
    """Return the mean over the classes that occur.

    Examples
    --------
    >>> mean(np.array([0.5, 1.0, np.nan]))
    0.75
    """
    return float(np.nanmean(scores))


def _pixels(
    truth: ArrayLike, prediction: ArrayLike, classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the pixels of each class in both arrays, in the truth, as predicted."""
    known, found = np.asarray(truth), np.asarray(prediction)
    if known.shape != found.shape or not known.size:
        raise DataError(
            f"truth of shape {known.shape} and prediction of shape {found.shape}: "
            "accepted is the same shape for both, with pixels"
        )
    for name, array in (("truth", known), ("prediction", found)):
        low, high = array.min(), array.max()
        if low < 0 or high >= classes:
            raise DataError(
                f"the {name} has classes {low} to {high}; "
                f"accepted is 0 to {classes - 1}"
            )
    known, found = known.ravel().astype(np.intp), found.ravel().astype(np.intp)
    return (
        np.bincount(known[known == found], minlength=classes),
        np.bincount(known, minlength=classes),
        np.bincount(found, minlength=classes),
    )


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    result = np.full(part.shape, np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result
