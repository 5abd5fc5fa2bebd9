"""How far two shapes lie apart: Hausdorff and surface distances, in any dimension.

Truth comes before prediction. The surface of a shape is its pixels that have a
neighbour outside (by a side; beyond the array is outside). From each surface pixel the
distance to the nearest surface pixel of the other shape is taken, both ways. Distances
are in pixels, or in the unit of `element_size`, which says how large a pixel is along
each axis. Two empty shapes have distance 0; an empty and another one are infinitely far
apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from pyunet.errors import DataError

Floats = NDArray[np.float64]


def hausdorff(
    truth: ArrayLike, prediction: ArrayLike, *, element_size: Sequence[float] = ()
) -> float:
    """Return the largest distance of a surface pixel to the other surface.

    Parameters
    ----------
    truth, prediction : array, any one shape
        The shapes: all but 0.
    element_size : sequence of float, optional
        Size of a pixel along each axis, e.g. in micrometres; default 1 each.

    Returns
    -------
    float
        0 and more, 0 is best; in pixels or the unit of `element_size`. 0 if both are
        empty, infinite if one is.

    Raises
    ------
    DataError
        Shapes that differ, sizes that do not fit the axes or are not above 0.

    References
    ----------
    D. Huttenlocher et al., "Comparing images using the Hausdorff distance", PAMI 15,
    1993; of surfaces, as L. Maier-Hein et al., "Metrics reloaded", Nature Methods 21,
    2024, recommend.

    Examples
    --------
    >>> hausdorff([1, 1, 0, 0, 0], [1, 1, 1, 1, 0])
    2.0
    >>> hausdorff([1, 1, 0, 0, 0], [1, 1, 1, 1, 0], element_size=[0.5])
    1.0
    """
    there, back = surface_distances(truth, prediction, element_size=element_size)
    return _of_both(there, back, max(there.max(initial=0), back.max(initial=0)))


def hausdorff_95(
    truth: ArrayLike, prediction: ArrayLike, *, element_size: Sequence[float] = ()
) -> float:
    """Return the distance that 95 % of the surface pixels stay within.

    The larger of the two directions' 95th percentiles, interpolated linearly. (Some
    programs pool both directions before; that is never more.)

    Parameters
    ----------
    truth, prediction, element_size
        As of `hausdorff`.

    Returns
    -------
    float
        0 and more, 0 is best; as of `hausdorff`.

    Raises
    ------
    DataError
        As `hausdorff`.

    References
    ----------
    L. Maier-Hein et al., "Metrics reloaded", Nature Methods 21, 2024.

    Examples
    --------
    >>> hausdorff_95([1, 1, 0, 0, 0], [1, 1, 1, 1, 0])
    1.9
    """
    there, back = surface_distances(truth, prediction, element_size=element_size)
    if not there.size or not back.size:
        return _of_both(there, back, 0)
    return float(max(np.percentile(each, 95) for each in (there, back)))


def average_surface_distance(
    truth: ArrayLike, prediction: ArrayLike, *, element_size: Sequence[float] = ()
) -> float:
    """Return the mean distance of all surface pixels to the other surface (ASSD).

    The pixels of both surfaces are pooled, so the larger surface weighs more.

    Parameters
    ----------
    truth, prediction, element_size
        As of `hausdorff`.

    Returns
    -------
    float
        0 and more, 0 is best; as of `hausdorff`.

    Raises
    ------
    DataError
        As `hausdorff`.

    References
    ----------
    T. Heimann et al., "Comparison and evaluation of methods for liver segmentation
    from CT datasets", IEEE Trans. Med. Imaging 28, 2009.

    Examples
    --------
    >>> average_surface_distance([1, 1, 0, 0, 0], [1, 0, 0, 0, 0])
    0.3333333333333333
    """
    there, back = surface_distances(truth, prediction, element_size=element_size)
    count = max(there.size + back.size, 1)
    return _of_both(there, back, (there.sum() + back.sum()) / count)


def surface_distances(
    truth: ArrayLike, prediction: ArrayLike, *, element_size: Sequence[float] = ()
) -> tuple[Floats, Floats]:
    """Return the distances from the truth's surface to the prediction's, and back.

    Parameters
    ----------
    truth, prediction, element_size
        As of `hausdorff`.

    Returns
    -------
    there, back : array of float
        One distance a surface pixel, in raster order; empty for an empty shape,
        infinite where only the other one is.

    Raises
    ------
    DataError
        As `hausdorff`.

    Examples
    --------
    >>> there, back = surface_distances([1, 0, 0, 1], [1, 0, 0, 0])
    >>> there.tolist(), back.tolist()
    ([0.0, 3.0], [0.0])
    """
    true, predicted = np.asarray(truth) != 0, np.asarray(prediction) != 0
    if true.shape != predicted.shape or not true.ndim:
        raise DataError(
            f"truth of shape {true.shape} and prediction of shape {predicted.shape}: "
            "expected the same shape for both"
        )
    sizes = pixel_sizes(element_size, true.ndim)
    box = _box(true | predicted)
    edges = [
        each & ~ndimage.binary_erosion(each) for each in (true[box], predicted[box])
    ]
    return _to_nearest(edges[0], edges[1], sizes), _to_nearest(
        edges[1], edges[0], sizes
    )


def pixel_sizes(element_size: Sequence[float], axes: int) -> list[float]:
    """Return the size of a pixel along each axis, 1 if none is given; check them.

    Examples
    --------
    >>> pixel_sizes([], 2), pixel_sizes([0.5, 2], 2)
    ([1.0, 1.0], [0.5, 2.0])
    """
    sizes = [float(size) for size in element_size] or [1.0] * axes
    if len(sizes) != axes or not all(0 < size < math.inf for size in sizes):
        raise DataError(
            f"element_size {sizes}: expected {axes} numbers above 0, one for each axis"
        )
    return sizes


def _box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Return the smallest box around a mask: nothing outside it matters."""
    boxes: list[tuple[slice, ...]] = ndimage.find_objects(mask.astype(np.uint8))
    return boxes[0] if boxes else (slice(None),) * mask.ndim


def _to_nearest(
    pixels: NDArray[np.bool_], goal: NDArray[np.bool_], sizes: Sequence[float]
) -> Floats:
    if not goal.any():
        return np.full(np.count_nonzero(pixels), np.inf)
    distance: Floats = ndimage.distance_transform_edt(~goal, sampling=sizes)
    return distance[pixels]


def _of_both(there: Floats, back: Floats, value: Any) -> float:
    """Return the value if both shapes have pixels, else what emptiness means."""
    if bool(there.size) != bool(back.size):
        return math.inf
    return float(value)


def evaluate(
    truth: ArrayLike, prediction: ArrayLike, *, element_size: Sequence[float] = ()
) -> dict[str, float]:
    """Return all distances of the module.

    Parameters
    ----------
    truth, prediction, element_size
        As of `hausdorff`.

    Returns
    -------
    dict of str to float
        ``hausdorff``, ``hausdorff_95`` and ``average_surface_distance``.

    Raises
    ------
    DataError
        As `hausdorff`.

    Examples
    --------
    >>> evaluate([1, 0], [1, 1])["hausdorff"]
    1.0
    """
    functions = (hausdorff, hausdorff_95, average_surface_distance)
    return {
        each.__name__: each(truth, prediction, element_size=element_size)
        for each in functions
    }
