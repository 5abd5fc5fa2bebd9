"""The frames of a sequence, one TIFF file each, as the 2015 release prepared them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pyunet.data.images import read_stack
from pyunet.errors import DataError


@dataclass(frozen=True)
class Frames:
    """A folder of frames, read one at a time.

    Attributes
    ----------
    paths : list of Path
        One TIFF file a frame, in order.
    shape : tuple of int
        (C, Y, X), or (C, Z, Y, X) where the pages of a file are a volume.
    """

    paths: list[Path]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, folder: str | Path, *, volumes: bool = False) -> Frames:
        """Find the frames of a folder: all of ``*.tif``, sorted by their names.

        Parameters
        ----------
        folder : str or Path
        volumes : bool, default False
            Whether the pages of a file are the planes of a volume.

        Raises
        ------
        DataError
            No such folder; no TIFF file in it.
        """
        place = Path(folder)
        if not place.is_dir():
            raise DataError(f"{folder}: no such folder; expected one with t000.tif ...")
        paths = sorted(path for path in place.glob("*.tif") if path.name[0] != ".")
        if not paths:
            raise DataError(f"{folder}: has no *.tif, one file a frame")
        return cls(paths, _read(paths[0], volumes).shape)

    def __len__(self) -> int:
        """Give the number of frames."""
        return len(self.paths)

    def read(self, index: int) -> NDArray[np.float64]:
        """Read a frame with MATLAB's ``im2double``: 8 and 16 bits to 0..1.

        Parameters
        ----------
        index : int

        Returns
        -------
        ndarray of float64, shape (C, [Z,] Y, X)

        Raises
        ------
        DataError
            A frame of another shape than the first one, or of numbers that are not of
            8 or 16 bits or floats; NaN or infinite values.
        """
        path = self.paths[index]
        array = _read(path, len(self.shape) == 4)
        if array.shape != self.shape:
            raise DataError(
                f"{path}: has shape {array.shape}, {self.paths[0]} has {self.shape}: "
                "all frames must be alike"
            )
        return _to_double(array, path)

    def digest(self) -> str:
        """Check all frames and give a hash of their grey values.

        Raises
        ------
        DataError
            As :meth:`read`.
        """
        state = hashlib.sha256(str(self.shape).encode())
        for index in tqdm(
            range(len(self)), desc="reading frames", unit="frame", disable=None
        ):
            state.update(self.read(index).tobytes())
        return state.hexdigest()


class Normalisation:
    """The release's ``normImage``: the whole stack to 0..1, less each frame's median.

    Every channel has its own numbers.

    Parameters
    ----------
    frames : Frames
        All of them are read once.

    Raises
    ------
    DataError
        A channel with the same value everywhere.
    """

    def __init__(self, frames: Frames) -> None:
        channels = frames.shape[0]
        self._low = np.full(channels, np.inf)
        high = np.full(channels, -np.inf)
        for index in tqdm(
            range(len(frames)), desc="grey values", unit="frame", disable=None
        ):
            values = frames.read(index).reshape(channels, -1)
            self._low = np.minimum(self._low, values.min(axis=1))
            high = np.maximum(high, values.max(axis=1))
        self._range = high - self._low
        if not self._range.all():
            channel = int(np.argmin(self._range))
            raise DataError(
                f"{frames.paths[0].parent}: channel {channel} is "
                f"{self._low[channel]:g} in all frames: it cannot be normalised"
            )

    def apply(self, frame: NDArray[np.float64]) -> NDArray[np.float64]:
        """Normalise one frame (C, [Z,] Y, X)."""
        aside = (-1, *(1,) * (frame.ndim - 1))
        scaled = (frame - self._low.reshape(aside)) / self._range.reshape(aside)
        middle = np.median(scaled.reshape(len(scaled), -1), axis=1)
        result: NDArray[np.float64] = scaled - middle.reshape(aside)
        return result


def _read(path: Path, volumes: bool) -> NDArray[Any]:
    array = read_stack(path).array
    if volumes:
        return array.swapaxes(0, 1)
    if len(array) > 1:
        raise DataError(
            f"{path}: has {len(array)} pages; expected one frame per file "
            "(volumes need a 3-D net)"
        )
    return np.asarray(array[0])


def _to_double(array: NDArray[Any], path: Path) -> NDArray[np.float64]:
    if array.dtype in (np.uint8, np.uint16):
        return array.astype(np.float64) / np.iinfo(array.dtype).max
    if array.dtype.kind != "f":
        raise DataError(
            f"{path}: has values of type {array.dtype}; expected uint8, uint16 or "
            "floats"
        )
    if not np.isfinite(array).all():
        raise DataError(f"{path}: has NaN or infinite grey values")
    return array.astype(np.float64)
