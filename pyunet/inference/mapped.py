"""Large TIFF files as arrays that lie on the disk, for images larger than the memory.

Where the pixels of a file lie plainly one after the other the file itself is mapped;
what is compressed or tiled is unpacked into a temporary file first, piece by piece.
"""

from __future__ import annotations

import mmap
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from pyunet.data.images import (
    TIFF,
    ImageStack,
    arrange_slices,
    read_stack,
    tiff_resolution,
)
from pyunet.tiffs import check_series, opened_tiff

LARGE = 2**26
OFTEN = 2**25


def open_stack(path: str | Path, scratch: str | Path) -> ImageStack:
    """Read images, or map them where it is a large TIFF file.

    Parameters
    ----------
    path : str or Path
        As for `pyunet.data.images.read_stack`.
    scratch : str or Path
        Folder for the temporary file of a compressed one; made if it is not there. The
        file is as large as the pixels and goes with the array.

    Returns
    -------
    ImageStack
        Of more than 64 MiB the array is mapped, read-only; see `forget`.

    Raises
    ------
    DataError
        What `read_stack` refuses; a folder that cannot be written.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/a.tif", np.zeros((8, 9), np.uint8))
    ...     stack = open_stack(f"{folder}/a.tif", folder)
    >>> stack.array.shape, is_mapped(stack.array)
    ((1, 1, 8, 9), False)
    """
    file = Path(path)
    if not file.is_file() or file.suffix.lower() not in TIFF:
        return read_stack(file)
    with opened_tiff(file) as tiff:
        series = tiff.series[0]
        plain = len(tiff.series) == 1 and np.dtype(series.dtype).kind in "ui"
        if plain and series.nbytes > LARGE:
            check_series(file, tiff, series)
            array = _map(file, tiff, series, Path(scratch))
            slices = arrange_slices(array, series.axes, file)
            return ImageStack(slices, file.stem, [file], tiff_resolution(tiff))
    return read_stack(file)


def is_mapped(array: NDArray[Any]) -> bool:
    """Tell whether an array lies in a file."""
    return _mapping(array) is not None


def forget(array: NDArray[Any]) -> None:
    """Give back the memory that was taken by reading a mapped array.

    Only where the system knows how; the array stays as it is.
    """
    mapping = _mapping(array)
    if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)


def _mapping(array: NDArray[Any]) -> mmap.mmap | None:
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None


def _map(
    file: Path, tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries, scratch: Path
) -> NDArray[Any]:
    if series.dataoffset is not None:
        kind = series.dtype.newbyteorder(tiff.byteorder)
        return np.memmap(file, kind, "r", series.dataoffset, series.shape)
    return _unpacked(series, scratch)


def _unpacked(series: tifffile.TiffPageSeries, scratch: Path) -> NDArray[Any]:
    """Decode a series into a temporary file, one strip or tile after the other."""
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=scratch, prefix=".pyunet.") as file:
        array = np.memmap(file, series.dtype, "w+", 0, series.shape)
    pages = array.reshape(len(series.pages), *series.keyframe.shaped)
    touched = 0
    for target, page in zip(pages, series.pages, strict=True):
        segments: Any = page.segments(maxworkers=1) if page is not None else ()
        for segment, (sample, *starts), _ in segments:
            if segment is None:
                continue
            spans = zip(starts, segment.shape, strict=False)
            part = target[sample][tuple(slice(i, i + count) for i, count in spans)]
            part[...] = segment[tuple(map(slice, part.shape))]
            touched += segment.nbytes
            if touched > OFTEN:
                forget(array)
                touched = 0
    return array
