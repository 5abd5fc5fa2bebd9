"""Overlap-tile: which tile shape is cheapest, where the tiles lie, what they read.

Tiles are moved by multiples of the net's downsampling factor. The grids of its
poolings then lie on the same pixels in every tile, and any tiling gives the scores of
one big tile. What lies beyond the image is its mirror image without repeating the
edge pixel (or zero, where a model wants it so); it is read by index, no padded copy of
the image is made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from caffe import Axis
from pyunet.errors import DataError
from pyunet.memory import format_bytes

Padding = Literal["mirror", "zero"]
Window = Callable[[tuple[slice, ...]], NDArray[Any]]
# Measured: larger tiles repeat less, but what they hold leaves the processor's cache.
ALIKE = 1.05


@dataclass(frozen=True)
class Tile:
    """One run of the net.

    Attributes
    ----------
    start : tuple of int
        Image position of the tile's first input pixel; negative in the mirror image.
    source : tuple of slice
        What is taken from the net's output, one slice a spatial axis.
    target : tuple of slice
        Where it goes in the image.
    """

    start: tuple[int, ...]
    source: tuple[slice, ...]
    target: tuple[slice, ...]


@dataclass(frozen=True)
class Plan:
    """How an image is cut into tiles.

    Attributes
    ----------
    axes : tuple of Axis
        The net's geometry.
    image : tuple of int
        Spatial extents of the image, (Y, X) or (Z, Y, X), in pixels.
    tile : tuple of int
        Spatial extents of the net's input.
    padding : {"mirror", "zero"}
        What lies beyond the image.
    batch : int
        Tiles that the net computes together.
    """

    axes: tuple[Axis, ...]
    image: tuple[int, ...]
    tile: tuple[int, ...]
    padding: Padding = "mirror"
    batch: int = 1

    @property
    def output(self) -> tuple[int, ...]:
        """Usable output pixels of a tile."""
        return tuple(a.output_of(n) for a, n in zip(self.axes, self.tile, strict=True))

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of tiles along every axis."""
        each = zip(self.axes, self.image, self.tile, strict=True)
        return tuple(tile_count(*one) for one in each)

    def __len__(self) -> int:
        """Give the number of tiles."""
        return math.prod(self.grid)

    def __iter__(self) -> Iterator[Tile]:
        """Give the tiles, the last axis fastest; each pixel is written once."""
        for place in product(*map(range, self.grid)):
            yield self._tile(place)

    def _tile(self, place: tuple[int, ...]) -> Tile:
        starts, sources, targets = [], [], []
        for index, axis, length, size in zip(
            place, self.axes, self.image, self.tile, strict=True
        ):
            step = stride(axis, size)
            last = index == tile_count(axis, length, size) - 1
            begin = index * step
            end = length if last else begin + step
            starts.append(begin - axis.before)
            sources.append(slice(axis.first, axis.first + end - begin))
            targets.append(slice(begin, end))
        return Tile(tuple(starts), tuple(sources), tuple(targets))


def stride(axis: Axis, size: int) -> int:
    """Give by how many pixels tiles of an input size are moved.

    Examples
    --------
    >>> stride(Axis(factor=16, smallest=188, shrink=184, before=92), 572)
    384
    """
    return axis.output_of(size) // axis.factor * axis.factor


def tile_count(axis: Axis, length: int, size: int) -> int:
    """Give the number of tiles that cover a length; 0 if they cannot.

    A tile whose output is smaller than the downsampling factor cannot be moved: it
    serves images that it covers alone.

    Examples
    --------
    >>> axis = Axis(factor=16, smallest=188, shrink=184, before=92)
    >>> [tile_count(axis, 512, size) for size in (700, 572, 204, 188)]
    [1, 2, 32, 0]
    """
    rest = length - axis.output_of(size)
    if rest <= 0:
        return 1
    step = stride(axis, size)
    return 1 + -(-rest // step) if step else 0


def tile_sizes(axis: Axis, length: int) -> list[int]:
    """Give the input sizes worth trying: for every number of tiles the smallest one.

    Examples
    --------
    >>> tile_sizes(Axis(factor=16, smallest=188, shrink=184, before=92), 60)
    [204, 220, 252]
    """
    sizes: list[int] = []
    fewest = math.inf
    for size in range(axis.smallest, axis.input_for(length) + 1, axis.factor):
        count = tile_count(axis, length, size)
        if 0 < count < fewest:
            fewest = count
            sizes.append(size)
    return sizes


def plan_tiles(
    image: Sequence[int],
    axes: Sequence[Axis],
    *,
    cost: Callable[[tuple[int, ...]], float],
    memory: Callable[[tuple[int, ...]], int],
    limit: int,
) -> Plan:
    """Find the tile shape with the least work for an image that fits into memory.

    Of shapes with at most 5 % more work than that the smallest is taken.

    Parameters
    ----------
    image : sequence of int
        Spatial extents, (Y, X) or (Z, Y, X), in pixels.
    axes : sequence of Axis
        The net's geometry.
    cost : callable
        Work of one tile of an input shape.
    memory : callable
        Bytes that such a tile needs. Must not fall when the tile grows.
    limit : int
        Bytes that one tile may take.

    Returns
    -------
    Plan

    Raises
    ------
    DataError
        Even the smallest tile takes more than the limit.

    Examples
    --------
    >>> axis = Axis(factor=16, smallest=188, shrink=184, before=92)
    >>> area = lambda shape: 4 * shape[0] * shape[1]
    >>> plan = plan_tiles((512, 512), (axis, axis), cost=area, memory=area,
    ...                   limit=10**9)
    >>> plan.tile, plan.grid
    ((700, 700), (1, 1))
    >>> plan_tiles((512, 512), (axis, axis), cost=area, memory=area, limit=10**6).tile
    (444, 444)
    """
    *others, last = [tile_sizes(a, n) for a, n in zip(axes, image, strict=True)]
    largest = (*(sizes[-1] for sizes in others), last[-1])
    all_fit = memory(largest) <= limit
    works: list[tuple[float, tuple[int, ...]]] = []
    for prefix in product(*others):
        count = len(last) if all_fit else _fitting(prefix, last, memory, limit)
        for size in last[:count]:
            shape = (*prefix, size)
            tiles = len(Plan(tuple(axes), tuple(image), shape))
            works.append((tiles * cost(shape), shape))
    if not works:
        smallest = (*(sizes[0] for sizes in others), last[0])
        raise DataError(
            f"the smallest tile ({format_shape(smallest)}) needs "
            f"{format_bytes(memory(smallest))}, the limit is {format_bytes(limit)}: "
            "raise the memory limit"
        )
    most = ALIKE * min(works)[0]
    alike = [(math.prod(shape), work, shape) for work, shape in works if work <= most]
    return Plan(tuple(axes), tuple(image), min(alike)[2])


def fixed_tiles(
    image: Sequence[int], axes: Sequence[Axis], size: Sequence[int]
) -> Plan:
    """Cut an image into tiles whose output has at least a given size.

    Parameters
    ----------
    image : sequence of int
        Spatial extents in pixels.
    axes : sequence of Axis
        The net's geometry.
    size : sequence of int
        Output pixels, one number for all axes or one an axis; rounded up to the next
        valid size.

    Returns
    -------
    Plan

    Raises
    ------
    DataError
        A size below 1, or another number of sizes than axes.

    Examples
    --------
    >>> axis = Axis(factor=16, smallest=188, shrink=184, before=92)
    >>> fixed_tiles((512, 512), (axis, axis), [380]).tile
    (572, 572)
    """
    sizes = list(size) * len(axes) if len(size) == 1 else list(size)
    if len(sizes) != len(axes) or min(sizes) < 1:
        raise DataError(
            f"tile size {format_shape(size)}: accepted are one number or {len(axes)} "
            "(the net's axes), all at least 1"
        )
    inputs = []
    for axis, length, wanted in zip(axes, image, sizes, strict=True):
        chosen = axis.input_for(wanted)
        if tile_count(axis, length, chosen) == 0:
            chosen = axis.input_for(axis.factor)
        inputs.append(chosen)
    return Plan(tuple(axes), tuple(image), tuple(inputs))


def mirror_index(start: int, count: int, length: int) -> NDArray[np.intp]:
    """Map positions on and beyond an axis to it, mirrored without repeating the edge.

    Parameters
    ----------
    start : int
        First position; may be negative.
    count : int
        Number of positions.
    length : int
        Pixels of the axis; with a single one every position is 0.

    Returns
    -------
    ndarray of int, shape (count,)

    Examples
    --------
    >>> mirror_index(-5, 12, 4).tolist()
    [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0]
    """
    period = max(1, 2 * (length - 1))
    places = np.arange(start, start + count) % period
    return np.minimum(places, period - places) if length > 1 else places


def read_tile(image: NDArray[Any], plan: Plan, tile: Tile) -> NDArray[Any]:
    """Give a tile's input of an image.

    Parameters
    ----------
    image : ndarray, shape (C, [Z,] Y, X)
    plan : Plan
    tile : Tile

    Returns
    -------
    ndarray, shape (C, *plan.tile)
        Not to be written to: inside the image it is a view.
    """

    def window(at: tuple[slice, ...]) -> NDArray[Any]:
        every: tuple[slice, ...] = (slice(None), *at)
        return image[every]

    return read_window(window, plan, tile)


def read_window(window: Window, plan: Plan, tile: Tile) -> NDArray[Any]:
    """Give a tile's input of an image that is read where it is needed.

    Parameters
    ----------
    window : callable
        Gives the pixels (C, [Z,] Y, X) of a part of the image, one slice an axis.
    plan, tile
        As for `read_tile`, whose result this is.
    """
    places = [
        mirror_index(start, count, length)
        for start, count, length in zip(tile.start, plan.tile, plan.image, strict=True)
    ]
    firsts = [int(place.min()) for place in places]
    spans = zip(firsts, places, strict=True)
    part = window(tuple(slice(low, int(place.max()) + 1) for low, place in spans))
    if part.shape[1:] == plan.tile and all(
        start == first for start, first in zip(tile.start, firsts, strict=True)
    ):
        return part
    inside = (place - low for low, place in zip(firsts, places, strict=True))
    index: tuple[Any, ...] = (slice(None), *np.ix_(*inside))
    part = np.asarray(part[index])
    if plan.padding == "zero":
        blank_outside(part, tile.start, plan.image)
    return part


def blank_outside(
    part: NDArray[Any], start: Sequence[int], image: Sequence[int]
) -> None:
    """Set to zero what a part of an image holds of its surroundings.

    Parameters
    ----------
    part : ndarray, shape (..., [Z,] Y, X)
        Changed in place.
    start : sequence of int
        Image position of its first pixel, for as many of its last axes as it is long.
    image : sequence of int
        The image's extents on these axes.

    Examples
    --------
    >>> part = np.ones((1, 5))
    >>> blank_outside(part, [-1], [3])
    >>> part.tolist()
    [[0.0, 1.0, 1.0, 1.0, 0.0]]
    """
    first = part.ndim - len(start)
    for axis, (begin, length) in enumerate(zip(start, image, strict=True), first):
        places = np.arange(begin, begin + part.shape[axis])
        outside = (places < 0) | (places >= length)
        part[(slice(None),) * axis + (outside,)] = 0


def format_shape(shape: Sequence[int]) -> str:
    """Write extents as people do.

    >>> format_shape((572, 572))
    '572x572'
    """
    return "x".join(map(str, shape))


def _fitting(
    prefix: tuple[int, ...],
    sizes: Sequence[int],
    memory: Callable[[tuple[int, ...]], int],
    limit: int,
) -> int:
    """Count the sizes of the last axis that fit: memory only grows."""
    low, high = 0, len(sizes)
    while low < high:
        middle = (low + high) // 2
        if memory((*prefix, sizes[middle])) <= limit:
            low = middle + 1
        else:
            high = middle
    return low
