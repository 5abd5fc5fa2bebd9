"""Batches of images that a text file lists with their labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from caffe.engine.sources import images
from caffe.engine.sources.prefetch import Batch, State, draws
from caffe.engine.transformer import DataTransformer
from caffe.errors import CheckError, FileError

_ORDER, _IMAGE = 0, 1  # what random numbers are for
_Line = TypeVar("_Line", bound="tuple[str, int | str]")


class ListBatches(ABC, Generic[_Line]):
    """Lines of a list, in a circle.

    Parameters
    ----------
    source : str
        Name of the list, for the texts of errors.
    lines : sequence of tuple
        Each begins with the name of an image.
    options : object with `batch`, `shuffle` and `skip`
    seed : int
        Of orders, and of what is drawn for a line.
    share : (int, int)
        Number of this process and of all: their lines lie between one another.

    State: number of lines before the next one in all rounds, images listed, seed.
    """

    def __init__(
        self,
        source: str,
        lines: Sequence[_Line],
        options: Any,
        *,
        seed: int,
        share: tuple[int, int],
    ) -> None:
        self._source = source
        self._lines = lines
        self._batch, self._shuffle = int(options.batch), bool(options.shuffle)
        self._first: State = {
            "row": int(options.skip),
            "images": len(lines),
            "seed": seed,
        }
        self._rank, self._ranks = share
        self._order: tuple[tuple[int, int], NDArray[np.int64]] | None = None

    @abstractmethod
    def sample(self, line: _Line, seed: int, row: int) -> list[Any]:
        """Read what a line gives to each top.

        Parameters
        ----------
        line : tuple
        seed, row : int
            For `random`.
        """

    @staticmethod
    def random(seed: int, row: int) -> np.random.Generator:
        """Random numbers of a row."""
        return draws(seed, _IMAGE, row)

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
        tops: list[NDArray[np.float32]] = []
        for place in range(self._batch):
            row = begin + place * self._ranks + self._rank
            line = self._lines[self._line(row, seed)]
            values = self.sample(line, seed, row)
            if place == 0:
                tops = [
                    np.empty((self._batch, *np.shape(value)), np.float32)
                    for value in values
                ]
            if np.shape(values[0]) != tops[0].shape[1:]:
                raise FileError(
                    f"{line[0]}: an image of shape {np.shape(values[0])}: expected "
                    f"{tops[0].shape[1:]}, as of the first image of the batch "
                    "(give new_height and new_width, or crop_size)"
                )
            for top, value in zip(tops, values, strict=True):
                top[place] = value
        after = {**state, "row": begin + self._batch * self._ranks}
        return list(tops), after

    def _line(self, row: int, seed: int) -> int:
        turn, place = divmod(row, len(self._lines))
        if not self._shuffle:
            return place
        if self._order is None or self._order[0] != (seed, turn):
            order = draws(seed, _ORDER, turn).permutation(len(self._lines))
            self._order = ((seed, turn), order)
        return int(self._order[1][place])


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


class ImageBatches(ListBatches[tuple[str, int]]):
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
        super().__init__(source, lines, options, seed=seed, share=share)
        self._transformer = transformer
        self._options = options

    def sample(self, line: tuple[str, int], seed: int, row: int) -> list[Any]:
        """Read image and label."""
        name, label = line
        pixels = images.read(name, self._options.color)
        if self._options.size is not None:
            pixels = images.resize(pixels, *self._options.size)
        rng = self.random(seed, row) if self._transformer.needs_random else None
        try:
            image = self._transformer.transform(pixels.transpose(2, 0, 1), rng)
        except CheckError as error:
            raise FileError(f"{name}: {error}") from None
        return [image, label]
