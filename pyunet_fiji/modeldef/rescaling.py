"""Bring images and labels to the pixel size that a net expects, as the plugin does.

Source: modeldef_h5.md, section 3. Pixel i of the new axis is read at ``i / scale`` of
the old one, without a shift by half a pixel; positions beyond the last pixel are
mirrored about it. The plugin's own rule there for slices is off by one and can leave
the stack; here slices follow the rule of rows and columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pyunet.errors import DataError

Value = TypeVar("Value", bound=np.generic)


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
    axes = len(wanted_um)
    rule = Linear.forward(image.shape[-axes:], element_size_um, wanted_um)
    return rule.apply(image, tuple(slice(0, length) for length in rule.extent))


@dataclass(frozen=True)
class _Line:
    """Where the pixels of an axis are read, between two neighbours."""

    lower: NDArray[np.intp]
    upper: NDArray[np.intp]
    share: NDArray[np.float32]


@dataclass(frozen=True)
class Linear:
    """Linear interpolation along each axis, for an image or a window of it.

    A window of the new image has the same values, bit by bit, as the new image there.

    Attributes
    ----------
    extent : tuple of int
        Of the new image, ([Z,] Y, X).
    lines : tuple
        Where the pixels of each axis are read; None: it stays as it is.

    Examples
    --------
    >>> double = Linear.forward((1, 3), (1.0, 1.0), (1.0, 0.5))
    >>> last = (slice(0, 1), slice(4, 6))
    >>> double.source(last), double.apply(np.array([[4.0, 8.0]]), last).tolist()
    ((slice(0, 1, None), slice(1, 3, None)), [[8.0, 6.0]])
    """

    extent: tuple[int, ...]
    lines: tuple[_Line | None, ...]

    @classmethod
    def forward(
        cls,
        own: Sequence[int],
        element_size_um: Sequence[float],
        wanted_um: Sequence[float],
    ) -> Linear:
        """Go to the pixel size of a net; see `rescale_image`.

        Parameters
        ----------
        own : sequence of int
            ([Z,] Y, X) of the image.
        element_size_um, wanted_um : sequence of float
            As in `rescaled_shape`.

        Raises
        ------
        DataError
            As in `rescaled_shape`.
        """
        extent = rescaled_shape(own, element_size_um, wanted_um)
        scales = _scales(element_size_um, wanted_um)
        lines: list[_Line | None] = []
        for length, scale, count in zip(own, scales, extent, strict=True):
            place = np.arange(count) / scale
            lower = np.floor(place).astype(np.intp)
            upper = _mirrored(lower + 1, length)
            share = (place - lower).astype(np.float32)
            lines.append(None if scale == 1 else _Line(lower, upper, share))
        return cls(extent, tuple(lines))

    @classmethod
    def back(
        cls, shape: Sequence[int], own: Sequence[int], scales: Sequence[float]
    ) -> Linear:
        """Go back to the pixels of the image itself.

        Pixel i of the image lies at ``i * scale`` of the rescaled one, and beyond its
        last pixel that one is read.

        Parameters
        ----------
        shape, own : sequence of int
            ([Z,] Y, X) of the rescaled image, and of the image itself.
        scales : sequence of float
            Own pixel size by that of the net, one an axis.
        """
        lines: list[_Line | None] = []
        for length, scale, count in zip(shape, scales, own, strict=True):
            place = np.minimum(np.arange(count) * scale, length - 1)
            lower = np.floor(place).astype(np.intp)
            upper = np.minimum(lower + 1, length - 1)
            share = (place - lower).astype(np.float32)
            lines.append(None if scale == 1 else _Line(lower, upper, share))
        return cls(tuple(own), tuple(lines))

    def source(self, at: tuple[slice, ...]) -> tuple[slice, ...]:
        """Give the old pixels that the new ones at a place are read from."""
        found = []
        for line, one in zip(self.lines, at, strict=True):
            if line is None:
                found.append(one)
                continue
            places = np.concatenate([line.lower[one], line.upper[one]])
            found.append(slice(int(places.min()), int(places.max()) + 1))
        return tuple(found)

    def apply(self, part: NDArray[Any], at: tuple[slice, ...]) -> NDArray[np.float32]:
        """Read the new pixels at a place from the old ones that `source` names.

        Parameters
        ----------
        part : ndarray, shape (..., [Z,] Y, X)
        at : tuple of slice
        """
        result = np.asarray(part, np.float32)
        first = result.ndim - len(at)
        source = self.source(at)
        for axis, (line, one, old) in enumerate(
            zip(self.lines, at, source, strict=True), first
        ):
            if line is None:
                continue
            along = [1] * result.ndim
            along[axis] = one.stop - one.start
            share = line.share[one].reshape(along)
            below = result.take(line.lower[one] - old.start, axis)
            above = result.take(line.upper[one] - old.start, axis)
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
