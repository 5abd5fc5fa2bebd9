"""What a net gets of images: parts that are read where they are needed.

A window is a function: it takes one slice an axis of ([Z,] Y, X) and gives the pixels
(C, [Z,] Y, X) there. What is made of a window is a window again, with the values that
the whole image would have given; so an image can be far larger than the memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pyunet.inference.mapped import forget, is_mapped
from pyunet.inference.tiling import Window

Place = tuple[slice, ...]
FloatArray = NDArray[np.float32]
BLOCK_PX = 2**21  # read at once
PREPARING_BYTES = 32  # for each of them, on the way


class Resampling(Protocol):
    """Reads images at other pixels."""

    @property
    def extent(self) -> tuple[int, ...]:
        """Give how many pixels an image has afterwards, one number an axis."""

    def source(self, at: Place) -> Place:
        """Give the pixels that those at a place are made of."""

    def apply(self, part: NDArray[Any], at: Place) -> FloatArray:
        """Make the pixels at a place from those that `source` names.

        Parameters
        ----------
        part : ndarray, shape (C, [Z,] Y, X)
        at : tuple of slice
        """


@dataclass(frozen=True)
class Inputs:
    """Images of one size for a net.

    Attributes
    ----------
    count : int
        How many there are: slices for a 2-D net, volumes for a 3-D one.
    extent : tuple of int
        ([Z,] Y, X) of each, as the net sees it.
    windows : callable
        Gives an iterator over them as functions that read a part, one slice an axis,
        as (C, [Z,] Y, X).
    own : tuple of int
        ([Z,] Y, X) of each, as it is stored.
    back : Resampling or None
        Brings scores (K, [Z,] Y, X) to the image's own pixels; None where the net sees
        these.
    held : int
        Bytes that are held, or taken for a moment, while an image is read.
    """

    count: int
    extent: tuple[int, ...]
    windows: Callable[[], Iterator[Window]]
    own: tuple[int, ...]
    back: Resampling | None = None
    held: int = 0

    @classmethod
    def of_array(cls, image: FloatArray) -> Inputs:
        """Take one image (C, [Z,] Y, X) that is ready for the net."""
        extent = image.shape[1:]
        return cls(1, extent, lambda: iter([of_array(image)]), extent)

    def restored(self, scores: Window, classes: int) -> Window:
        """Bring scores that are read in windows to the image's own pixels."""
        return resampled(scores, self.back, channels=classes)


def preparing_bytes(extent: Sequence[int]) -> int:
    """Give what is held for a moment while windows of an image are resized.

    >>> preparing_bytes((10, 10)), preparing_bytes((10**5, 10**5))
    (3200, 67108864)
    """
    return PREPARING_BYTES * min(BLOCK_PX, math.prod(extent))


def everywhere(extent: Sequence[int]) -> Place:
    """Give the place that is all of an image.

    >>> everywhere((2, 3))
    (slice(0, 2, None), slice(0, 3, None))
    """
    return tuple(slice(0, length) for length in extent)


def pixel_count(at: Place) -> int:
    """Give how many pixels a place has.

    >>> pixel_count((slice(2, 4), slice(0, 3)))
    6
    """
    return math.prod(one.stop - one.start for one in at)


def inside(part: Place, at: Place) -> Place:
    """Say where in a larger place a part of it lies.

    >>> inside((slice(5, 7),), (slice(4, 9),))
    (slice(1, 3, None),)
    """
    return tuple(
        slice(one.start - whole.start, one.stop - whole.start)
        for one, whole in zip(part, at, strict=True)
    )


def blocks(at: Place, most: int | None = None) -> Iterator[Place]:
    """Cut a place into slices and bands of rows of at most so many pixels.

    A row is never cut. Default: as many pixels as are read at once.

    Examples
    --------
    >>> [rows for rows, _ in blocks((slice(1, 6), slice(0, 10)), 20)]
    [slice(1, 3, None), slice(3, 5, None), slice(5, 6, None)]
    """
    most = BLOCK_PX if most is None else most
    if pixel_count(at) <= most or len(at) < 2:
        yield at
        return
    first, *others = at
    each = pixel_count(tuple(others))
    step = max(1, most // max(1, each))
    for start in range(first.start, first.stop, step):
        part = slice(start, min(start + step, first.stop))
        if each > most and len(others) > 1:
            yield from ((part, *inner) for inner in blocks(tuple(others), most))
        else:
            yield (part, *others)


def of_array(array: NDArray[Any]) -> Window:
    """Read windows of an array (C, [Z,] Y, X), mapped or not.

    What was read of a file is copied, in the machine's order of bytes, and its memory
    given back.
    """

    def window(at: Place) -> NDArray[Any]:
        every: tuple[slice, ...] = (slice(None), *at)
        part: NDArray[Any] = array[every]
        native = part.dtype.newbyteorder("=")
        if not is_mapped(array):
            return part.astype(native, copy=False)
        copy = np.array(part, native, order="C", subok=False)
        forget(array)
        return copy

    return window


def changed(window: Window, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Window:
    """Change grey values, each pixel by itself."""
    return lambda at: change(window(at))


def resampled(window: Window, how: Resampling | None, *, channels: int = 1) -> Window:
    """Read an image of so many channels at other pixels; None: at its own."""
    if how is None:
        return window
    return in_blocks(
        lambda at: how.apply(window(how.source(at)), at),
        lambda at: channels * pixel_count(how.source(at)) / pixel_count(at),
    )


def in_blocks(window: Window, reads: Callable[[Place], float]) -> Window:
    """Make a large window block by block, so that little is held on the way.

    Parameters
    ----------
    window : callable
    reads : callable
        Gives how many pixels are read for one of a place.
    """

    def whole(at: Place) -> NDArray[Any]:
        most = max(1, int(BLOCK_PX / max(1.0, reads(at))))
        if pixel_count(at) <= most:
            return window(at)
        result: NDArray[Any] | None = None
        for place in blocks(at, most):
            part = window(place)
            if result is None:
                lengths = [one.stop - one.start for one in at]
                result = np.empty((len(part), *lengths), part.dtype)
            target = inside(place, at)
            result[(slice(None), *target)] = part
        assert result is not None
        return result

    return whole


def stacked(windows: Sequence[Window]) -> Window:
    """Read slices (C, Y, X) as one volume (C, Z, Y, X)."""

    def window(at: Place) -> NDArray[Any]:
        depth, *plane = at
        found = [one(tuple(plane)) for one in windows[depth]]
        return np.stack(found, axis=1)

    return window
