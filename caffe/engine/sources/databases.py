"""Databases of Datum messages by their backend: LMDB or LevelDB."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from caffe import atomic
from caffe.engine.sources import images
from caffe.engine.sources.leveldb import LevelDBReader, LevelDBWriter
from caffe.engine.sources.lmdb import LMDBReader, LMDBWriter
from caffe.errors import CheckError, FileError
from caffe.proto import caffe_pb2

Database = LMDBReader | LevelDBReader
Writer = LMDBWriter | LevelDBWriter
Log = Callable[[str, str], None]

_SOURCES = {"lmdb": "db_lmdb.cpp:35", "leveldb": "db_leveldb.cpp:18"}


def open_database(backend: str, path: str, log: Log) -> Database:
    """Open a database to read it.

    Parameters
    ----------
    backend : {"lmdb", "leveldb"}
    path : str
    log : callable
        Takes Caffe's line about it.

    Raises
    ------
    CheckError
        If the backend is unknown.
    FileError
        If there is no such database, or it is damaged or empty.
    """
    source = _source(backend)
    database = LMDBReader(path) if backend == "lmdb" else LevelDBReader(path)
    log(source, f"Opened {backend} {path}")
    return database


@contextmanager
def new_database(backend: str, path: str, log: Log) -> Iterator[Writer]:
    """Make a database, which stands at `path` when all is written, else not at all.

    Raises
    ------
    CheckError
        If the backend is unknown.
    FileError
        If there is something at `path`, or it can't be written.
    """
    source = _source(backend)
    target = Path(path)
    if os.path.lexists(target):
        raise FileError(f"{path}: is there already: give a name that is free")
    try:
        with atomic.Draft(target) as draft:
            draft.path.mkdir()
            kind = LMDBWriter if backend == "lmdb" else LevelDBWriter
            writer = kind(draft.path, path)
            log(source, f"Opened {backend} {path}")
            try:
                yield writer
            finally:
                writer.close()
            draft.keep()
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror}") from error


def parse_datum(raw: bytes, where: str) -> caffe_pb2.Datum:
    """Read a Datum message.

    Raises
    ------
    FileError
        If the bytes are none; `where` names them.
    """
    try:
        return caffe_pb2.Datum.FromString(raw)
    except DecodeError:
        raise FileError(
            f"{where}: {len(raw)} bytes that are no Datum message, or a damaged one"
        ) from None


def image_of(datum: Any, color: bool | None = None) -> NDArray[Any]:
    """Image of a Datum.

    Parameters
    ----------
    datum : Datum
    color : bool or None
        What an encoded image is decoded to, see `images.decode`.

    Returns
    -------
    array of shape (channels, height, width)
        uint8, or float32 where the Datum has ``float_data``.

    Raises
    ------
    CheckError
        If it holds no image, or not as many values as it says.
    """
    if datum.encoded:
        return images.decode(datum.data, color).transpose(2, 0, 1)
    shape = (datum.channels, datum.height, datum.width)
    if min(shape) < 1:
        raise CheckError(f"a Datum of shape {shape}: expected above 0")
    values: NDArray[Any] = np.frombuffer(datum.data, np.uint8)
    if not datum.data:
        values = np.array(datum.float_data, np.float32)
    if values.size != prod(shape):
        raise CheckError(f"a Datum of shape {shape} has {values.size} values")
    return values.reshape(shape)


def shown(key: bytes) -> str:
    """Write a key as error texts show it.

    Examples
    --------
    >>> shown(b"00000001_a.png")
    "key '00000001_a.png'"
    """
    return f"key {key.decode('utf-8', 'backslashreplace')!r}"


def _source(backend: str) -> str:
    if backend not in _SOURCES:
        raise CheckError(f"Unknown database backend '{backend}': lmdb or leveldb")
    return _SOURCES[backend]
