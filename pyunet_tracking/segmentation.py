"""Segmenting as the 2015 release did it (``mycaffe_tiled_forward5``).

Only the rows of the image are divided; a tile has the whole width (and depth). Tiles
are moved by their output's size, whatever the net's downsampling factor is. The image
goes on as its mirror image for as many pixels as the net loses; beyond that a tile is
zero, which only touches what is cut off. Each tile is computed four times, mirrored in
neither, either and both directions, and the raw scores are averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe import Axis
from pyunet.errors import DataError
from pyunet.inference import predict
from pyunet.inference.engine import Model
from pyunet.inference.resize import resize_by, resize_to, scaled_size
from pyunet.inference.tiling import mirror_index
from pyunet.inference.windows import FloatArray
from pyunet_tracking.frames import Frames, Normalisation

FLIPS = ((), (-2,), (-1,), (-2, -1))
ROWS = -2


@dataclass(frozen=True)
class RowTiles:
    """How the release cuts an image.

    Attributes
    ----------
    axes : tuple of Axis
        The net's geometry.
    image : tuple of int
        Spatial extents, ([Z,] Y, X), in pixels.
    tile : tuple of int
        Spatial extents of the net's input.
    starts : tuple of int
        First rows of the tiles' outputs.
    """

    axes: tuple[Axis, ...]
    image: tuple[int, ...]
    tile: tuple[int, ...]
    starts: tuple[int, ...]

    @classmethod
    def of(cls, axes: Sequence[Axis], image: Sequence[int], count: int) -> RowTiles:
        """Cut an image into a number of tiles, one above the other.

        Parameters
        ----------
        axes : sequence of Axis
        image : sequence of int
            Spatial extents, ([Z,] Y, X), in pixels.
        count : int
            Tiles; those that would lie below the image are left out.

        Raises
        ------
        DataError
            A count below 1; a net that loses more pixels at one end than at the other.

        Examples
        --------
        >>> axis = Axis(factor=16, smallest=188, shrink=184, before=92)
        >>> tiles = RowTiles.of((axis, axis), (520, 696), 2)
        >>> tiles.tile, tiles.starts
        ((444, 892), (0, 260))
        """
        if count < 1:
            raise DataError(f"{count} tiles: expected at least 1")
        if any(2 * axis.before != axis.shrink for axis in axes):
            raise DataError(
                "the net loses more pixels at one end of an axis than at the other; "
                "the release's mirrored tiles need the same at both"
            )
        output = list(image)
        output[ROWS] = -(-image[ROWS] // count)
        tile = [axis.input_for(n) for axis, n in zip(axes, output, strict=True)]
        step = axes[ROWS].output_of(tile[ROWS])
        starts = tuple(range(0, min(count * step, image[ROWS]), step))
        return cls(tuple(axes), tuple(image), tuple(tile), starts)

    @property
    def passes(self) -> int:
        """How often the net runs for one image."""
        return len(self.starts) * len(FLIPS)

    def read(self, image: NDArray[Any], start: int) -> NDArray[Any]:
        """Copy a tile's input from an image (C, [Z,] Y, X)."""
        places, inside = [], []
        for axis, length, size, first in self._each(start):
            begin = first - axis.before
            places.append(mirror_index(begin, size, length))
            inside.append(np.arange(begin, begin + size) < length + axis.before)
        index: tuple[Any, ...] = (slice(None), *np.ix_(*places))
        part: NDArray[Any] = image[index]
        for axis_number, good in enumerate(inside, 1):
            np.moveaxis(part, axis_number, 0)[~good] = 0
        return part

    def paste(self, scores: FloatArray, result: NDArray[Any], start: int) -> None:
        """Write what a tile gives, (K, [Z,] Y, X), into the scores of the image."""
        source: list[slice] = [slice(None)]
        target: list[slice] = [slice(None)]
        for axis, length, size, first in self._each(start):
            count = min(axis.output_of(size), length - first)
            source.append(slice(axis.first, axis.first + count))
            target.append(slice(first, first + count))
        scores[tuple(target)] = result[tuple(source)]

    def _each(self, start: int) -> list[tuple[Axis, int, int, int]]:
        """Give geometry, image pixels, tile pixels and first output of every axis."""
        firsts = [0] * len(self.axes)
        firsts[ROWS] = start
        return list(zip(self.axes, self.image, self.tile, firsts, strict=True))


def forward_tiles(
    model: Model,
    image: FloatArray,
    tiles: RowTiles,
    *,
    done: Callable[[], object] = lambda: None,
) -> FloatArray:
    """Compute the scores of one image, each the mean of four passes.

    Parameters
    ----------
    model : Model
        Set to the tile's size (:meth:`Model.reshape`).
    image : ndarray of float32, shape (C, [Z,] Y, X)
    tiles : RowTiles
    done : callable, optional
        Called after every run of the net.

    Returns
    -------
    ndarray of float32, shape (K, [Z,] Y, X)
    """
    classes = int(model.net.blobs[model.output].shape[1])
    scores = np.empty((classes, *tiles.image), np.float32)
    for start in tiles.starts:
        part = tiles.read(image, start)
        total = np.zeros_like(model.net.blobs[model.output].data[0])
        for flip in FLIPS:
            result = predict.forward_tiles(model, [np.flip(part, flip)])[0]
            total += np.flip(result, flip)
            done()
        total /= len(FLIPS)
        tiles.paste(scores, total, start)
    return scores


@dataclass(frozen=True)
class Segmentation:
    """A sequence, a net, and how the release goes about it.

    Attributes
    ----------
    model : Model
    frames : Frames
    tiles : RowTiles
    normalisation : Normalisation or None
    scale : float
        By which frames are resized first, and their scores back afterwards.
    """

    model: Model
    frames: Frames
    tiles: RowTiles
    normalisation: Normalisation | None = None
    scale: float = 1.0

    @classmethod
    def of(
        cls,
        model: Model,
        frames: Frames,
        *,
        tiles: int = 2,
        normalise: bool = False,
        scale: float = 1.0,
    ) -> Segmentation:
        """Prepare a sequence; the net is set to the tiles' size.

        Parameters
        ----------
        model : Model
        frames : Frames
        tiles : int, default 2
            The release's ``nTiles``.
        normalise : bool, default False
            The release's ``normImage``.
        scale : float, default 1
            The release's ``scaleImage``, for Y and X.

        Raises
        ------
        DataError
            Frames of other channels than the net's; a scale that is not above 0.
        """
        if frames.shape[0] != model.channels:
            raise DataError(
                f"{frames.paths[0]}: has {frames.shape[0]} channel(s); the net "
                f"{model.deploy} takes {model.channels} (blob '{model.source}')"
            )
        if not 0 < scale < np.inf:
            raise DataError(f"scale {scale:g}: expected factors above 0")
        *depth, height, width = frames.shape[1:]
        image = (*depth, *scaled_size((height, width), scale))
        cut = RowTiles.of(model.axes, image, tiles)
        normalisation = Normalisation(frames) if normalise else None
        model.reshape(cut.tile)
        return cls(model, frames, cut, normalisation, scale)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.model.net.blobs[self.model.output].shape[1])

    def image(self, index: int) -> FloatArray:
        """Give what the net is to see of a frame, (C, [Z,] Y, X)."""
        frame = self.frames.read(index)
        if self.normalisation is not None:
            frame = self.normalisation.apply(frame)
        if self.scale != 1:
            frame = resize_by(frame, self.scale)
        return frame.astype(np.float32)

    def scores(
        self, index: int, *, done: Callable[[], object] = lambda: None
    ) -> FloatArray:
        """Give the raw scores of a frame in its own size, (K, [Z,] Y, X)."""
        scores = forward_tiles(self.model, self.image(index), self.tiles, done=done)
        return scores if self.scale == 1 else resize_to(scores, self.frames.shape[-2:])
