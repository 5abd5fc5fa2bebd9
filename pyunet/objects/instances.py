"""Tell the objects of a segmentation apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import measure, morphology, segmentation

from pyunet.errors import DataError

How = Literal["components", "watershed"]
IntArray = NDArray[np.int32]
SMOOTH_PX = 1.0
NECK_PX = 0.75


def find_instances(
    labels: NDArray[Any],
    *,
    how: How = "components",
    classes: Sequence[int] = (),
    min_size_px: int = 0,
) -> IntArray:
    """Give numbers to the objects of one image or volume.

    Parameters
    ----------
    labels : ndarray of int, shape ([Z,] Y, X)
        A class a pixel.
    how : {"components", "watershed"}
        ``components``: what hangs together sideways (4 or 6 neighbours) is one object.
        ``watershed``: round objects that touch are parted at their necks, where the
        distance to the border, smoothed by 1 pixel, is at least 0.75 pixels lower than
        on both sides (Vincent and Soille 1991 on the distance transform).
    classes : sequence of int
        Classes whose objects to find; default: all but 0. Objects of two classes are
        never one.
    min_size_px : int, default 0
        Smaller objects are left out.

    Returns
    -------
    ndarray of int32, same shape
        0 is background, objects are 1, 2, ... in the order of their first pixels.

    Raises
    ------
    DataError
        Another way.

    Examples
    --------
    >>> find_instances(np.array([[1, 0, 1], [0, 0, 1], [2, 2, 1]]))
    array([[1, 0, 2],
           [0, 0, 2],
           [3, 3, 2]], dtype=int32)
    """
    if how not in get_args(How):
        raise DataError(f"instances {how!r}: expected components or watershed")
    objects = np.zeros(labels.shape, np.int64)
    for value in np.unique(labels):
        if value not in classes if classes else value == 0:
            continue
        regions = _regions(labels == value, connectivity=1).astype(np.int64)
        if how == "watershed":
            regions = _parted(regions)
        objects += np.where(regions > 0, regions + objects.max(initial=0), 0)
    return _numbered(objects, min_size_px)


def _regions(values: NDArray[Any], *, connectivity: int) -> NDArray[np.intp]:
    regions: NDArray[np.intp] = measure.label(  # type: ignore[no-untyped-call]
        values, background=0, connectivity=connectivity
    )
    return regions


def _parted(components: NDArray[np.int64]) -> NDArray[np.int64]:
    """Part components at their necks."""
    inside = components > 0
    height = ndimage.gaussian_filter(ndimage.distance_transform_edt(inside), SMOOTH_PX)
    # maxima that rise by less than the neck do not count
    flat = morphology.reconstruction(  # type: ignore[no-untyped-call]
        height - NECK_PX, height
    )
    tops = morphology.local_maxima(flat)  # type: ignore[no-untyped-call]
    seeds = _regions(np.where(tops, components, 0), connectivity=inside.ndim)
    seeds = seeds.astype(np.int64)
    has_seed = np.zeros(int(components.max(initial=0)) + 1, bool)
    has_seed[components[seeds > 0]] = True
    without = inside & ~has_seed[components]
    seeds[without] = components[without] + seeds.max(initial=0)
    parted = segmentation.watershed(  # type: ignore[no-untyped-call]
        -height, seeds, mask=inside
    )
    return np.asarray(parted, np.int64)


def _numbered(objects: NDArray[np.int64], min_size_px: int) -> IntArray:
    """Leave out small objects, and number the others by their first pixels."""
    values, first, sizes = np.unique(objects, return_index=True, return_counts=True)
    kept = (values > 0) & (sizes >= min_size_px)
    numbers = np.zeros(int(objects.max(initial=0)) + 1, np.int32)
    numbers[values[kept][np.argsort(first[kept])]] = np.arange(1, kept.sum() + 1)
    result: IntArray = numbers[objects]
    return result
