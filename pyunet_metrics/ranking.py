"""How well a map ranks pixels: ROC, precision and recall over all thresholds.

Truth comes before prediction. A threshold calls positive what is at or above it; pixels
of one value change sides together, so that ties are exact. Pixels outside a mask, such
as a field of view, are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyunet.errors import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """Counts at every distinct value of a map, from the largest to the smallest.

    Attributes
    ----------
    thresholds : array of float, shape (K,)
        The distinct values, descending.
    tp, fp : array of int64, shape (K,)
        True and false positives if all at or above the threshold is positive.

    Examples
    --------
    >>> ranks = Ranking.of([0, 1, 1, 0], [0.1, 0.4, 0.8, 0.4])
    >>> ranks.thresholds.tolist(), ranks.tp.tolist(), ranks.fp.tolist()
    ([0.8, 0.4, 0.1], [1, 2, 2], [0, 1, 2])
    """

    thresholds: Floats
    tp: NDArray[np.int64]
    fp: NDArray[np.int64]

    @classmethod
    def of(
        cls, truth: ArrayLike, prediction: ArrayLike, *, mask: ArrayLike | None = None
    ) -> Ranking:
        """Count.

        Parameters
        ----------
        truth : array, any shape
            0 is negative, all else positive.
        prediction : array, same shape
            Larger is more likely positive; any unit.
        mask : array of bool, same shape, optional
            The pixels that count; default all.

        Raises
        ------
        DataError
            Shapes that differ, no pixels, NaN.
        """
        true, predicted = np.asarray(truth) != 0, np.asarray(prediction)
        kept = np.ones(true.shape, bool) if mask is None else np.asarray(mask, bool)
        if not true.shape == predicted.shape == kept.shape or not kept.any():
            raise DataError(
                f"truth of shape {true.shape}, prediction of shape {predicted.shape}, "
                f"mask of shape {kept.shape} with {np.count_nonzero(kept)} pixels: "
                "expected one shape for all, with pixels"
            )
        values, positive = predicted[kept], true[kept]
        if np.isnan(values).any():
            raise DataError("the prediction has NaN values; expected numbers")
        distinct, places = np.unique(values, return_inverse=True)
        total = np.bincount(places.ravel(), minlength=distinct.size)
        positives = np.bincount(places.ravel()[positive], minlength=distinct.size)
        return cls(
            distinct[::-1].astype(np.float64),
            np.cumsum(positives[::-1]),
            np.cumsum((total - positives)[::-1]),
        )

    @property
    def positives(self) -> int:
        """Pixels that are positive in the truth."""
        return int(self.tp[-1])

    @property
    def negatives(self) -> int:
        """Pixels that are negative in the truth."""
        return int(self.fp[-1])

    def roc_auc(self) -> float:
        """Return `roc_auc`."""
        if not self.positives or not self.negatives:
            return math.nan
        area = _trapezoids(np.append(0, self.tp), np.append(0, self.fp))
        return float(area / (self.positives * self.negatives))

    def average_precision(self) -> float:
        """Return `average_precision`."""
        if not self.positives:
            return math.nan
        gained = np.diff(self.tp, prepend=0) / self.positives
        return float((gained * self._precision()).sum())

    def pr_auc(self) -> float:
        """Return `pr_auc`."""
        if not self.positives:
            return math.nan
        recall = np.append(0, self.tp) / self.positives
        return float(_trapezoids(np.append(1.0, self._precision()), recall))

    def best_f1(self) -> tuple[float, float]:
        """Return `best_f1`."""
        if not self.positives:
            return math.nan, math.nan
        scores = 2 * self.tp / (self.tp + self.fp + self.positives)
        place = int(scores.argmax())
        return float(scores[place]), float(self.thresholds[place])

    def _precision(self) -> Floats:
        return np.asarray(self.tp / (self.tp + self.fp))


def _trapezoids(heights: Floats, places: Floats) -> float:
    """Return the area under points joined by lines."""
    return float(((heights[1:] + heights[:-1]) / 2 * np.diff(places)).sum())


def roc_auc(
    truth: ArrayLike, prediction: ArrayLike, *, mask: ArrayLike | None = None
) -> float:
    """Return the area under the curve of true over false positive rate.

    The chance that a positive pixel has a larger value than a negative one, equal
    values counted half (Mann and Whitney's U): the trapezoids of the curve, exactly.

    Parameters
    ----------
    truth, prediction, mask
        As of `Ranking.of`.

    Returns
    -------
    float
        0 to 1, 1 is best, 0.5 is chance; NaN unless both kinds of pixels are there; no
        unit.

    Raises
    ------
    DataError
        Shapes that differ, no pixels, NaN.

    References
    ----------
    T. Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 27, 2006.

    Examples
    --------
    >>> roc_auc([0, 1, 1, 0], [0.1, 0.4, 0.8, 0.4])
    0.875
    """
    return Ranking.of(truth, prediction, mask=mask).roc_auc()


def average_precision(
    truth: ArrayLike, prediction: ArrayLike, *, mask: ArrayLike | None = None
) -> float:
    """Return the area under precision over recall, as steps.

    The sum over thresholds of precision times the recall gained there, nothing between
    two points assumed (scikit-learn's ``average_precision_score``).

    Parameters
    ----------
    truth, prediction, mask
        As of `Ranking.of`.

    Returns
    -------
    float
        0 to 1, 1 is best, the share of positive pixels is chance; NaN without any
        positive pixel; no unit.

    Raises
    ------
    DataError
        Shapes that differ, no pixels, NaN.

    References
    ----------
    J. Davis, M. Goadrich, "The relationship between precision-recall and ROC curves",
    ICML 2006, on why points of this curve must not be joined by lines.

    Examples
    --------
    >>> round(average_precision([0, 1, 1, 0], [0.1, 0.4, 0.8, 0.4]), 12)
    0.833333333333
    """
    return Ranking.of(truth, prediction, mask=mask).average_precision()


def pr_auc(
    truth: ArrayLike, prediction: ArrayLike, *, mask: ArrayLike | None = None
) -> float:
    """Return the area under precision over recall, as trapezoids.

    Points are joined by lines, beginning at recall 0 with precision 1 (scikit-learn's
    ``auc`` of its ``precision_recall_curve``). Somewhat kinder than
    `average_precision`, and what many papers call AUC-PR.

    Parameters
    ----------
    truth, prediction, mask
        As of `Ranking.of`.

    Returns
    -------
    float
        0 to 1, 1 is best; NaN without any positive pixel; no unit.

    Raises
    ------
    DataError
        Shapes that differ, no pixels, NaN.

    References
    ----------
    See `average_precision`.

    Examples
    --------
    >>> round(pr_auc([0, 1, 1, 0], [0.1, 0.4, 0.8, 0.4]), 12)
    0.916666666667
    """
    return Ranking.of(truth, prediction, mask=mask).pr_auc()


def best_f1(
    truth: ArrayLike, prediction: ArrayLike, *, mask: ArrayLike | None = None
) -> tuple[float, float]:
    """Return the largest F1 of any threshold, and that threshold.

    Every value that occurs is tried; of equal F1 the largest threshold counts. It is
    chosen by the truth, so this is a bound of what one threshold can give.

    Parameters
    ----------
    truth, prediction, mask
        As of `Ranking.of`.

    Returns
    -------
    f1 : float
        0 to 1, 1 is best; NaN without any positive pixel; no unit.
    threshold : float
        Positive is what is at or above it; in units of the prediction.

    Raises
    ------
    DataError
        Shapes that differ, no pixels, NaN.

    Examples
    --------
    >>> best_f1([0, 1, 1, 0], [0.1, 0.4, 0.8, 0.4])
    (0.8, 0.4)
    """
    return Ranking.of(truth, prediction, mask=mask).best_f1()


def evaluate(
    truth: ArrayLike, prediction: ArrayLike, *, mask: ArrayLike | None = None
) -> dict[str, float]:
    """Return all of the module from one count.

    Parameters
    ----------
    truth, prediction, mask
        As of `Ranking.of`.

    Returns
    -------
    dict of str to float
        ``roc_auc``, ``average_precision``, ``pr_auc``, ``best_f1`` and
        ``best_f1_threshold``.

    Raises
    ------
    DataError
        Shapes that differ, no pixels, NaN.

    Examples
    --------
    >>> evaluate([0, 1], [0.2, 0.7])["roc_auc"]
    1.0
    """
    ranks = Ranking.of(truth, prediction, mask=mask)
    score, threshold = ranks.best_f1()
    return {
        "roc_auc": ranks.roc_auc(),
        "average_precision": ranks.average_precision(),
        "pr_auc": ranks.pr_auc(),
        "best_f1": score,
        "best_f1_threshold": threshold,
    }
