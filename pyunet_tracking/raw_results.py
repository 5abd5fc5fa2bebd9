"""``raw_results.h5`` of the 2015 release, frame by frame, so that runs can continue.

The file holds ``scores`` (float32) and ``labels`` (uint8) as MATLAB's ``hdf5write``
left them: HDF5 lists MATLAB's dimensions backwards, so what was (X, Y, K, T) there is
(T, K, Y, X) here. A sequence of one frame keeps its T. While a sequence is computed,
its frames lie in a hidden folder beside; the file itself is whole or not there.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from pyunet.errors import DataError
from pyunet.files import atomic_path
from pyunet.inference.outputs import Values, most_likely

NAME = "raw_results.h5"
PARTS = ".raw_results.parts"
KEY = "pyunet_key"
MOST_CLASSES = 256


class RawResults:
    """The scores of a sequence on their way to a file.

    Parameters
    ----------
    folder : Path
        Where the file goes; made if it is not there.
    key : str
        Says what the scores come from. Scores of another key are computed again.
    frames : int
    shape : sequence of int
        (K, [Z,] Y, X) of one frame's scores.

    Attributes
    ----------
    path : Path
        Of the file.
    frames : int

    Raises
    ------
    DataError
        More than 256 classes, which the labels cannot hold; a folder that cannot be
        written.
    """

    def __init__(
        self, folder: Path, key: str, *, frames: int, shape: Sequence[int]
    ) -> None:
        if shape[0] > MOST_CLASSES:
            raise DataError(
                f"{shape[0]} classes: the labels of {NAME} hold {MOST_CLASSES}"
            )
        self.path = folder / NAME
        self._key = key
        self.frames = frames
        self._shape = tuple(shape)
        self._parts = folder / PARTS
        if self.is_whole:
            return
        note = self._parts / "key"
        if not note.is_file() or note.read_text() != key:
            self.forget()
            try:
                self._parts.mkdir(parents=True)
            except OSError as error:
                raise DataError(
                    f"{folder}: cannot be written: {error.strerror}"
                ) from error
            with atomic_path(note) as temporary:
                temporary.write_text(key)

    @property
    def is_whole(self) -> bool:
        """Whether the file is there, with the scores of this key."""
        try:
            with h5py.File(self.path) as file:
                return bool(file.attrs.get(KEY) == self._key)
        except OSError:
            return False

    def missing(self) -> list[int]:
        """Give the frames that are still to be computed."""
        if self.is_whole:
            return []
        return [index for index in range(self.frames) if not self._has(index)]

    def add(self, index: int, scores: NDArray[np.float32]) -> None:
        """Keep the scores (K, [Z,] Y, X) of a frame."""
        with atomic_path(self._part(index)) as temporary, temporary.open("wb") as file:
            np.save(file, scores)

    def finish(self, values: Values) -> None:
        """Write the file, once no frame is missing.

        Parameters
        ----------
        values : {"scores", "probabilities"}
            What the net gives; a single class is decided by it.
        """
        if self.is_whole:
            return
        count, shape = self.frames, self._shape
        with (
            atomic_path(self.path) as temporary,
            h5py.File(temporary, "w") as file,
        ):
            scores = file.create_dataset("scores", (count, *shape), "f4")
            labels = file.create_dataset("labels", (count, *shape[1:]), "u1")
            for index in range(count):
                frame_scores = np.load(self._part(index), allow_pickle=False)
                scores[index] = frame_scores
                labels[index] = most_likely(frame_scores, values)
            file.attrs[KEY] = self._key
        self.forget()

    def forget(self) -> None:
        """Delete the frames that lie beside the file."""
        shutil.rmtree(self._parts, ignore_errors=True)

    def labels(self) -> Generator[NDArray[np.uint8]]:
        """Read the labels ([Z,] Y, X) of one frame after the other."""
        with h5py.File(self.path) as file:
            yield from file["labels"]

    def _part(self, index: int) -> Path:
        return self._parts / f"{index:06d}.npy"

    def _has(self, index: int) -> bool:
        try:
            part = np.load(self._part(index), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError):
            return False
        return bool(part.shape == self._shape and part.dtype == np.float32)
