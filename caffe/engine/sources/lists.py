"""Batches of images that a text file lists with their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caffe.engine.sources import images
from caffe.engine.sources.prefetch import Batch, State, draws
from caffe.engine.transformer import DataTransformer
from caffe.errors import CheckError, FileError

_ORDER, _IMAGE = 0, 1  # what random numbers are for


@dataclass(frozen=True)
class ImageOptions:
    """Options of ImageData.

    Attributes
    ----------
    batch : int
        Images of a batch.
    size : (int, int) or None
        Height and width that images are brought to.
    color : bool
        Three channels, or one.
    shuffle : bool
        Another order in each round.
    skip : int
        Images to leave out at the start.
    """

    batch: int
    size: tuple[int, int] | None = None
    color: bool = True
    shuffle: bool = False
    skip: int = 0


class ImageBatches:
    """Images of a list, in a circle.

    Parameters
    ----------
    source : str
        Name of the list, for the texts of errors.
    lines : sequence of (str, int)
        Images and labels, see `images.read_list`.
    transformer : DataTransformer
    options : ImageOptions
    seed : int
        Of orders, crops and mirrors.
    share : (int, int)
        Number of this process and of all: their images lie between one another.

    State: number of images before the next one in all rounds, images listed, seed.
    """

    def __init__(
        self,
        source: str,
        lines: Sequence[tuple[str, int]],
        transformer: DataTransformer,
        options: ImageOptions,
        *,
        seed: int,
        share: tuple[int, int],
    ) -> None:
        self._source = source
        self._lines = lines
        self._transformer = transformer
        self._options = options
        self._first: State = {
            "row": options.skip,
            "images": len(lines),
            "seed": seed,
        }
        self._rank, self._ranks = share
        self._order: tuple[tuple[int, int], NDArray[np.int64]] | None = None

    def first_state(self) -> State:
        """Start at the first image that is not skipped."""
        return dict(self._first)

    def read(self, state: State) -> Batch:
        """Read the batch at `state`.

        Raises
        ------
        FileError
            Naming the image that is missing or wrong.
        """
        begin, seed = int(state["row"]), int(state["seed"])
        if int(state["images"]) != len(self._lines):
            raise FileError(
                f"{self._source}: lists {len(self._lines)} images: "
                f"expected {int(state['images'])}, as when the state was saved"
            )
        data: NDArray[np.float32] = np.empty(0, np.float32)
        labels = np.empty(self._options.batch, np.float32)
        for place in range(self._options.batch):
            row = begin + place * self._ranks + self._rank
            name, label = self._lines[self._line(row, seed)]
            image = self._image(name, seed, row)
            if place == 0:
                data = np.empty((self._options.batch, *image.shape), np.float32)
            if image.shape != data.shape[1:]:
                raise FileError(
                    f"{name}: an image of shape {image.shape}: expected "
                    f"{data.shape[1:]}, as of the first image of the batch "
                    "(give new_height and new_width, or crop_size)"
                )
            data[place], labels[place] = image, label
        after = {**state, "row": begin + self._options.batch * self._ranks}
        return [data, labels], after

    def _line(self, row: int, seed: int) -> int:
        turn, place = divmod(row, len(self._lines))
        if not self._options.shuffle:
            return place
        if self._order is None or self._order[0] != (seed, turn):
            order = draws(seed, _ORDER, turn).permutation(len(self._lines))
            self._order = ((seed, turn), order)
        return int(self._order[1][place])

    def _image(self, name: str, seed: int, row: int) -> NDArray[np.float32]:
        pixels = images.read(name, self._options.color)
        if self._options.size is not None:
            pixels = images.resize(pixels, *self._options.size)
        needs = self._transformer.needs_random
        rng = draws(seed, _IMAGE, row) if needs else None
        try:
            return self._transformer.transform(pixels.transpose(2, 0, 1), rng)
        except CheckError as error:
            raise FileError(f"{name}: {error}") from None
