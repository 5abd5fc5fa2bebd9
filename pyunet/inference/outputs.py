"""What a segmentation leaves behind: TIFF stacks of scores and labels, and pictures.

Every file is written under a temporary name beside its own and renamed when it is
whole; a run that fails leaves nothing. What is written is written in another thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from io import FileIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray

from pyunet.data.images import Resolution
from pyunet.files import atomic_path
from pyunet.inference.mapped import LARGE
from pyunet.inference.predict import Part
from pyunet.inference.threads import Behind

Values = Literal["scores", "probabilities"]
IMAGEJ_LIMIT = 2**32 - 2**20


@dataclass(frozen=True)
class Outputs:
    """The files of one segmented stack.

    Attributes
    ----------
    labels, scores : Path
        TIFF stacks: the most likely class; all classes, float32.
    overlay, comparison : Path
        PNG pictures; the second one only where a truth is known.
    objects, table : Path
        A TIFF stack with numbers of objects, and what was measured of them; only where
        objects are told apart.
    """

    labels: Path
    scores: Path
    overlay: Path
    comparison: Path
    objects: Path
    table: Path

    @classmethod
    def of(cls, folder: str | Path, name: str) -> Outputs:
        """Name the files of a stack in a folder.

        Examples
        --------
        >>> Outputs.of("out", "cells").labels.as_posix()
        'out/cells_labels.tif'
        """
        stem = f"{Path(folder) / name}_"
        return cls(
            labels=Path(f"{stem}labels.tif"),
            scores=Path(f"{stem}scores.tif"),
            overlay=Path(f"{stem}overlay.png"),
            comparison=Path(f"{stem}comparison.png"),
            objects=Path(f"{stem}objects.tif"),
            table=Path(f"{stem}objects.csv"),
        )

    def written(self) -> list[Path]:
        """List all of them."""
        return [getattr(self, field.name) for field in fields(self)]


def write_parts(
    outputs: Outputs,
    parts: Iterable[Part],
    shape: tuple[int, int, int, int],
    *,
    values: Values = "scores",
    resolution: Resolution | None = None,
) -> NDArray[np.unsignedinteger[Any]]:
    """Write scores and labels of a stack, part by part.

    Three parts are held at most. The label of a pixel is the class with the largest
    score; with a single class it is 1 where the score is above 0 (the probability
    above 0.5).

    Parameters
    ----------
    outputs : Outputs
        Where ``labels`` and ``scores`` go.
    parts : iterable of Part
        Rectangles of slices that cover all of them; the image's number is the slice's.
    shape : tuple of int
        (N, K, Y, X): number of slices, classes, pixels.
    values : {"scores", "probabilities"}, default "scores"
        What the numbers are; stored as ``pyunet_values`` with the scores.
    resolution : Resolution, optional
        Pixel size of the input, kept in both files.

    Returns
    -------
    ndarray of uint8 or uint16, shape (N, Y, X)
        The labels; of more than 64 MiB the mapped file.

    Raises
    ------
    DataError
        A file that cannot be written.
    """
    count, classes, *extent = shape
    kind = np.dtype(np.uint8 if classes <= 2**8 else np.uint16)
    with ExitStack() as stack:
        paths = [
            stack.enter_context(atomic_path(path))
            for path in (outputs.scores, outputs.labels)
        ]
        scores = stack.enter_context(
            _TiffStack(
                paths[0], shape, np.dtype(np.float32), "ZCYX", resolution,
                pyunet_values=values,
            )
        )  # fmt: skip
        labels = stack.enter_context(
            _TiffStack(paths[1], (count, *extent), kind, "ZYX", resolution)
        )

        def write(part: Part) -> None:
            for channel, plane in enumerate(part.scores):
                scores.write((part.image, channel), part.target, plane)
            decided = np.empty(part.scores.shape[1:], kind)
            for row, one in enumerate(decided):
                one[:] = most_likely(part.scores[:, row], values)
            labels.write((part.image,), part.target, decided)

        with Behind(write) as put:
            for part in parts:
                put(part)
        written = np.memmap(paths[1], kind, "r", labels.offset, (count, *extent))
    return written if written.nbytes > LARGE else np.array(written)


def most_likely(scores: NDArray[np.float32], values: Values) -> NDArray[Any]:
    """Give the class of every pixel: the first one with the largest value.

    Parameters
    ----------
    scores : ndarray, shape (K, ...)
        With a single class: 1 where the score is above 0, the probability above 0.5.
    values : {"scores", "probabilities"}

    Returns
    -------
    ndarray of int or bool, shape (...)
    """
    if len(scores) > 1:
        return np.asarray(np.argmax(scores, axis=0))
    return np.asarray(scores[0] > (0.5 if values == "probabilities" else 0.0))


def write_tiff(
    path: Path,
    planes: Iterator[NDArray[Any]],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    axes: str,
    resolution: Resolution | None,
    **notes: str,
) -> None:
    """Write planes as an ImageJ stack; as BigTIFF if that would be too large.

    Parameters
    ----------
    path : Path
    planes : iterator of ndarray, each of shape (Y, X)
    shape : tuple of int
        Of all of them, (..., Y, X).
    dtype : dtype
        One that ImageJ knows: uint8, uint16, float32.
    axes : str
        ImageJ's letters, one an axis.
    resolution : Resolution or None
        Pixel size, for the file to state.
    **notes : str
        What else the file is to state.
    """
    whole = (slice(0, shape[-2]), slice(0, shape[-1]))
    with _TiffStack(path, shape, dtype, axes, resolution, **notes) as stack:
        for number, plane in enumerate(planes):
            at = np.unravel_index(number, shape[:-2])
            stack.write(tuple(map(int, at)), whole, plane)


class _TiffStack:
    """An ImageJ stack, or a BigTIFF if it is too large for one, written anywhere."""

    def __init__(
        self,
        path: Path,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        axes: str,
        resolution: Resolution | None,
        **notes: str,
    ) -> None:
        metadata: dict[str, Any] = {"axes": axes, **notes}
        tags: dict[str, Any] = {}
        if resolution is not None:
            tags["resolution"] = (resolution.x, resolution.y)
            tags["resolutionunit"] = resolution.unit
            if resolution.unit_name:
                metadata["unit"] = resolution.unit_name
            if resolution.spacing:
                metadata["spacing"] = resolution.spacing
        small = int(np.prod(shape)) * dtype.itemsize < IMAGEJ_LIMIT
        with tifffile.TiffWriter(path, imagej=small, bigtiff=not small) as tiff:
            place = tiff.write(
                shape=shape,
                dtype=dtype,
                photometric="minisblack",
                metadata=metadata,
                returnoffset=True,
                **tags,
            )
        assert place is not None
        self.offset = place[0]
        self._shape, self._dtype = shape, dtype
        self._file = FileIO(path, "r+")

    def __enter__(self) -> _TiffStack:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(
        self, plane: tuple[int, ...], target: Sequence[slice], values: NDArray[Any]
    ) -> None:
        """Write a rectangle (Y, X) of a plane."""
        rows, columns = target
        height, width = self._shape[-2:]
        number = int(np.ravel_multi_index(plane, self._shape[:-2]))
        first = (number * height + rows.start) * width + columns.start
        runs = np.ascontiguousarray(values, self._dtype)
        if len(values[0]) == width:
            runs = runs.reshape(1, -1)
        for index, run in enumerate(runs):
            self._file.seek(self.offset + (first + index * width) * run.itemsize)
            _write_all(self._file, memoryview(run).cast("B"))


def _write_all(file: FileIO, data: memoryview) -> None:
    while data:
        data = data[file.write(data) :]
