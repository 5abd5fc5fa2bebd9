"""Which tiles an image is cut into (tiled_predict.md, sections 1 and 2).

Four options of the command have a rule each. All shapes are (z)yx. Real numbers are
rounded to 32 bits where the original rounds them, so that the tiles are the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pyunet.memory import MOST_READ
from pyunet_fiji.backend.errors import CheckFailedError
from pyunet_fiji.modeldef.definition import ModelDefinition
from pyunet_fiji.modeldef.shapes import (
    Shape,
    border,
    input_shape,
    output_shape,
    smallest_k,
)

PLACE = "tiled_predict.cpp:500"
UINT32 = 2**32
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Tiling:
    """Tiles of one size on a grid.

    Attributes
    ----------
    tile_in, tile_out : tuple of int
        Extents of a tile at the net's input and output, in pixels.
    grid : tuple of int
        Number of tiles along each axis.
    """

    tile_in: Shape
    tile_out: Shape
    grid: Shape

    @property
    def pixels(self) -> int:
        """Number of pixels of an input tile."""
        return math.prod(self.tile_in)

    @property
    def is_wasteful(self) -> bool:
        """Whether a tile reads far more than it answers."""
        return self.pixels > MOST_READ * math.prod(self.tile_out)


class Rule(Protocol):
    """An option of the command and its value."""

    def tiling(self, model: ModelDefinition, image: Shape) -> Tiling:
        """Cut an image into tiles.

        Raises
        ------
        CheckFailedError
            The value does not suit the model.
        """

    def finer(self, model: ModelDefinition, image: Shape) -> Iterator[Rule]:
        """Give the same option with values for smaller and smaller tiles."""


def halve(rule: Rule, model: ModelDefinition, image: Shape) -> Rule | None:
    """Find the value of an option that gives about half as large tiles.

    Parameters
    ----------
    rule : Rule
        Its tiles of the image are too large.
    model : ModelDefinition
    image : tuple of int

    Returns
    -------
    Rule or None
        None where there are no smaller tiles.

    Examples
    --------
    >>> model = ModelDefinition("id", "", "data", (1.0, 1.0), (16, 16), (60, 60),
    ...                         (-124, -124))
    >>> str(halve(TileCount(1), model, (512, 512)))
    '-n_tiles 2'
    >>> str(halve(TileShape((388, 388)), model, (512, 512)))
    '-tile_size 196x388'
    """
    pixels = rule.tiling(model, image).pixels
    if pixels <= math.prod(smallest_input(model)):
        return None
    finer = (
        other
        for other in rule.finer(model, image)
        if other.tiling(model, image).pixels < pixels
    )
    return next(finer, None)


def smallest_input(model: ModelDefinition) -> Shape:
    """Give the smallest valid input tile."""
    return input_shape(model, smallest_k(model))


@dataclass(frozen=True)
class TileGrid:
    """``-n_tiles AxB`` or ``AxBxC``: a grid of tiles, fewer where fewer are enough."""

    counts: Shape

    def __str__(self) -> str:
        return f"-n_tiles {_joined(self.counts)}"

    def tiling(self, model: ModelDefinition, image: Shape) -> Tiling:
        """Cut an image into tiles; see `Rule`."""
        wanted = _outputs(model, image, np.array(self.counts))
        return on_grid(model, image, _shape(_ceil_ratio(image, wanted)))

    def finer(self, model: ModelDefinition, image: Shape) -> Iterator[TileGrid]:
        """Double the tiles along the axis on which they are longest."""
        now = self.tiling(model, image)
        for axis in _longest_first(now.tile_in):
            counts = list(now.grid)
            while counts[axis] < image[axis]:
                counts[axis] *= 2
                yield TileGrid(tuple(counts))


@dataclass(frozen=True)
class TileShape:
    """``-tile_size YxX`` or ``ZxYxX``: output tiles of at least this shape."""

    shape: Shape

    def __str__(self) -> str:
        return f"-tile_size {_joined(self.shape)}"

    def tiling(self, model: ModelDefinition, image: Shape) -> Tiling:
        """Cut an image into tiles; see `Rule`."""
        k = _coarsest(model, np.array(self.shape))
        tile_out = output_shape(model, k)
        grid = _shape(_ceil_ratio(image, tile_out))
        return Tiling(input_shape(model, k), tile_out, grid)

    def finer(self, model: ModelDefinition, image: Shape) -> Iterator[TileShape]:
        """Halve the longest side of the tiles that can still be shorter."""
        tile_out = self.tiling(model, image).tile_out
        smallest = output_shape(model, smallest_k(model))
        for axis in _longest_first(tile_out):
            if tile_out[axis] > smallest[axis]:
                shape = list(tile_out)
                step = model.downsample_factor[axis]
                shape[axis] = max(1, min(-(-shape[axis] // 2), shape[axis] - step))
                yield TileShape(output_shape(model, _coarsest(model, np.array(shape))))


@dataclass(frozen=True)
class TileCount:
    """``-n_tiles N``: the best grid of at most so many tiles, for 2D models."""

    count: int

    def __str__(self) -> str:
        return f"-n_tiles {self.count}"

    def tiling(self, model: ModelDefinition, image: Shape) -> Tiling:
        """Cut an image into tiles; see `Rule`.

        Of all grids the one wins of which most tiles are needed, then the one with the
        smallest tiles, then the first.
        """
        _want_2d(model, "Option 'n_tiles' with one number is")
        best: tuple[int, int] | None = None
        grid = (1, 1)
        for y in range(1, min(self.count, image[0]) + 1):
            # more tiles than pixels change nothing
            x = np.arange(1, min(self.count // y, image[1]) + 1)
            grids = np.stack([np.full_like(x, y), x], axis=1)
            effective = _effective(model, image, grids)
            pixels = _inputs(model, image, grids).prod(axis=1)
            first = np.lexsort((pixels, -effective))[0]
            rank = (-int(effective[first]), int(pixels[first]))
            if best is None or rank < best:
                best, grid = rank, (y, int(x[first]))
        return on_grid(model, image, grid)

    def finer(self, model: ModelDefinition, image: Shape) -> Iterator[TileCount]:
        """Double the number of tiles."""
        count = self.count
        while count < math.prod(image):
            count *= 2
            yield TileCount(count)


@dataclass(frozen=True)
class TilePixels:
    """``-mem_available_px M``: input tiles of at most so many pixels, for 2D models."""

    pixels: int

    def __str__(self) -> str:
        return f"-mem_available_px {self.pixels}"

    def tiling(self, model: ModelDefinition, image: Shape) -> Tiling:
        """Cut an image into tiles; see `Rule`.

        Of all grids with tiles that are small enough, the one with the fewest pixels
        in all tiles together wins; without any the image is one tile.
        """
        most = self.largest_grid(model, image)
        best, grid = UINT32, (1, 1)
        for y in range(1, most[0] + 1):
            x = np.arange(1, most[1] + 1)
            grids = np.stack([np.full_like(x, y), x], axis=1)
            tile = _inputs(model, image, grids).prod(axis=1)
            total = tile * _effective(model, image, grids) % UINT32
            total[tile > self.pixels] = UINT32
            first = int(total.argmin())
            if total[first] < best:
                best, grid = int(total[first]), (y, int(x[first]))
        return on_grid(model, image, grid)

    def largest_grid(self, model: ModelDefinition, image: Shape) -> tuple[int, int]:
        """Give how many tiles along y and x are tried at most.

        Raises
        ------
        CheckFailedError
            A model for volumes, or fewer pixels than those of the smallest tile.
        """
        _want_2d(model, "A tiling by available memory is")
        smallest = smallest_input(model)
        if self.pixels < math.prod(smallest):
            raise CheckFailedError(
                f"{self.pixels} pixels are available; the smallest input tile of the "
                f"model has {_joined(smallest)}",
                PLACE,
            )
        columns = self._other_extent(model, image, axis=0)
        rows = self._other_extent(model, image, axis=1)
        grid = _shape(_ceil_ratio(image, (rows, columns)))
        return grid[0], grid[1]

    def _other_extent(self, model: ModelDefinition, image: Shape, *, axis: int) -> int:
        """Give the longest output along the other axis beside the shortest here.

        The numbers of this axis serve for the other one, too, and the quotient is cut
        where everywhere else it is rounded up: that is how the original does it.
        """
        factor = model.downsample_factor[axis]
        pad_in, pad_out = model.pad_input[axis], model.pad_output[axis]
        edge = 2 * border(model)[axis]
        for count in range(1, image[axis] + 1):
            wanted = int(_ceil_ratio(image[axis], count)) - pad_out
            here = factor * int(np.float32(wanted) / np.float32(factor)) + pad_in
            if here < 1:
                break
            room = int(np.float32(self.pixels) / np.float32(here)) - edge - pad_out
            other = factor * math.floor(np.float32(room) / np.float32(factor)) + pad_out
            if other > 0:
                return other
        return output_shape(model, smallest_k(model))[1 - axis]

    def finer(self, model: ModelDefinition, image: Shape) -> Iterator[Rule]:
        """Halve the pixels of the tiles; grids follow where that changes no more."""
        smallest = math.prod(smallest_input(model))
        now = self.tiling(model, image)
        pixels = now.pixels
        while pixels > smallest:
            pixels = max(smallest, pixels // 2)
            yield TilePixels(pixels)
        yield from TileGrid(now.grid).finer(model, image)


def on_grid(model: ModelDefinition, image: Shape, grid: Shape) -> Tiling:
    """Cut an image into the smallest tiles that cover it on a grid.

    Parameters
    ----------
    model : ModelDefinition
    image : tuple of int
    grid : tuple of int
        Number of tiles along each axis.
    """
    k = _coarsest(model, _ceil_ratio(image, grid))
    return Tiling(input_shape(model, k), output_shape(model, k), grid)


def _ceil_ratio(numerator: Any, denominator: Any) -> Integers:
    ratio = np.asarray(numerator, np.float32) / np.asarray(denominator, np.float32)
    return np.ceil(ratio).astype(np.int64)


def _coarsest(model: ModelDefinition, shape: Integers) -> Shape:
    """Extent at the coarsest level of the smallest output tile that covers a shape."""
    return _shape(_levels(model, shape))


def _levels(model: ModelDefinition, shapes: Integers) -> Integers:
    return _ceil_ratio(shapes - np.array(model.pad_output), model.downsample_factor)


def _outputs(model: ModelDefinition, image: Shape, grids: Integers) -> Integers:
    """Output tiles on grids (..., axes), of the same shape."""
    levels = _levels(model, _ceil_ratio(image, grids))
    return levels * model.downsample_factor + model.pad_output


def _inputs(model: ModelDefinition, image: Shape, grids: Integers) -> Integers:
    """Input tiles on grids (..., axes), of the same shape."""
    levels = _levels(model, _ceil_ratio(image, grids))
    return levels * model.downsample_factor + model.pad_input


def _effective(model: ModelDefinition, image: Shape, grids: Integers) -> Integers:
    """Count the tiles that cover an image on grids (..., axes)."""
    counts = _ceil_ratio(image, _outputs(model, image, grids))
    found: Integers = counts.prod(axis=-1)
    return found


def _want_2d(model: ModelDefinition, what: str) -> None:
    if model.dimensions != 2:
        raise CheckFailedError(
            f"{what} only supported for 2D models; this one is {model.dimensions}-D",
            PLACE,
        )


def _longest_first(shape: Shape) -> list[int]:
    return sorted(range(len(shape)), key=lambda axis: -shape[axis])


def _shape(values: Integers) -> Shape:
    return tuple(int(value) for value in values)


def _joined(values: Sequence[int]) -> str:
    return "x".join(map(str, values))
