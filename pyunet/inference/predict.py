"""Run a net over images of any size, tile by tile."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special
from tqdm import tqdm

from pyunet.errors import DataError
from pyunet.inference.engine import FLOAT_BYTES, Model
from pyunet.inference.memory import format_bytes
from pyunet.inference.tiling import (
    Plan,
    Tile,
    fixed_tiles,
    format_shape,
    plan_tiles,
    read_tile,
)

FloatArray = NDArray[np.float32]
# Measured: what the allocator does not give back at once, and libraries' workspace.
ALLOCATOR_FACTOR = 1.25
WORKSPACE = 96 * 2**20


def make_plan(
    model: Model,
    image: Sequence[int],
    *,
    memory: int,
    held: int = 0,
    tile_size: Sequence[int] | None = None,
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
        valid size; default: the tile shape with the fewest multiply-adds that fits.

    Returns
    -------
    Plan

    Raises
    ------
    DataError
        No tile fits into the memory; the text says how much is needed.
    """
    fixed = held + model.weight_bytes() + _result_bytes(model, image) + WORKSPACE

    def needed(tile: tuple[int, ...]) -> int:
        return fixed + int(ALLOCATOR_FACTOR * model.activation_bytes(tile))

    if tile_size is None:
        best = plan_tiles(
            image, model.axes, cost=model.multiply_adds, memory=needed, limit=memory
        )
        return replace(best, padding=model.padding)
    plan = replace(fixed_tiles(image, model.axes, tile_size), padding=model.padding)
    if needed(plan.tile) > memory:
        raise DataError(
            f"a tile of {format_shape(plan.tile)} needs "
            f"{format_bytes(needed(plan.tile))}, the limit is {format_bytes(memory)}: "
            "take smaller tiles or raise the memory limit"
        )
    return plan


def segment_array(
    model: Model,
    image: FloatArray,
    plan: Plan,
    *,
    output: str | None = None,
    softmax: bool = False,
) -> FloatArray:
    """Compute the scores of one image.

    Parameters
    ----------
    model : Model
    image : ndarray of float32, shape (C, [Z,] Y, X)
        Grey values on the scale of the training data.
    plan : Plan
        From :func:`make_plan`.
    output : str, optional
        Blob with the scores; default: the net's first output.
    softmax : bool, default False
        Turn scores into probabilities.

    Returns
    -------
    ndarray of float32, shape (K, [Z,] Y, X)

    Raises
    ------
    DataError
        An image of other extents or channels than the plan and the net.
    """
    return next(
        segment_arrays(model, [image], plan, total=1, output=output, softmax=softmax)
    )


def segment_arrays(
    model: Model,
    images: Iterable[FloatArray],
    plan: Plan,
    *,
    total: int,
    output: str | None = None,
    softmax: bool = False,
    label: str = "segment",
) -> Iterator[FloatArray]:
    """Compute the scores of images of one size, one after the other.

    Only one image's scores and one tile's activations are held at a time.

    Parameters
    ----------
    model : Model
    images : iterable of ndarray of float32, each of shape (C, [Z,] Y, X)
    plan : Plan
    total : int
        Number of images, for the progress bar.
    output : str, optional
        Blob with the scores; default: the net's first output.
    softmax : bool, default False
        Turn scores into probabilities.
    label : str
        What the progress bar is called.

    Yields
    ------
    ndarray of float32, shape (K, [Z,] Y, X)

    Raises
    ------
    DataError
        An image of other extents or channels than the plan and the net.
    """
    blob = output or model.output
    classes = prepare(model, plan, blob)
    with tqdm(
        total=total * len(plan), desc=label, unit="tile", disable=None
    ) as progress:
        for image in images:
            check_image(model, image, image.shape[1:], plan)
            scores = np.empty((classes, *plan.image), np.float32)
            results = tile_scores(
                model, plan, functools.partial(read_tile, image, plan),
                blob=blob, softmax=softmax,
            )  # fmt: skip
            for tile, result in results:
                target: tuple[slice, ...] = (slice(None), *tile.target)
                scores[target] = result
                progress.update()
            yield scores


def prepare(model: Model, plan: Plan, blob: str) -> int:
    """Set the net to a plan's tile and give the number of classes.

    Raises
    ------
    DataError
        The net's own shapes are not those that the plan is built on.
    """
    model.reshape(plan.tile)
    shape = tuple(int(extent) for extent in model.net.blobs[blob].shape)
    borders = [
        (size - extent) // 2 + axis.first == axis.before
        for size, extent, axis in zip(plan.tile, shape[2:], plan.axes, strict=True)
    ]
    if not all(borders):
        raise DataError(
            f"{model.deploy}: blob '{blob}' has shape {shape} for a tile of "
            f"{format_shape(plan.tile)}, which its layers do not explain"
        )
    return shape[1]


def check_image(
    model: Model, image: FloatArray, extent: Sequence[int], plan: Plan
) -> None:
    """Compare an image, and what is made of its extents, with the net and the plan.

    Raises
    ------
    DataError
        Other channels than the net's, other extents than the plan's.
    """
    if image.shape[0] != model.channels or tuple(extent) != plan.image:
        raise DataError(
            f"image of shape {image.shape}: the net takes "
            f"{model.channels} channel(s), the plan {plan.image} pixels"
        )


def tile_scores(
    model: Model,
    plan: Plan,
    read: Callable[[Tile], NDArray[Any]],
    *,
    blob: str,
    softmax: bool,
) -> Iterator[tuple[Tile, NDArray[Any]]]:
    """Run the net over all tiles of one image; the net is set to their size.

    Parameters
    ----------
    model : Model
    plan : Plan
    read : callable
        Gives the input (C, [Z,] Y, X) of a tile.
    blob : str
        Blob with the scores.
    softmax : bool
        Turn scores into probabilities.

    Yields
    ------
    tile : Tile
    scores : ndarray, shape (K, [Z,] Y, X)
        What goes to ``tile.target``; overwritten by the next tile.
    """
    for tile in plan:
        result = forward_tile(model, read(tile), blob)
        source: tuple[slice, ...] = (slice(None), *tile.source)
        yield (
            tile,
            special.softmax(result[source], axis=0) if softmax else result[source],
        )


def forward_tile(model: Model, tile: NDArray[Any], blob: str) -> NDArray[Any]:
    """Run the net over one tile; what comes out is overwritten by the next run."""
    model.net.blobs[model.source].data[0] = tile
    tops = model.net.forward()
    whole = tops[blob] if blob in tops else model.net.blobs[blob].data
    result: NDArray[Any] = whole[0]
    return result


def _result_bytes(model: Model, image: Sequence[int]) -> int:
    """Count one image, its scores, and a copy of one channel for writing."""
    classes = int(model.net.blobs[model.output].shape[1])
    return FLOAT_BYTES * (classes + model.channels + 1) * int(np.prod(image))
