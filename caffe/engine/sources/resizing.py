"""Resizing as OpenCV does with INTER_LINEAR."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe.errors import CheckError

_BITS = 11  # binary digits of the weights of bytes
_TYPES = ("uint8", "uint16", "int16", "float32", "float64")
Array = NDArray[Any]


def resize(image: Array, size: tuple[int, int], zoom: float | None = None) -> Array:
    """Resize an image by linear interpolation, without smoothing before.

    Equal to OpenCV's to the bit for bytes and float32 (as its packages for x86 compute
    that). Bytes are interpolated in whole numbers, by weights of 11 binary digits.

    Parameters
    ----------
    image : array of shape (height, width, channels)
    size : (width, height)
    zoom : float, optional
        What distances are multiplied by; default: what the sizes are.

    Raises
    ------
    CheckError
        For other types of numbers, or a size below 1.

    Examples
    --------
    >>> resize(np.uint8([[[0], [100]]]), (4, 1)).ravel().tolist()
    [0, 25, 75, 100]
    """
    if image.dtype.name not in _TYPES:
        raise CheckError(
            f"an image of {image.dtype} is to be resized: expected one of "
            f"{', '.join(_TYPES)}"
        )
    if min(size) < 1:
        raise CheckError(f"size is {size}: expected (width, height), 1 or more")
    bytewise = image.dtype == np.uint8
    height, width = image.shape[:2]
    if not zoom and size == (width, height):
        return image
    if bytewise and (width, height) == (2 * size[0], 2 * size[1]):
        return _halved(image)
    single = bytewise or min(height, width) == 1
    rows = _Places.along(height, size[1], zoom, single=single)
    columns = _Places.along(width, size[0], zoom, single=single)
    columns.part[columns.outside] = 0
    if bytewise:
        return _of_bytes(image, rows, columns)
    return _of_numbers(image, rows, columns, _mixed if single else _between)


@dataclass
class _Places:
    """Between which two old pixels each new one lies, and how near the second."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    part: Array
    outside: NDArray[np.bool_]

    @classmethod
    def along(cls, old: int, new: int, zoom: float | None, *, single: bool) -> _Places:
        """Places along an axis; `single`: as numbers of single precision."""
        # to the bit what OpenCV has in either case
        exact = zoom is None and not single
        step = old / new if exact else 1 / (zoom or new / old)
        at = (np.arange(new) + 0.5) * step - 0.5
        if single:
            at = at.astype(np.float32)
        low = np.floor(at)
        return cls(
            low.astype(np.int64).clip(0, old - 1),
            (low + 1).astype(np.int64).clip(0, old - 1),
            at - low,
            (low < 0) | (low >= old - 1),
        )

    def whole_weights(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Weights of the two pixels in units of the last binary digit."""
        one = np.float32(1 << _BITS)
        parts = (np.float32(1) - self.part, self.part)
        first, second = (np.rint(part * one).astype(np.int32) for part in parts)
        return first, second


def _halved(image: Array) -> Array:
    """Give the means of four pixels, as OpenCV does where both sides are halved."""
    wide = image.astype(np.uint16)
    pairs = wide[0::2] + wide[1::2]
    return ((pairs[:, 0::2] + pairs[:, 1::2] + 2) >> 2).astype(np.uint8)


def _of_bytes(image: Array, rows: _Places, columns: _Places) -> Array:
    first, second = (weight[:, None] for weight in columns.whole_weights())
    lines, upper, lower = _lines(image, rows)
    left, right = _ends(lines, columns)
    wide = np.multiply(left, first, dtype=np.int32)
    wide += np.multiply(right, second, dtype=np.int32)
    wide >>= 4
    first, second = (weight[:, None, None] for weight in rows.whole_weights())
    found, other = wide[upper] * first, wide[lower] * second
    found >>= 16
    other >>= 16
    found += other
    found += 2
    found >>= 2
    return found.astype(np.uint8)


def _of_numbers(
    image: Array,
    rows: _Places,
    columns: _Places,
    mean: Callable[[Array, Array, Array], Array],
) -> Array:
    kind = np.float64 if image.dtype == np.float64 else np.float32
    lines, upper, lower = _lines(image, rows)
    left, right = (end.astype(kind, copy=False) for end in _ends(lines, columns))
    wide = mean(left, right, columns.part[:, None].astype(kind))
    found = mean(wide[upper], wide[lower], rows.part[:, None, None].astype(kind))
    if image.dtype.kind == "f":
        return found
    return np.rint(found).astype(image.dtype)


def _lines(
    image: Array, rows: _Places
) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
    """Give the rows that are needed, and which of them lie around each new one."""
    needed, where = np.unique([rows.first, rows.second], return_inverse=True)
    upper, lower = where.reshape(2, -1)
    return image[needed], upper, lower


def _ends(lines: Array, columns: _Places) -> tuple[Array, Array]:
    """Give the pixels to the left and to the right of each new one."""
    count, _, channels = lines.shape
    flat = lines.reshape(count, -1)  # numbers are taken faster than pixels
    left, right = (
        flat.take((place[:, None] * channels + np.arange(channels)).ravel(), axis=1)
        for place in (columns.first, columns.second)
    )
    shape = (count, -1, channels)
    return left.reshape(shape), right.reshape(shape)


def _between(first: Array, second: Array, part: Array) -> Array:
    """First + (second - first) part, the sum with the product rounded once."""
    found: Array = first + (second - first).astype(np.float64) * part
    return found.astype(first.dtype)


def _mixed(first: Array, second: Array, part: Array) -> Array:
    found: Array = first * (1 - part) + second * part
    return found
