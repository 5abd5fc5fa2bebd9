"""Reading and writing whole HDF5 files, with errors that name the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np

from caffe.engine import atomic
from caffe.engine.log import log
from caffe.errors import FileError

_BLOCK_BYTES = 1 << 22
_CLASSES = {
    h5py.h5t.FLOAT: ("H5T_FLOAT", 35),
    h5py.h5t.INTEGER: ("H5T_INTEGER", 38),
}
_announced: set[str] = set()


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Open a file for reading; what HDF5 can't read in it is a `FileError`.

    Raises
    ------
    FileError
        If the file is missing, truncated, not HDF5, or lacks what is asked of it.
    """
    try:
        with h5py.File(path, "r") as file:
            yield file
    except FileNotFoundError:
        raise FileError(f"{path}: no such file") from None
    except KeyError as error:
        raise FileError(f"{path}: {error.args[0]}") from error
    except OSError as error:
        raise FileError(
            f"{path}: not a whole HDF5 file, perhaps truncated ({error})"
        ) from error


def write(path: str | os.PathLike[str], fill: Callable[[Any], None]) -> None:
    """Let `fill` write into a file in memory, then put it at `path` in one piece.

    A disk that runs full inside the HDF5 library leaves it in a state that can't be
    left cleanly; so the library only ever writes into memory here.

    Raises
    ------
    FileError
        If the file can't be written.
    """
    with h5py.File(
        os.fspath(path),
        "w",
        driver="core",
        backing_store=False,
        block_size=_BLOCK_BYTES,
    ) as file:
        fill(file)
        file.flush()
        image = file.id.get_file_image()
    atomic.write_bytes(path, image)


def write_text(group: Any, name: str, text: str) -> None:
    """Dataset of one string of fixed length with a terminator, as Caffe's writer."""
    raw = text.encode()
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(len(raw) + 1)
    space = h5py.h5s.create(h5py.h5s.SCALAR)
    dataset = h5py.h5d.create(group.id, name.encode(), kind, space)
    dataset.write(space, space, np.array(raw, dtype=f"S{len(raw) + 1}"), kind)


def read_text(group: Any, name: str) -> str:
    """Text of a dataset of fixed or variable length, one string or an array of one."""
    value = np.ravel(group[name][()])[0]
    return value.decode() if isinstance(value, bytes) else str(value)


def note_class(dataset: Any) -> None:
    """Log the type class of a dataset of numbers, once in a process, as Caffe does."""
    kind, line = _CLASSES.get(dataset.id.get_type().get_class(), ("other", 71))
    if kind not in _announced:
        _announced.add(kind)
        log(f"hdf5.cpp:{line}", f"Datatype class: {kind}")
