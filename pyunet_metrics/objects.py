"""Scores of objects, such as glands and nuclei, from images of object numbers.

Truth comes before prediction. A label image has the number of an object at its pixels
and 0 elsewhere; numbers need not be dense, and the parts of one number are one object.
An array is one image, in any dimension; of a stack of images use `evaluate`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from pyunet.errors import DataError
from pyunet_metrics.contingency import Overlaps, overlaps
from pyunet_metrics.object_distance import object_hausdorff

__all__ = [
    "Panoptic",
    "aji",
    "evaluate",
    "f1",
    "f1_glas",
    "object_dice",
    "object_hausdorff",
    "panoptic_quality",
    "regions",
]


@dataclass(frozen=True)
class Panoptic:
    """Panoptic quality and its two factors.

    Attributes
    ----------
    pq, sq, rq : float
        ``pq = sq * rq``; segmentation quality is the mean IoU of the objects that were
        found, recognition quality their F1. All 0 to 1, 1 is best; no unit.
    """

    pq: float
    sq: float
    rq: float


def object_dice(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Return the object Dice of the GlaS challenge.

    Every object is paired with the one of the other image that shares most pixels with
    it; Dice of the pairs (0 without partner) is averaged over the truth's objects and
    over the prediction's, weighted by area, and the mean of the two is the score.

    Parameters
    ----------
    truth, prediction : array of int, any one shape
        Label images.

    Returns
    -------
    float
        0 to 1, 1 is best; NaN if there is no object at all; no unit.

    Raises
    ------
    DataError
        Shapes that differ, negative numbers or fractions.

    References
    ----------
    K. Sirinukunwattana et al., "Gland segmentation in colon histology images: the GlaS
    challenge contest", Medical Image Analysis 35, 2017.

    Examples
    --------
    Truth 4 pixels, found as 2 and 1: (1 * 4/6 + 2/3 * 4/6 + 1/3 * 2/5) / 2:

    >>> round(object_dice([1, 1, 1, 1], [7, 7, 9, 0]), 4)
    0.6222
    """
    return _object_dice(overlaps(truth, prediction))


def f1(truth: ArrayLike, prediction: ArrayLike, *, iou: float = 0.5) -> float:
    """Return F1 of the objects, found being those with an IoU above a threshold.

    Parameters
    ----------
    truth, prediction : array of int, any one shape
        Label images.
    iou : float, default 0.5
        An object is found if one of the prediction has a larger IoU with it; at least
        0.5, so that there is at most one.

    Returns
    -------
    float
        ``2 TP / (2 TP + FP + FN)``, 0 to 1, 1 is best; NaN if there is no object at
        all; no unit.

    Raises
    ------
    DataError
        Shapes that differ, negative numbers, fractions, another threshold.

    References
    ----------
    J. C. Caicedo et al., "Nucleus segmentation across imaging experiments: the 2018
    Data Science Bowl", Nature Methods 16, 2019.

    Examples
    --------
    >>> f1([1, 1, 1, 0, 2], [1, 1, 0, 3, 0])
    0.5
    """
    return _f1(overlaps(truth, prediction), iou)


def f1_glas(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Return F1 of the objects as the GlaS challenge counts them.

    An object of the prediction is paired with the object of the truth that it shares
    most pixels with, and is right if it covers at least half of that. An object of the
    truth is found once: further objects that cover it are wrong.

    Parameters
    ----------
    truth, prediction : array of int, any one shape
        Label images.

    Returns
    -------
    float
        0 to 1, 1 is best; NaN if there is no object at all; no unit.

    Raises
    ------
    DataError
        Shapes that differ, negative numbers or fractions.

    References
    ----------
    As of `object_dice`.

    Examples
    --------
    Covering is enough, however much too large:

    >>> f1_glas([0, 1, 1, 0, 0], [2, 2, 2, 2, 2])
    1.0
    """
    return _f1_glas(overlaps(truth, prediction))


def aji(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Return the aggregated Jaccard index.

    Every object of the truth is paired with the object of largest IoU; the shared
    pixels of all pairs are divided by the pixels of their unions and of all objects
    that are in no pair. An object of the prediction may be in several pairs.

    Parameters
    ----------
    truth, prediction : array of int, any one shape
        Label images.

    Returns
    -------
    float
        0 to 1, 1 is best; NaN if there is no object at all; no unit.

    Raises
    ------
    DataError
        Shapes that differ, negative numbers or fractions.

    References
    ----------
    N. Kumar et al., "A dataset and a technique for generalized nuclear segmentation
    for computational pathology", IEEE Trans. Med. Imaging 36, 2017.

    Examples
    --------
    Shared 2 of 3, and one object of 1 pixel in no pair:

    >>> aji([1, 1, 1, 0, 0], [1, 1, 0, 0, 2])
    0.5
    """
    return _aji(overlaps(truth, prediction))


def panoptic_quality(truth: ArrayLike, prediction: ArrayLike) -> Panoptic:
    """Return the panoptic quality of the objects, PQ = SQ * RQ.

    Two objects match if their IoU is above 0.5; PQ is the sum of the IoU of all
    matches over ``TP + FP / 2 + FN / 2``.

    Parameters
    ----------
    truth, prediction : array of int, any one shape
        Label images.

    Returns
    -------
    Panoptic
        All 0 where nothing matches, all NaN where there is no object at all.

    Raises
    ------
    DataError
        Shapes that differ, negative numbers or fractions.

    References
    ----------
    A. Kirillov et al., "Panoptic segmentation", CVPR 2019.

    Examples
    --------
    >>> panoptic_quality([1, 1, 1, 0, 2], [1, 1, 0, 3, 0])
    Panoptic(pq=0.3333333333333333, sq=0.6666666666666666, rq=0.5)
    """
    return _panoptic(overlaps(truth, prediction))


def evaluate(
    truth: ArrayLike, prediction: ArrayLike, *, element_size: Sequence[float] = ()
) -> dict[str, Any]:
    """Return all scores of a stack of images: pooled, and of each image.

    Parameters
    ----------
    truth, prediction : array of int, shape (N, [Z,] Y, X)
        Label images; axis 0 counts images, whose objects have nothing to do with
        each other.
    element_size : sequence of float, optional
        Size of a pixel along each axis of an image; default 1 each.

    Returns
    -------
    dict
        ``"pooled"``: name -> float, all objects of all images together;
        ``"per_image"``: name -> list of float. Names are ``object_dice``,
        ``object_hausdorff`` (pooled: the mean over the images), ``f1``, ``f1_glas``,
        ``aji``, ``pq``, ``sq``, ``rq``.

    Raises
    ------
    DataError
        Shapes that differ, negative numbers, fractions, sizes that do not fit.

    Examples
    --------
    >>> scores = evaluate([[1, 1, 0], [1, 0, 2]], [[1, 1, 0], [1, 0, 0]])
    >>> scores["per_image"]["f1"], round(scores["pooled"]["f1"], 4)
    ([1.0, 0.6666666666666666], 0.8)
    """
    true, predicted = np.asarray(truth), np.asarray(prediction)
    if true.shape != predicted.shape or true.ndim < 2 or not true.size:
        raise DataError(
            f"truth of shape {true.shape} and prediction of shape {predicted.shape}: "
            "expected the same shape for both, (N, [Z,] Y, X)"
        )
    pairs = list(zip(true, predicted, strict=True))
    each = [_scores(overlaps(*pair)) for pair in pairs]
    distances = [object_hausdorff(*pair, element_size=element_size) for pair in pairs]
    pooled = _scores(overlaps(_apart(true), _apart(predicted)))
    mean = float(np.mean(distances))
    return {
        "pooled": {**pooled, "object_hausdorff": mean},
        "per_image": {
            **{name: [image_scores[name] for image_scores in each] for name in pooled},
            "object_hausdorff": distances,
        },
    }


def regions(classes: ArrayLike, *, volume: bool = False) -> NDArray[np.int32]:
    """Give the connected regions of each class but 0 numbers; neighbours share a side.

    Parameters
    ----------
    classes : array of int, shape (Z, Y, X)
    volume : bool, default False
        Regions go on from slice to slice; otherwise every slice has its own.

    Examples
    --------
    >>> regions([[[1, 1, 2, 0, 1]]]).tolist()
    [[[1, 1, 3, 0, 2]]]
    """
    given = np.asarray(classes)
    structure = ndimage.generate_binary_structure(given.ndim, 1)
    if not volume:
        structure[[0, -1]] = False
    result = np.zeros(given.shape, np.int32)
    last = 0
    for number in np.unique(given[given > 0]):
        of_class, count = ndimage.label(given == number, structure)
        result[of_class > 0] = of_class[of_class > 0] + last
        last += count
    return result


def _apart(images: NDArray[Any]) -> NDArray[np.int64]:
    """Give the objects of each image numbers of their own."""
    numbers = images.astype(np.int64)
    step = int(numbers.max()) + 1
    first = np.arange(len(images)).reshape(-1, *[1] * (images.ndim - 1)) * step
    return np.where(numbers > 0, numbers + first, numbers)


def _scores(common: Overlaps) -> dict[str, float]:
    quality = _panoptic(common)
    return {
        "object_dice": _object_dice(common),
        "f1": _f1(common, 0.5),
        "f1_glas": _f1_glas(common),
        "aji": _aji(common),
        "pq": quality.pq,
        "sq": quality.sq,
        "rq": quality.rq,
    }


def _object_dice(common: Overlaps) -> float:
    if not common.truth.size and not common.prediction.size:
        return math.nan
    if not common.shared.size:
        return 0.0
    areas, others = common.truth_areas, common.prediction_areas
    there = _mean_dice(common.shared, areas, others)
    return (there + _mean_dice(common.shared.T, others, areas)) / 2


def _mean_dice(
    shared: NDArray[np.int64], areas: NDArray[np.int64], others: NDArray[np.int64]
) -> float:
    partner = shared.argmax(axis=1)
    dice = 2 * shared.max(axis=1) / (areas + others[partner])
    return float((dice * areas).sum() / areas.sum())


def _iou(common: Overlaps) -> NDArray[np.float64]:
    union = common.truth_areas[:, None] + common.prediction_areas - common.shared
    return np.asarray(common.shared / union)


def _f1(common: Overlaps, threshold: float) -> float:
    if not 0.5 <= threshold < 1:
        raise DataError(f"iou {threshold:g}: expected 0.5 or more, and below 1")
    hits = int((_iou(common) > threshold).sum())
    return _harmonic(hits, common)


def _f1_glas(common: Overlaps) -> float:
    if not common.shared.size:
        return _harmonic(0, common)
    partner = common.shared.argmax(axis=0)
    covered = 2 * common.shared.max(axis=0) >= common.truth_areas[partner]
    return _harmonic(len(np.unique(partner[covered])), common)


def _harmonic(hits: int, common: Overlaps) -> float:
    objects = common.truth.size + common.prediction.size
    return 2 * hits / objects if objects else math.nan


def _aji(common: Overlaps) -> float:
    total = int(common.truth_areas.sum() + common.prediction_areas.sum())
    if not common.shared.size:
        return 0.0 if total else math.nan
    partner = _iou(common).argmax(axis=1)
    shared = common.shared[np.arange(partner.size), partner]
    paired = partner[shared > 0]
    union = (
        common.truth_areas.sum() + common.prediction_areas[paired].sum() - shared.sum()
    )
    alone = np.delete(common.prediction_areas, paired).sum()
    return float(shared.sum() / (union + alone))


def _panoptic(common: Overlaps) -> Panoptic:
    iou = _iou(common)
    matched = iou[iou > 0.5]
    recognition = _harmonic(matched.size, common)
    if math.isnan(recognition):
        return Panoptic(math.nan, math.nan, math.nan)
    segmentation = float(matched.mean()) if matched.size else 0.0
    return Panoptic(segmentation * recognition, segmentation, recognition)
