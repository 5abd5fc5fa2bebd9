"""The objects of one frame: connected components, small ones left out, their place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

IntArray = NDArray[np.int32]


def find_objects(
    foreground: NDArray[Any], *, min_area_px: int = 0, fill_holes: bool = False
) -> IntArray:
    """Give numbers to the connected components of a frame in raster order.

    Pixels that touch at a corner belong together (8 neighbours, 26 in a volume).

    Parameters
    ----------
    foreground : ndarray, shape ([Z,] Y, X)
        What is above 0 is foreground.
    min_area_px : int, default 0
        Only objects with strictly more pixels are kept; 0 keeps all.
    fill_holes : bool, default False
        Fill holes first: background that cannot be left sideways (4 or 6 neighbours).

    Returns
    -------
    ndarray of int32, same shape
        0 is background; objects are 1, 2, ... in the order of their first pixels.

    Examples
    --------
    >>> find_objects(np.array([[0, 1, 0, 1], [1, 0, 0, 1]]))
    array([[0, 1, 0, 2],
           [1, 0, 0, 2]], dtype=int32)
    >>> find_objects(np.array([[0, 1, 0, 1], [0, 0, 0, 1]]), min_area_px=1)
    array([[0, 0, 0, 1],
           [0, 0, 0, 1]], dtype=int32)
    """
    mask = np.asarray(foreground) > 0
    if fill_holes:
        mask = ndimage.binary_fill_holes(mask)
    every = ndimage.generate_binary_structure(mask.ndim, mask.ndim)
    labels, count = ndimage.label(mask, every)
    places = np.flatnonzero(labels)
    component_of = labels.ravel()[places]
    first = np.full(count + 1, labels.size)
    np.minimum.at(first, component_of, places)
    areas = np.bincount(component_of, minlength=count + 1)
    kept = np.flatnonzero(areas > max(0, min_area_px))
    numbers = np.zeros(count + 1, np.int32)
    numbers[kept[np.argsort(first[kept])]] = np.arange(1, len(kept) + 1)
    result: IntArray = numbers[labels]
    return result


def seen_objects(objects: IntArray, *, border_px: int) -> NDArray[np.bool_]:
    """Tell which objects touch the field of interest: the image without a border.

    Parameters
    ----------
    objects : ndarray of int, shape ([Z,] Y, X)
        0 is background.
    border_px : int
        Width of the border along Y and X; 0: the field is the whole image.

    Returns
    -------
    ndarray of bool, shape (largest number + 1,)
        By number; the background is never seen.

    Examples
    --------
    >>> seen_objects(np.array([[1, 0, 0], [0, 2, 2], [0, 0, 0]]), border_px=1).tolist()
    [False, False, True]
    """
    height, width = objects.shape[-2:]
    field = objects[
        ...,
        border_px : max(0, height - border_px),
        border_px : max(0, width - border_px),
    ]
    seen = np.bincount(field.ravel(), minlength=int(objects.max(initial=0)) + 1) > 0
    seen[0] = False
    return seen


def overlaps(
    before: IntArray, after: IntArray
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Count the common pixels of the objects of two frames.

    Parameters
    ----------
    before, after : ndarray of int, of one shape
        0 is background.

    Returns
    -------
    tuple of ndarray of int, each of shape (P,)
        Objects of the first frame, of the second one, their common pixels; sorted by
        the first, then by the second.

    Examples
    --------
    >>> first, second, common = overlaps(np.array([1, 1, 1, 2]), np.array([0, 7, 7, 7]))
    >>> first.tolist(), second.tolist(), common.tolist()
    ([1, 2], [7, 7], [2, 1])
    """
    both = (before > 0) & (after > 0)
    base = int(after.max(initial=0)) + 1
    codes, common = np.unique(
        before[both].astype(np.int64) * base + after[both], return_counts=True
    )
    return codes // base, codes % base, common.astype(np.int64)
