"""Reading and writing whole HDF5 files, with errors that name the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from caffe import atomic
from caffe.errors import CaffeError, FileError
from caffe.glog import log
from caffe.proto.text import check_pointer

_BLOCK_BYTES = 1 << 22
_START_BYTES = 64
# HDF5's compressions shrink to a thousandth at most; below the slack all is believed.
_COMPRESSION, _SLACK_BYTES = 1100, 1 << 20
_LONGEST_TEXT = 1 << 16
_CLASSES = {
    h5py.h5t.FLOAT: ("H5T_FLOAT", 35),
    h5py.h5t.INTEGER: ("H5T_INTEGER", 38),
}
_announced: set[str] = set()


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Tell by its signature whether a file is HDF5."""
    return bool(h5py.is_hdf5(os.fspath(path)))


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Open a file for reading; what HDF5 can't read in it is a `FileError`.

    Raises
    ------
    FileError
        If the file is missing, truncated, not HDF5, or lacks what is asked of it.
    """
    with readable(path), h5py.File(path, "r") as file:
        yield file


@contextmanager
def readable(path: str | os.PathLike[str]) -> Iterator[None]:
    """Make a `FileError` of all that h5py raises over a damaged file.

    Raises
    ------
    FileError
    """
    try:
        yield
    except CaffeError:
        raise
    except FileNotFoundError:
        raise FileError(f"{path}: no such file") from None
    except KeyError as error:
        raise FileError(f"{path}: {error.args[0]}") from error
    # What the library stumbles over comes through h5py in all these ways.
    except (OSError, RuntimeError, ValueError, TypeError, MemoryError) as error:
        refuse_pointer(path)
        reason = str(error).partition("\n")[0]
        raise FileError(
            f"{path}: not a whole HDF5 file, perhaps truncated ({reason})"
        ) from error


def refuse_pointer(path: str | os.PathLike[str]) -> None:
    """Say so where Git LFS left a pointer in the place of a file.

    Raises
    ------
    FileError
    """
    start = b""
    with suppress(OSError, ValueError), Path(path).open("rb") as file:
        start = file.read(_START_BYTES)
    check_pointer(path, start)


def write(path: str | os.PathLike[str], fill: Callable[[Any], None]) -> None:
    """Let `fill` write into a file in memory, then put it at `path` in one piece.

    Raises
    ------
    FileError
        If the file can't be written.
    """
    atomic.write_bytes(path, image(fill))


def image(fill: Callable[[Any], None]) -> bytes:
    """Let `fill` write into a file in memory, and give its bytes.

    A disk that runs full inside the HDF5 library leaves it in a state that can't be
    left cleanly; so the library only ever writes into memory here.
    """
    with h5py.File(
        "image",
        "w",
        driver="core",
        backing_store=False,
        block_size=_BLOCK_BYTES,
    ) as file:
        fill(file)
        file.flush()
        return bytes(file.id.get_file_image())


def write_text(group: Any, name: str, text: str) -> None:
    """Dataset of one string of fixed length with a terminator, as Caffe's writer."""
    raw = text.encode()
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(len(raw) + 1)
    space = h5py.h5s.create(h5py.h5s.SCALAR)
    dataset = h5py.h5d.create(group.id, name.encode(), kind, space)
    dataset.write(space, space, np.array(raw, dtype=f"S{len(raw) + 1}"), kind)


def is_group(item: Any) -> bool:
    """Tell whether something in a file is a group."""
    return isinstance(item, h5py.Group)


def read_numbers(item: Any, path: str | os.PathLike[str]) -> NDArray[np.float32]:
    """Read a whole dataset as float32.

    Parameters
    ----------
    item : Dataset
        Or what else a file has where a dataset is wanted.
    path : path
        Of the file, for messages.

    Raises
    ------
    FileError
        If it is no dataset of numbers, or says that it has far more of them than the
        file can hold.
    """
    if not isinstance(item, h5py.Dataset):
        raise FileError(f"{path}: {item.name} is no dataset")
    if item.shape is None or item.dtype.kind not in "fiu":
        raise FileError(
            f"{path}: {item.name} holds values of type {item.dtype}, not numbers"
        )
    stored = item.id.get_storage_size()
    if item.external or item.nbytes > _COMPRESSION * stored + _SLACK_BYTES:
        raise FileError(
            f"{path}: {item.name} has shape {item.shape}, but only {stored} bytes of "
            "it are in the file: expected whole datasets"
        )
    note_class(item)
    with np.errstate(over="ignore"):  # a double beyond the floats is an infinity
        return np.asarray(item[()], dtype=np.float32)


def read_integer(group: Any, name: str, path: str | os.PathLike[str]) -> int:
    """Read a dataset of one integer, or the first one of several.

    Raises
    ------
    FileError
        If there is no such number, or none of 32 bits.
    """
    item = group[name]
    if isinstance(item, h5py.Dataset) and item.size and item.dtype.kind in "fiu":
        value = item[(0,) * item.ndim]
        limits = np.iinfo(np.int32)
        if limits.min <= value <= limits.max:
            return int(value)
    raise FileError(f"{path}: {item.name} is no integer of 32 bits")


def read_text(group: Any, name: str) -> str:
    """Text of a dataset of fixed or variable length, one string or an array of one.

    Raises
    ------
    FileError
        If there is no such text.
    """
    item = group[name]
    if (
        isinstance(item, h5py.Dataset)
        and item.size
        and item.dtype.itemsize <= _LONGEST_TEXT
    ):
        value = item[(0,) * item.ndim]
        if isinstance(value, bytes):
            return value.decode()
    raise FileError(f"{group.file.filename}: {item.name} is no text")


def note_class(dataset: Any) -> None:
    """Log the type class of a dataset of numbers, once in a process, as Caffe does."""
    kind, line = _CLASSES.get(dataset.id.get_type().get_class(), ("other", 71))
    if kind not in _announced:
        _announced.add(kind)
        log(f"hdf5.cpp:{line}", f"Datatype class: {kind}")
