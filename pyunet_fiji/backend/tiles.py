"""Reading a tile out of an image, and putting scores in their place.

From tiled_predict.md, sections 5 and 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyunet.inference.tiling import mirror_index

PADDINGS = ("zero", "mirror")


def read_tile(
    image: NDArray[Any],
    start: Sequence[int],
    target: NDArray[Any],
    *,
    padding: str = "mirror",
) -> None:
    """Copy a block of an image, which may reach beyond its borders.

    Parameters
    ----------
    image : ndarray, shape (C, [Z,] Y, X)
    start : sequence of int
        First pixel of the block on each spatial axis; may be negative.
    target : ndarray, shape (C, ...)
        Where the block goes; its shape says how large it is.
    padding : {"mirror", "zero"}
        What is outside.

    Examples
    --------
    >>> target = np.empty((1, 5))
    >>> read_tile(np.arange(7.0).reshape(1, 7), (4,), target)
    >>> target.tolist()
    [[4.0, 5.0, 6.0, 5.0, 4.0]]
    """
    spans = list(zip(start, target.shape[1:], image.shape[1:], strict=True))
    insides = [
        (max(0, first), min(first + count, length)) for first, count, length in spans
    ]
    inner = (slice(None), *(slice(low, high) for low, high in insides))
    if all(high - low == s[1] for (low, high), s in zip(insides, spans, strict=True)):
        target[...] = image[inner]
    elif padding == "mirror":
        block = image
        for axis, (first, count, length) in enumerate(spans, start=1):
            positions = mirror_index(first, count, length)
            block = np.take(block, positions, axis=axis)
        target[...] = block
    else:
        target[...] = 0
        if all(low < high for low, high in insides):
            shifts = zip(insides, start, strict=True)
            parts = (slice(low - first, high - first) for (low, high), first in shifts)
            place = (slice(None), *parts)
            target[place] = image[inner]


def add_tile(scores: NDArray[Any], start: Sequence[int], block: NDArray[Any]) -> None:
    """Add a block to scores; what is beyond the image is dropped.

    Parameters
    ----------
    scores : ndarray, shape (K, [Z,] Y, X)
    start : sequence of int
        First pixel of the block on each spatial axis, 0 or more.
    block : ndarray, shape (K, ...)
    """
    spans = zip(start, block.shape[1:], strict=True)
    place = (slice(None), *(slice(first, first + count) for first, count in spans))
    target = scores[place]
    target += block[tuple(slice(extent) for extent in target.shape)]
