"""Averaging at test time: the mean over mirrored and rotated versions of an image.

Every version is segmented whole, its scores are put back where they belong and added
to one running sum: how much memory is taken does not depend on the number of passes.

- Mirrorings and rotations by multiples of 90 degrees move pixels and change none;
  the tiles read the turned image, and write into the turned sum, without a copy.
- At other angles a tile reads the image, which goes on beyond its border as its mirror
  image, through a cubic spline; the canvas is so large that the whole image has its
  place on it; the scores are read back by the exact inverse of the rotation, linearly.
  Around models that want zeros beyond the image there are zeros.

In volumes the y/x plane is mirrored and turned, every z alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pyunet.errors import DataError
from pyunet.inference.engine import Model
from pyunet.inference.mapped import Scratch, forget
from pyunet.inference.passes import Pass
from pyunet.inference.predict import make_plan, set_tile, tile_scores
from pyunet.inference.tiling import (
    Plan,
    Tile,
    Window,
    blank_outside,
    mirror_index,
    read_window,
)
from pyunet.inference.windows import FloatArray, Place, blocks, everywhere

Values = Literal["scores", "probabilities"]
SUM_BYTES = 8
COLUMNS = 256  # of a plane, filtered or read back together


def plan_passes(
    model: Model,
    image: Sequence[int],
    passes: Iterable[Pass],
    *,
    memory: int,
    held: int = 0,
    tile_size: Sequence[int] | None = None,
    parts: int = 1,
) -> dict[Pass, Plan]:
    """Decide how the versions of images of one size are cut into tiles.

    Parameters
    ----------
    model : Model
    image : sequence of int
        Spatial extents, (Y, X) or (Z, Y, X), in pixels.
    passes : iterable of Pass
    memory, held, tile_size
        As in :func:`pyunet.inference.predict.make_plan`; a tile size is meant for the
        mirrored or rotated image.
    parts : int, default 1
        Number of images, whose sums are counted in `held` or lie on the disk.

    Returns
    -------
    dict of Pass to Plan

    Raises
    ------
    DataError
        No tile fits into the memory; no pass.
    """
    known: dict[tuple[int, ...], Plan] = {}
    plans: dict[Pass, Plan] = {}
    for one in passes:
        extent = one.extent(image)
        if extent not in known:
            known[extent] = make_plan(
                model, extent, memory=memory, held=held, tile_size=tile_size,
                parts=parts,
            )  # fmt: skip
        plans[one] = known[extent]
    if not plans:
        raise DataError("no pass is given; at least one is needed for a mean")
    return plans


def tile_total(plans: Mapping[Pass, Plan]) -> int:
    """Give how many tiles all versions of one image have."""
    return sum(map(len, plans.values()))


def average_window(
    model: Model,
    image: Window,
    extent: Sequence[int],
    plans: Mapping[Pass, Plan],
    *,
    of: Values = "scores",
    scratch: Scratch | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Window:
    """Compute the mean scores of one image that is read in windows.

    Parameters
    ----------
    model : Model
    image : callable
        Gives pixels (C, [Z,] Y, X), float32, of a part, one slice an axis.
    extent : sequence of int
        ([Z,] Y, X) of the image.
    plans : mapping of Pass to Plan
        From :func:`plan_passes`.
    of : {"scores", "probabilities"}, default "scores"
        What the mean is taken of: what the net gives, as the 2015 release does, or
        its softmax.
    scratch : Scratch, optional
        Where the sums are held; default: the memory.
    progress : callable, optional
        Called after every tile.

    Returns
    -------
    callable
        Gives the mean (K, [Z,] Y, X) of a part.
    """
    running = _Mean(image, tuple(extent), scratch or Scratch(), of == "probabilities")
    for one, plan in plans.items():
        classes = set_tile(model, plan)
        for _ in running.add(model, one, plan, classes):
            progress()
    return running.result


class _Mean:
    """The sum of one image's passes, in float64: their order does not matter."""

    def __init__(
        self, image: Window, extent: tuple[int, ...], scratch: Scratch, softmax: bool
    ) -> None:
        self.image = image
        self.extent = extent
        self.scratch = scratch
        self.softmax = softmax
        self.count = 0
        self.total: NDArray[np.float64] = np.zeros(0)

    def add(self, model: Model, one: Pass, plan: Plan, classes: int) -> Iterator[Tile]:
        """Add a pass, giving every tile that is done."""
        if not self.count:
            self.total = self.scratch.zeros((classes, *self.extent), np.float64)
        self.count += 1
        if one.is_exact:
            yield from self._add_exact(model, one, plan)
        else:
            yield from self._add_rotated(model, one, plan)

    def result(self, at: Place) -> FloatArray:
        """Give the mean of a part."""
        part = self.total[(slice(None), *at)]
        mean = np.empty(part.shape, np.float32)
        for target, total in zip(mean, part, strict=True):
            target[:] = total / self.count
        forget(self.total)
        return mean

    def _add_exact(self, model: Model, one: Pass, plan: Plan) -> Iterator[Tile]:
        window, total = one.window(self.image, self.extent), one.apply(self.total)
        inputs = ((tile, read_window(window, plan, tile)) for tile in plan)
        for tile, scores in tile_scores(model, plan, inputs, softmax=self.softmax):
            target: tuple[slice, ...] = (slice(None), *tile.target)
            total[target] += scores
            forget(self.total)
            yield tile

    def _add_rotated(self, model: Model, one: Pass, plan: Plan) -> Iterator[Tile]:
        total = self.total[..., ::-1] if one.mirror else self.total
        spline = self._spline(model.channels, one)
        canvas = self.scratch.zeros((len(total), *plan.image), np.float32)
        inputs = ((tile, _read_rotated(spline, one, plan, tile)) for tile in plan)
        for tile, scores in tile_scores(model, plan, inputs, softmax=self.softmax):
            target: tuple[slice, ...] = (slice(None), *tile.target)
            canvas[target] = scores
            forget(canvas)
            yield tile
        for place in _squares(total.shape[-2:]):
            y, x = np.ogrid[place]
            places = one.to_version(total.shape[-2:], y, x)
            for at in np.ndindex(total.shape[:-2]):
                total[at][place] += ndimage.map_coordinates(
                    canvas[at], places, order=1, mode="nearest"
                )
            forget(canvas)
            forget(self.total)

    def _spline(self, channels: int, one: Pass) -> FloatArray:
        """Compute the image's spline coefficients, mirrored if the pass is.

        As `ndimage.spline_filter`, along y first, without a copy of the whole.
        """
        spline = self.scratch.zeros((channels, *self.extent), np.float32)
        target = spline[..., ::-1] if one.mirror else spline
        for at in blocks(everywhere(self.extent)):
            target[(slice(None), *at)] = self.image(at)
            forget(spline)
        for axis in (-2, -1):
            for plane in np.ndindex(spline.shape[:-2]):
                for part in _bands(spline[plane], across=axis):
                    part[...] = ndimage.spline_filter1d(
                        part, axis=axis, output=np.float32, mode="mirror"
                    )
                    forget(spline)
        return spline


def _bands(plane: FloatArray, *, across: int) -> Iterator[FloatArray]:
    """Give a plane's lines along an axis, some at a time."""
    lines = plane.swapaxes(across, 0)
    for start in range(0, lines.shape[1], COLUMNS):
        yield lines[:, start : start + COLUMNS].swapaxes(across, 0)


def _squares(extent: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    for y, x in product(*(range(0, length, COLUMNS) for length in extent)):
        yield (
            slice(y, min(y + COLUMNS, extent[0])),
            slice(x, min(x + COLUMNS, extent[1])),
        )


def _read_rotated(
    spline: FloatArray, one: Pass, plan: Plan, tile: Tile
) -> NDArray[Any]:
    """Read a tile of the rotated image from the image's spline coefficients."""
    y, x = np.ogrid[tuple(
        slice(start, start + size)
        for start, size in zip(tile.start[-2:], plan.tile[-2:], strict=True)
    )]  # fmt: skip
    places = one.to_image(spline.shape[-2:], y, x)
    depth = _mirrored_depth(spline, plan, tile)
    part = np.empty((len(depth), *plan.tile[-2:]), np.float32)
    flat = spline.reshape(-1, *spline.shape[-2:])
    beyond = "constant" if plan.padding == "zero" else "mirror"
    for target, plane in zip(part, depth, strict=True):
        ndimage.map_coordinates(
            flat[plane], places, output=target, order=3, mode=beyond, prefilter=False
        )
    forget(spline)
    whole = part.reshape(len(spline), *plan.tile)
    if plan.padding == "zero":
        around = (*tile.start[:-2], 0, 0), (*plan.image[:-2], *plan.tile[-2:])
        blank_outside(whole, *around)  # what map_coordinates cannot: slices
    return whole


def _mirrored_depth(spline: FloatArray, plan: Plan, tile: Tile) -> list[int]:
    """Give the planes that a tile reads, by channel and z."""
    planes = np.arange(int(np.prod(spline.shape[:-2]))).reshape(spline.shape[:-2])
    if planes.ndim > 1:
        places = mirror_index(tile.start[0], plan.tile[0], spline.shape[1])
        planes = planes[:, places]
    return [int(plane) for plane in planes.ravel()]
