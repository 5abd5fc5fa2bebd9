"""Read the datasets of a model definition as both of its readers would, or say why not.

Accepted are texts of fixed or variable length, in ASCII or UTF-8, ended by NUL or
padded, and numbers of any width. Files may come from anywhere: what is read is limited
before it is read, and whatever HDF5 says becomes one line.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pyunet.boundary import reading
from pyunet.errors import DataError

MOST_BYTES = 2**24
MOST_TEXTS = 1024
LARGEST_INT = 2**31 - 1
DIMENSIONS = (2, 3)


class DatasetError(DataError):
    """A dataset that is not what it should be.

    Attributes
    ----------
    name, what, accepted : str
        Which dataset, what is wrong with it, what is accepted.
    """

    def __init__(self, file: h5py.File, name: str, what: str, accepted: str) -> None:
        super().__init__(f"{file.filename}: {name}: {what}; accepted: {accepted}")
        self.name, self.what, self.accepted = name, what, accepted


@contextlib.contextmanager
def open_file(path: str | Path) -> Iterator[h5py.File]:
    """Open an HDF5 file to read; whatever goes wrong in the block becomes one line.

    Raises
    ------
    DataError
        No such file, no HDF5 file, or a damaged one.
    """
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file; a .modeldef.h5 file is wanted")
    with (
        reading(path, "not an HDF5 file, or damaged"),
        h5py.File(path, "r") as file,
    ):
        yield file


def read_text(file: h5py.File, name: str) -> str:
    """Read a text: a scalar or one element; NUL ends it.

    Raises
    ------
    DatasetError
        No such dataset, no text, several texts, more than 16 MiB.
    """
    texts = read_texts(file, name, most=1)
    return texts[0] if texts else ""


def read_texts(
    file: h5py.File, name: str, *, most: int = MOST_TEXTS
) -> tuple[str, ...]:
    """Read an array of texts; a scalar gives one, an empty dataspace none.

    Raises
    ------
    DatasetError
        No such dataset, no texts, more than `most`, more than 16 MiB.
    """
    dataset = _dataset(file, name)
    if h5py.check_string_dtype(dataset.dtype) is None:
        raise DatasetError(file, name, f"has type {dataset.dtype}", "text")
    if not dataset.size:
        return ()
    if dataset.size > most:
        raise DatasetError(file, name, f"has {dataset.size} texts", f"{most} at most")
    values = np.asarray(dataset[()], dtype=object).ravel()
    return tuple(_decoded(value) for value in values)


def read_numbers(file: h5py.File, name: str) -> NDArray[np.float64]:
    """Read an array of numbers of any type and rank; float64 holds all that are used.

    Raises
    ------
    DatasetError
        No such dataset, no real numbers, more than 16 MiB.
    """
    dataset = _dataset(file, name)
    if dataset.dtype.kind not in "iuf" or dataset.shape is None:
        raise DatasetError(file, name, f"has type {dataset.dtype}", "numbers")
    return np.asarray(dataset[()], dtype=np.float64)


def read_integers(file: h5py.File, name: str) -> NDArray[np.int64]:
    """Read an array of whole numbers; fractions are cut off, as HDF5 does.

    Raises
    ------
    DatasetError
        As `read_numbers`; numbers beyond 32 bits.
    """
    values = read_numbers(file, name)
    # a comparison with NaN is false
    beyond = values[~(np.abs(values) <= LARGEST_INT)]
    if beyond.size:
        raise DatasetError(
            file, name, f"holds {beyond.ravel()[0]:g}", "whole numbers of 32 bits"
        )
    return values.astype(np.int64)


def read_vector(file: h5py.File, name: str, axes: int) -> tuple[int, ...]:
    """Read one whole number an axis; a single one goes for all axes.

    The rank must be 1, even for a single number, or the original stops.

    Raises
    ------
    DatasetError
        As `read_integers`; a scalar, a matrix or another length.
    """
    values = read_integers(file, name)
    accepted = f"an array of rank 1 with 1 or {axes} whole numbers"
    if values.ndim != 1:
        rank = f"has rank {values.ndim}" if values.ndim else "is a scalar"
        short = name.rpartition("/")[2]
        raise DatasetError(
            file, name, f"{rank}: Could not load {short} into 1-D vector", accepted
        )
    if len(values) not in (1, axes):
        raise DatasetError(file, name, f"has {len(values)} numbers", accepted)
    numbers = tuple(int(value) for value in values)
    return numbers * axes if len(numbers) == 1 else numbers


def read_factors(file: h5py.File, name: str, axes: int) -> tuple[int, ...]:
    """Read one number of 1 or more an axis; a single one goes for all axes.

    Raises
    ------
    DatasetError
        As `read_vector`; a number below 1.
    """
    factors = read_vector(file, name, axes)
    if min(factors) < 1:
        raise DatasetError(file, name, f"is {factors}", "numbers of 1 or more")
    return factors


def read_element_size(file: h5py.File, name: str) -> tuple[float, ...]:
    """Read one number an axis; how many there are is the model's dimension.

    Raises
    ------
    DatasetError
        As `read_numbers`; another shape.
    """
    values = read_numbers(file, name)
    if values.ndim != 1 or len(values) not in DIMENSIONS:
        raise DatasetError(
            file, name, f"has shape {values.shape}", "2 or 3 numbers: [z,] y, x"
        )
    return tuple(float(value) for value in values)


def read_memory_map(file: h5py.File, name: str) -> tuple[tuple[int, int], ...]:
    """Read columns of pixels and megabytes from an array (2, N).

    Raises
    ------
    DatasetError
        As `read_integers`; another shape.
    """
    values = read_integers(file, name)
    if values.ndim != 2 or len(values) != 2:
        raise DatasetError(
            file,
            name,
            f"has shape {values.shape}",
            "shape (2, N): a row of input pixels, a row of megabytes",
        )
    return tuple((int(pixels), int(megabytes)) for pixels, megabytes in values.T)


def read_scalar(file: h5py.File, name: str) -> float:
    """Read a number: a scalar or one element; 0.1 of 32 bits is 0.10000000149.

    Raises
    ------
    DatasetError
        As `read_numbers`; several numbers, or none.
    """
    return float(_only(file, name, read_numbers(file, name)))


def read_integer(file: h5py.File, name: str) -> int:
    """Read a whole number: a scalar or one element.

    Raises
    ------
    DatasetError
        As `read_integers`; several numbers, or none.
    """
    return int(_only(file, name, read_integers(file, name)))


def _only(file: h5py.File, name: str, values: NDArray[Any]) -> Any:
    if values.size != 1:
        raise DatasetError(file, name, f"has {values.size} numbers", "one number")
    return values.item()


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """Find a dataset and refuse one that is too large to be right."""
    found = file.get(name)
    if not isinstance(found, h5py.Dataset):
        what = "is missing" if found is None else "is no dataset"
        raise DatasetError(file, name, what, "a dataset of this name")
    size = math.prod(found.shape or ()) * found.dtype.itemsize
    if size > MOST_BYTES:
        raise DatasetError(
            file, name, f"has {size} bytes", f"{MOST_BYTES // 2**20} MiB at most"
        )
    return found


def _decoded(value: bytes) -> str:
    text = value.partition(b"\0")[0]
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")
