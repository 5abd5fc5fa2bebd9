"""Run a net over images of any size, tile by tile."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pyunet.errors import DataError
from pyunet.inference.engine import FLOAT_BYTES, Model
from pyunet.inference.threads import ahead
from pyunet.inference.tiling import (
    Plan,
    Tile,
    Window,
    fixed_tiles,
    format_shape,
    plan_tiles,
    read_window,
)
from pyunet.memory import format_bytes, needed_bytes

FloatArray = NDArray[np.float32]
AHEAD = 2
BATCHES = (16, 8, 4, 2)  # on a GPU; on CPUs one larger tile is faster than some small

TileInputs = Iterator[tuple[Tile, NDArray[Any]]]


@dataclass(frozen=True)
class Part:
    """Scores of a part of an image.

    Attributes
    ----------
    image : int
        Number of the image, from 0.
    target : tuple of slice
        Where in the image, one slice an axis of ([Z,] Y, X).
    scores : ndarray of float32, shape (K, [Z,] Y, X)
    """

    image: int
    target: tuple[slice, ...]
    scores: FloatArray

    def planes(self) -> Iterator[Part]:
        """Give the slices of a part of a volume, as parts of them."""
        depth, *plane = self.target
        for index, number in enumerate(range(depth.start, depth.stop)):
            yield Part(number, tuple(plane), self.scores[:, index])


def make_plan(
    model: Model,
    image: Sequence[int],
    *,
    memory: int,
    held: int = 0,
    tile_size: Sequence[int] | None = None,
    parts: int = 1,
) -> Plan:
    """Decide how images of one size are cut into tiles.

    Parameters
    ----------
    model : Model
    image : sequence of int
        Spatial extents, (Y, X) or (Z, Y, X), in pixels.
    memory : int
        Bytes that may be taken, those in `held` included.
    held : int, default 0
        Bytes that are taken already: by the program, the loaded net, the images.
    tile_size : sequence of int, optional
        Output pixels of a tile, one number or one an axis, rounded up to the next
        valid size; default: the smallest of the tile shapes that fit and whose work is
        within 5 % of the least.
    parts : int, default 1
        Number of images.

    Returns
    -------
    Plan
        With a batch above 1 only on a GPU: the largest that fits.

    Raises
    ------
    DataError
        No tile fits into the memory; the text says how much is needed.
    """
    weights = model.weight_bytes()

    def needed(tile: tuple[int, ...], batch: int = 1) -> int:
        activations = model.activation_bytes(tile, batch=batch)
        waiting = batch * _waiting_bytes(model, tile)
        net = needed_bytes(weights, activations, on_gpu=model.on_gpu)
        return held + waiting + net

    if tile_size is None:
        plan = plan_tiles(
            image, model.axes, cost=model.work, memory=needed, limit=memory
        )
    else:
        plan = fixed_tiles(image, model.axes, tile_size)
        if needed(plan.tile) > memory:
            raise DataError(
                f"a tile of {format_shape(plan.tile)} needs "
                f"{format_bytes(needed(plan.tile))}, the limit is "
                f"{format_bytes(memory)}: take smaller tiles or raise the memory limit"
            )
    most = len(plan) * parts if model.on_gpu else 1
    fitting = (n for n in BATCHES if n <= most and needed(plan.tile, n) <= memory)
    return replace(plan, padding=model.padding, batch=next(fitting, 1))


def segment_parts(
    model: Model,
    images: Iterable[Window],
    plan: Plan,
    *,
    total: int,
    softmax: bool = False,
    label: str = "segment",
) -> Generator[Part]:
    """Compute the scores of images of one size, tile by tile, for images of any size.

    What is held does not depend on the size of the images: parts are read when they
    are wanted, and scores are given as they come.

    Parameters
    ----------
    model : Model
    images : iterable of callable
        Each gives pixels (C, [Z,] Y, X), float32, of a part of one image, one slice an
        axis. Called in another thread.
    plan : Plan
        From :func:`make_plan`.
    total : int
        Number of images, for the progress bar.
    softmax : bool, default False
        Turn scores into probabilities.
    label : str
        What the progress bar is called.

    Yields
    ------
    Part
    """
    set_tile(model, plan)
    inputs = (
        (tile, read_window(window, plan, tile)) for window in images for tile in plan
    )
    results = tile_scores(model, plan, inputs, softmax=softmax)
    with (
        closing(results),
        tqdm(total=total * len(plan), desc=label, unit="tile", disable=None) as bar,
    ):
        for number, (tile, scores) in enumerate(results):
            yield Part(number // len(plan), tile.target, scores.copy())
            bar.update()


def set_tile(model: Model, plan: Plan) -> int:
    """Set the net to a plan's tile and give the number of classes.

    Raises
    ------
    DataError
        The net's own shapes are not those that the plan is built on.
    """
    model.reshape(plan.tile, batch=plan.batch)
    shape = tuple(int(extent) for extent in model.net.blobs[model.output].shape)
    borders = [
        (size - extent) // 2 + axis.first == axis.before
        for size, extent, axis in zip(plan.tile, shape[2:], plan.axes, strict=True)
    ]
    if not all(borders):
        raise DataError(
            f"{model.deploy}: blob '{model.output}' has shape {shape} for a tile of "
            f"{format_shape(plan.tile)}, which its layers do not explain"
        )
    return shape[1]


def tile_scores(
    model: Model, plan: Plan, inputs: TileInputs, *, softmax: bool
) -> Generator[tuple[Tile, NDArray[Any]]]:
    """Run the net over tiles; it is set to their size, and to the plan's batch.

    Parameters
    ----------
    model : Model
    plan : Plan
    inputs : iterator of Tile and ndarray, shape (C, [Z,] Y, X)
        The tiles with their pixels; where there are several made in another thread.
    softmax : bool
        Turn scores into probabilities.

    Yields
    ------
    tile : Tile
    scores : ndarray, shape (K, [Z,] Y, X)
        What goes to ``tile.target``; overwritten by the next batch.
    """
    batches = iter(lambda: list(islice(inputs, plan.batch)), [])
    with closing(ahead(batches, depth=AHEAD)) as made:
        for batch in made:
            results = forward_tiles(model, [part for _, part in batch])
            for (tile, _), result in zip(batch, results, strict=False):
                source: tuple[slice, ...] = (slice(None), *tile.source)
                scores = result[source]
                yield tile, softmax_of(scores) if softmax else scores


def forward_tiles(model: Model, tiles: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Run the net over at most as many tiles as it is set to.

    What comes out is overwritten by the next run.

    Raises
    ------
    DataError
        Scores that are NaN or infinite, of which nobody can tell the largest.
    """
    data = model.net.blobs[model.source].data
    for place, tile in zip(data, tiles, strict=False):
        place[...] = tile
    tops, blob = model.net.forward(), model.output
    result: NDArray[Any] = tops[blob] if blob in tops else model.net.blobs[blob].data
    if not np.isfinite(result[: len(tiles)]).all():
        raise DataError(
            f"{model.deploy}: blob '{blob}' has NaN or infinite scores; expected "
            "weights and grey values that give finite ones"
        )
    return result


def softmax_of(scores: NDArray[Any]) -> NDArray[Any]:
    """Turn scores (K, ...) into probabilities."""
    from scipy import special  # slow to import, and seldom wanted

    return np.asarray(special.softmax(scores, axis=0))


def _waiting_bytes(model: Model, tile: tuple[int, ...]) -> int:
    """Count tiles that are read ahead, and scores on their way to the files."""
    classes = int(model.net.blobs[model.output].shape[1])
    pixels = int(np.prod(tile))
    return FLOAT_BYTES * pixels * ((AHEAD + 2) * model.channels + 3 * classes)
