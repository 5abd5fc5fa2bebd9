"""The object Hausdorff distance of two label images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from pyunet_metrics.contingency import overlaps
from pyunet_metrics.distance import pixel_sizes


def object_hausdorff(
    truth: ArrayLike, prediction: ArrayLike, *, element_size: Sequence[float] = ()
) -> float:
    """Return the object Hausdorff distance of the GlaS challenge.

    Pairs, weights and mean as of `pyunet_metrics.objects.object_dice`. The distance of
    a pair is the largest distance of a pixel of one object to the nearest pixel of the
    other. An object that shares no pixel with any is paired with the one at the
    smallest such distance.

    Parameters
    ----------
    truth, prediction : array of int, any one shape
        Label images.
    element_size : sequence of float, optional
        Size of a pixel along each axis; default 1 each.

    Returns
    -------
    float
        0 and more, 0 is best; in pixels or the unit of `element_size`. 0 if neither
        image has an object, infinite if one has none.

    Raises
    ------
    DataError
        Shapes that differ, negative numbers, fractions, sizes that do not fit.

    References
    ----------
    K. Sirinukunwattana et al., "Gland segmentation in colon histology images: the GlaS
    challenge contest", Medical Image Analysis 35, 2017.

    Examples
    --------
    >>> object_hausdorff([1, 1, 0, 0, 2], [1, 1, 1, 0, 2])
    0.7083333333333333
    """
    true, predicted = np.asarray(truth), np.asarray(prediction)
    common = overlaps(true, predicted)
    if not common.truth.size or not common.prediction.size:
        return 0.0 if common.truth.size == common.prediction.size else math.inf
    sizes = np.array(pixel_sizes(element_size, true.ndim))
    shapes = [
        [_Shape(image == number, sizes) for number in numbers]
        for image, numbers in ((true, common.truth), (predicted, common.prediction))
    ]
    ours, others = shapes
    there = _mean_distance(ours, others, common.shared, common.truth_areas)
    back = _mean_distance(others, ours, common.shared.T, common.prediction_areas)
    return (there + back) / 2


class _Shape:
    """The pixels of an object, the nearest of which a tree finds, and their box."""

    def __init__(self, mask: NDArray[np.bool_], sizes: NDArray[np.float64]) -> None:
        self.points = np.argwhere(mask) * sizes
        self.tree = cKDTree(self.points)
        self.box = np.stack([self.points.min(axis=0), self.points.max(axis=0)])

    def distance(self, other: _Shape) -> float:
        there, _ = other.tree.query(self.points)
        back, _ = self.tree.query(other.points)
        return float(max(there.max(), back.max()))

    def nearest(self, others: list[_Shape]) -> float:
        """Return the smallest distance to any of others.

        The sides of the boxes around two shapes are never farther apart than the
        shapes, which spares most of the others a look.
        """
        bounds = [float(np.abs(self.box - other.box).max()) for other in others]
        best = math.inf
        for number in np.argsort(bounds):
            if bounds[number] >= best:
                break
            best = min(best, self.distance(others[number]))
        return best


def _mean_distance(
    shapes: list[_Shape],
    others: list[_Shape],
    shared: NDArray[np.int64],
    areas: NDArray[np.int64],
) -> float:
    distances = [
        shape.distance(others[row.argmax()]) if row.any() else shape.nearest(others)
        for shape, row in zip(shapes, shared, strict=True)
    ]
    return float((np.array(distances) * areas).sum() / areas.sum())
