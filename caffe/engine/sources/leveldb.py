"""LevelDB databases, through `plyvel`."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from caffe.errors import CaffeError, FileError

Record = tuple[bytes, Callable[[], bytes]]

_ABSENT = "LevelDB needs plyvel, which is not installed: pip install 'pyunet[leveldb]'"


def _plyvel() -> Any:
    try:
        import plyvel
    except ImportError:
        raise CaffeError(_ABSENT) from None
    return plyvel


class _Handle:
    """An open database; LevelDB allows one in a process, so its readers share it."""

    def __init__(self, path: str) -> None:
        self.db = _plyvel().DB(path, create_if_missing=False, paranoid_checks=True)
        weakref.finalize(self, self.db.close)


_open: weakref.WeakValueDictionary[str, _Handle] = weakref.WeakValueDictionary()
_opening = threading.Lock()


class LevelDBReader:
    """Records of a LevelDB database, in the order of their keys.

    Parameters
    ----------
    path : str
        Folder of the database. No other process may have it open.

    Raises
    ------
    FileError
        If it is missing, something else, damaged, in use, or empty.
    CaffeError
        If plyvel is not installed; the text says how to install it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._error = _plyvel().Error
        # asked for a folder that holds none, LevelDB would put files there
        if not Path(path, "CURRENT").is_file():
            raise FileError(
                f"{path}: no LevelDB database: expected a folder with a file CURRENT"
            )
        key = os.path.realpath(path)
        with _opening:
            try:
                self._handle = _open.get(key) or _Handle(path)
            except (self._error, OSError) as error:
                self._refuse(error)
            _open[key] = self._handle
        if next(self.records(), None) is None:
            raise FileError(f"{path}: has no records: expected at least one")

    def records(self, start: bytes = b"") -> Iterator[Record]:
        """Go through the records from a key on; see `LMDBReader.records`."""
        try:
            found = self._handle.db.iterator(start=start, verify_checksums=True)
            for key, value in found:
                yield key, value.__bytes__
        except (self._error, OSError) as error:
            self._refuse(error)

    def _refuse(self, error: Exception) -> NoReturn:
        text = " ".join(str(error).split())
        raise FileError(f"{self.path}: can't be read as LevelDB: {text}") from None


class LevelDBWriter:
    """A new LevelDB database; see `LMDBWriter`."""

    def __init__(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        plyvel = _plyvel()
        self._errors = (plyvel.Error, OSError)
        self._name = name or path
        with self._typed():
            self._db = plyvel.DB(
                str(path), create_if_missing=True, error_if_exists=True
            )

    def write(self, records: list[tuple[bytes, bytes]]) -> None:
        """Write records, all or none.

        Raises
        ------
        FileError
            If they can't be written.
        """
        with (
            self._typed(),
            self._db.write_batch(transaction=True, sync=True) as batch,
        ):
            for key, value in records:
                batch.put(key, value)

    def close(self) -> None:
        """Bring everything to the disk."""
        self._db.close()

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            raise FileError(f"{self._name}: cannot be written: {error}") from None
