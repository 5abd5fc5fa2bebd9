"""Bring images and labels to the pixel size that a net expects, as the plugin does.

Source: modeldef_h5.md, section 3. Pixel i of the new axis is read at ``i / scale`` of
the old one, without a shift by half a pixel; positions beyond the last pixel are
mirrored about it. The plugin's own rule there for slices is off by one and can leave
the stack; here slices follow the rule of rows and columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pyunet.errors import DataError

Value = TypeVar("Value", bound=np.generic)
UM_PER_UNIT = {"m": 1e6, "cm": 1e4, "mm": 1e3, "nm": 1e-3, "pm": 1e-6}


def rescaled_shape(
    shape: Sequence[int],
    element_size_um: Sequence[float],
    wanted_um: Sequence[float],
) -> tuple[int, ...]:
    """Give the extents of an image at another pixel size, rounded half up.

    Parameters
    ----------
    shape : sequence of int
        ([Z,] Y, X), as many axes as ``wanted_um`` has.
    element_size_um : sequence of float
        Of the image, (z)yx. With one number more than ``wanted_um`` the first, of z, is
        left out.
    wanted_um : sequence of float
        Of the net, (z)yx.

    Returns
    -------
    tuple of int

    Raises
    ------
    DataError
        A size that is not above 0, other axes, or an axis with no pixel left.

    Examples
    --------
    >>> rescaled_shape((100, 101), (0.25, 0.25), (0.5, 0.5))
    (50, 51)
    """
    scales = _scales(element_size_um, wanted_um)
    new = tuple(
        math.floor(extent * scale + 0.5)
        for extent, scale in zip(shape, scales, strict=True)
    )
    if min(new) < 1:
        raise DataError(
            f"an image of {'x'.join(map(str, shape))} pixels has none left on an axis "
            f"when {_listed(element_size_um)} um a pixel become {_listed(wanted_um)}"
        )
    return new


def rescale_image(
    image: NDArray[Any],
    element_size_um: Sequence[float],
    wanted_um: Sequence[float],
) -> NDArray[np.float32]:
    """Read an image at another pixel size, linearly along each axis.

    Parameters
    ----------
    image : ndarray, shape (..., [Z,] Y, X)
        As many of the last axes are rescaled as ``wanted_um`` has numbers.
    element_size_um, wanted_um : sequence of float
        As in `rescaled_shape`.

    Returns
    -------
    ndarray of float32, shape (..., [Z,] Y, X)

    Raises
    ------
    DataError
        As in `rescaled_shape`.

    Examples
    --------
    >>> rescale_image(np.array([[0, 4, 8]]), (1.0, 1.0), (1.0, 0.5)).tolist()
    [[0.0, 2.0, 4.0, 6.0, 8.0, 6.0]]
    """
    result = np.asarray(image, np.float32)
    for axis, scale, count in _changes(image.shape, element_size_um, wanted_um):
        place = np.arange(count) / scale
        lower = np.floor(place).astype(np.intp)
        upper = _mirrored(lower + 1, image.shape[axis])
        along = [1] * image.ndim
        along[axis] = count
        share = (place - lower).astype(np.float32).reshape(along)
        below, above = result.take(lower, axis), result.take(upper, axis)
        result = below * (np.float32(1) - share) + above * share
    return result


def rescale_labels(
    labels: NDArray[Value],
    element_size_um: Sequence[float],
    wanted_um: Sequence[float],
) -> NDArray[Value]:
    """Read labels at another pixel size: the nearest pixel, half up.

    Parameters
    ----------
    labels : ndarray, shape (..., [Z,] Y, X)
        Of any type.
    element_size_um, wanted_um : sequence of float
        As in `rescaled_shape`.

    Returns
    -------
    ndarray, shape (..., [Z,] Y, X), of the same type

    Raises
    ------
    DataError
        As in `rescaled_shape`.

    Examples
    --------
    >>> rescale_labels(np.array([[1, 2, 3]]), (1.0, 1.0), (1.0, 0.5)).tolist()
    [[1, 2, 2, 3, 3, 2]]
    """
    result = labels
    for axis, scale, count in _changes(labels.shape, element_size_um, wanted_um):
        nearest = np.floor(np.arange(count) / scale + 0.5).astype(np.intp)
        result = result.take(_mirrored(nearest, labels.shape[axis]), axis)
    return result


def _changes(
    shape: tuple[int, ...],
    element_size_um: Sequence[float],
    wanted_um: Sequence[float],
) -> list[tuple[int, float, int]]:
    """Give axis (from the end), scale and new extent where something changes."""
    axes = len(wanted_um)
    new = rescaled_shape(shape[-axes:], element_size_um, wanted_um)
    scales = _scales(element_size_um, wanted_um)
    return [
        (axis, scale, count)
        for axis, scale, count in zip(range(-axes, 0), scales, new, strict=True)
        if scale != 1
    ]


def _scales(
    element_size_um: Sequence[float], wanted_um: Sequence[float]
) -> tuple[float, ...]:
    own = tuple(element_size_um)[-len(wanted_um) :]
    if len(own) != len(wanted_um):
        raise DataError(
            f"a pixel size of {len(own)} axes ({_listed(own)} um); the net wants "
            f"{len(wanted_um)} ({_listed(wanted_um)} um)"
        )
    if not all(0 < size < math.inf for size in (*own, *wanted_um)):
        raise DataError(
            f"pixel sizes of {_listed(own)} and {_listed(wanted_um)} um; accepted are "
            "numbers above 0"
        )
    return tuple(size / wanted for size, wanted in zip(own, wanted_um, strict=True))


def _mirrored(index: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Mirror what lies beyond the last pixel; an axis of one pixel has only that."""
    inside = np.where(index < length, index, 2 * (length - 1) - index)
    return np.asarray(np.maximum(inside, 0), np.intp)


def _listed(sizes: Sequence[float]) -> str:
    return " x ".join(f"{size:g}" for size in sizes)
