"""Bring grey values to the range that a net expects, as the plugin does.

Source: modeldef_h5.md, section 3. Each frame has one offset and one scale, found over
all its channels and slices together, and becomes ``(value + offset) * scale``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyunet.errors import DataError

NONE, SMALLEST_LARGEST, MEAN_DEVIATION, VECTOR_NORM = KINDS = range(4)


def normalise(
    array: NDArray[Any], kind: int, *, name: str = "image"
) -> NDArray[np.float32]:
    """Normalise frames, each by itself.

    Sums are of 64 bits, so that large images keep their digits. Where a frame holds one
    value only the plugin divides by zero, and the net sees infinite numbers; this is an
    error here.

    Parameters
    ----------
    array : ndarray, shape (T, C, [Z,] Y, X)
        Grey values.
    kind : int
        0: as they are; 1: smallest..largest to 0..1; 2: mean to 0, standard deviation
        (of the population) to 1; 3: the longest vector of channels to 1.
    name : str
        What messages call it.

    Returns
    -------
    ndarray of float32, same shape

    Raises
    ------
    DataError
        A frame with the same value everywhere (kinds 1 and 2) or with zeros only
        (kind 3); NaN or infinite values; another kind.

    Examples
    --------
    >>> image = np.array([[[[2.0, 4.0, 6.0]]]])
    >>> normalise(image, 1).ravel().tolist()
    [0.0, 0.5, 1.0]
    >>> normalise(image, 2).ravel().round(2)
    array([-1.22,  0.  ,  1.22], dtype=float32)
    """
    _check_kind(kind)
    values = np.asarray(array, np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"{name}: has NaN or infinite grey values")
    if kind == NONE:
        return values
    return np.stack(
        [
            Range.of([frame], kind, name=f"{name}, frame {number}").apply(frame)
            for number, frame in enumerate(values, 1)
        ]
    )


@dataclass(frozen=True)
class Range:
    """What one frame's grey values get: ``(value + offset) * scale``.

    Attributes
    ----------
    offset, scale : float32
    name : str
        What messages call the frame.
    """

    offset: np.float32
    scale: np.float32
    name: str = "image"

    @classmethod
    def of(
        cls, blocks: Iterable[NDArray[np.float32]], kind: int, *, name: str = "image"
    ) -> Range:
        """Find it by reading a frame once, block by block.

        Parameters
        ----------
        blocks : iterable of ndarray of float32, each of shape (C, [Z,] Y, X)
            Parts of the frame, which together are all of it. Not read for kind 0.
        kind : int
            As for `normalise`.
        name : str

        Raises
        ------
        DataError
            As `normalise`.

        Examples
        --------
        >>> image = np.array([[[2.0, 4.0, 6.0]]], np.float32)
        >>> found = Range.of([image[..., :2], image[..., 2:]], 1)
        >>> found.apply(image).tolist()
        [[[0.0, 0.5, 1.0]]]
        """
        _check_kind(kind)
        if kind == NONE:
            return cls(np.float32(0), np.float32(1), name)
        found = _Found()
        for block in blocks:
            found.add(block, name)
        offset, extent = found.offset_and_extent(kind)
        if not extent > 0:
            raise DataError(
                f"{name}: the grey value is {found.low:g} everywhere, so it cannot be "
                f"normalised (normalization_type {kind})"
            )
        return cls(offset, np.float32(1) / extent, name)

    def apply(self, part: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalise a part of the frame.

        Raises
        ------
        DataError
            NaN or infinite values.
        """
        if self.offset == 0 and self.scale == 1:
            _check_finite(part, self.name)  # nobody has read it before
            return part
        return (part + self.offset) * self.scale


class _Found:
    """What is known of the grey values that were read; sums are of 64 bits."""

    def __init__(self) -> None:
        self.low, self.high = np.float32(np.inf), np.float32(-np.inf)
        self._longest = np.float32(0)
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def add(self, block: NDArray[np.float32], name: str) -> None:
        _check_finite(block, name)
        self.low, self.high = min(self.low, block.min()), max(self.high, block.max())
        lengths = np.square(block).sum(axis=0)
        self._longest = max(self._longest, lengths.max())
        # the means of both parts, so that no two large sums are subtracted
        mean = float(block.mean(dtype=np.float64))
        squares = float(np.square(block - mean, dtype=np.float64).sum())
        both = self._count + block.size
        apart = mean - self._mean
        self._squares += squares + apart**2 * self._count * block.size / both
        self._mean += apart * block.size / both
        self._count = both

    def offset_and_extent(self, kind: int) -> tuple[np.float32, np.float32]:
        if kind == SMALLEST_LARGEST:
            return -self.low, self.high - self.low
        if kind == MEAN_DEVIATION:
            # rounding of the mean alone is no spread
            flat = self.low == self.high
            spread = 0.0 if flat else math.sqrt(self._squares / self._count)
            return np.float32(-self._mean), np.float32(spread)
        return np.float32(0), np.sqrt(self._longest)


def _check_kind(kind: int) -> None:
    if kind not in KINDS:
        raise DataError(
            f"normalization_type {kind}; accepted are 0 (none), 1 (smallest..largest), "
            "2 (mean and deviation), 3 (vector norm)"
        )


def _check_finite(values: NDArray[np.float32], name: str) -> None:
    if not np.isfinite(values).all():
        raise DataError(f"{name}: has NaN or infinite grey values")
