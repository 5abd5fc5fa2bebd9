"""Large TIFF files as arrays that lie on the disk, for images larger than the memory.

The pixels are copied, or unpacked, into a temporary file first, piece by piece, and
that is mapped: the end of a mapped file that another program cuts short would end the
process without a word.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Sequence
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
from pyunet.errors import DataError
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
        Folder for the temporary file; made if it is not there. The file is as large as
        the pixels and goes with the array.

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
        plain = len(tiff.series) == 1 and np.dtype(series.dtype).kind in "uif"
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


class Scratch:
    """Where arrays are held on the way: in the memory, or on the disk.

    Parameters
    ----------
    folder : Path, optional
        For temporary files; default: the memory.

    Examples
    --------
    >>> Scratch().zeros((2, 3), np.float32).sum()
    np.float32(0.0)
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def zeros(self, shape: Sequence[int], dtype: type[np.generic]) -> NDArray[Any]:
        """Make an array of zeros.

        Raises
        ------
        DataError
            No room on the disk.
        """
        if self._folder is None:
            return np.zeros(tuple(shape), dtype)
        return _room(self._folder, np.dtype(dtype), tuple(shape))


def _mapping(array: NDArray[Any]) -> mmap.mmap | None:
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None


def _map(
    file: Path, tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries, scratch: Path
) -> NDArray[Any]:
    if series.dataoffset is None:
        array = _room(scratch, series.dtype, series.shape)
        _unpack(series, array)
    else:
        kind = series.dtype.newbyteorder(tiff.byteorder)
        array = _room(scratch, kind, series.shape)
        _copy(file, series.dataoffset, array)
    array.flags.writeable = False
    return array


def _room(scratch: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Map a temporary file that has no name any more."""
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=scratch, prefix=".pyunet.") as file:
            if hasattr(os, "posix_fallocate"):  # or a full disk ends the process
                os.posix_fallocate(file.fileno(), 0, math.prod(shape) * dtype.itemsize)
            return np.memmap(file, dtype, "r+", 0, shape)
    except OSError as error:
        raise DataError(
            f"{scratch}: cannot be written: {error.strerror or error}"
        ) from error


def _copy(file: Path, offset: int, array: NDArray[Any]) -> None:
    """Read pixels that lie plainly one after the other."""
    target = array.reshape(-1).view(np.uint8).data
    with file.open("rb", buffering=0) as source:
        source.seek(offset)
        done = 0
        while done < len(target):
            count = source.readinto(target[done : done + OFTEN])
            if not count:
                raise DataError(
                    f"{file}: is cut short: its pixels take {len(target)} bytes, it "
                    f"has {done} of them"
                )
            done += count
            forget(array)


def _unpack(series: tifffile.TiffPageSeries, array: NDArray[Any]) -> None:
    """Decode a series, one strip or tile after the other."""
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
