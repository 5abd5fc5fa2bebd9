"""What a segmentation leaves behind: TIFF stacks of scores and labels, and pictures.

Every file is written under a temporary name beside its own and renamed when it is
whole; a run that fails leaves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray

from pyunet.data.images import Resolution
from pyunet.files import atomic_path
from pyunet.inference.pictures import comparison_png, overlay_png

Values = Literal["scores", "probabilities"]
IMAGEJ_LIMIT = 2**32 - 2**20

__all__ = [
    "Outputs", "Values", "comparison_png", "most_likely", "overlay_png", "write_stacks",
]  # fmt: skip


@dataclass(frozen=True)
class Outputs:
    """The files of one segmented stack.

    Attributes
    ----------
    labels, scores : Path
        TIFF stacks: the most likely class; all classes, float32.
    overlay, comparison : Path
        PNG pictures; the second one only where a truth is known.
    """

    labels: Path
    scores: Path
    overlay: Path
    comparison: Path

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
        )


def write_stacks(
    outputs: Outputs,
    slices: Iterable[NDArray[np.float32]],
    shape: tuple[int, int, int, int],
    *,
    values: Values = "scores",
    resolution: Resolution | None = None,
) -> NDArray[np.unsignedinteger[Any]]:
    """Write scores and labels of a stack, one slice at a time.

    Only one slice's scores are held. The label of a pixel is the class with the
    largest score; with a single class it is 1 where the score is above 0 (the
    probability above 0.5).

    Parameters
    ----------
    outputs : Outputs
        Where ``labels`` and ``scores`` go.
    slices : iterable of ndarray, each of shape (K, Y, X)
    shape : tuple of int
        (N, K, Y, X): number of slices, classes, pixels.
    values : {"scores", "probabilities"}, default "scores"
        What the numbers are; stored as ``pyunet_values`` with the scores.
    resolution : Resolution, optional
        Pixel size of the input, kept in both files.

    Returns
    -------
    ndarray of uint8 or uint16, shape (N, Y, X)
        The labels.

    Raises
    ------
    DataError
        A file that cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> scores = np.array([[[[1.0, 2.0]], [[3.0, 0.0]]]], np.float32)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     out = Outputs.of(folder, "a")
    ...     write_stacks(out, iter(scores), scores.shape).tolist()
    [[[1, 0]]]
    """
    count, classes, *extent = shape
    kind = np.uint8 if classes <= 2**8 else np.uint16
    labels = np.empty((count, *extent), kind)

    def planes() -> Iterator[NDArray[np.float32]]:
        for index, scores in enumerate(slices):
            for row, decided in enumerate(labels[index]):
                decided[:] = most_likely(scores[:, row], values)
            yield from scores

    with ExitStack() as stack:
        scores_file = stack.enter_context(atomic_path(outputs.scores))
        labels_file = stack.enter_context(atomic_path(outputs.labels))
        _write_tiff(
            scores_file, planes(), shape, np.dtype(np.float32), "ZCYX",
            resolution, pyunet_values=values,
        )  # fmt: skip
        _write_tiff(
            labels_file, iter(labels), labels.shape, labels.dtype, "ZYX", resolution
        )
    return labels


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


def _write_tiff(
    path: Path,
    planes: Iterator[NDArray[Any]],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    axes: str,
    resolution: Resolution | None,
    **notes: str,
) -> None:
    """Write planes as an ImageJ stack; as BigTIFF if that would be too large."""
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
        tiff.write(
            planes,
            shape=shape,
            dtype=dtype,
            photometric="minisblack",
            metadata=metadata,
            **tags,
        )
