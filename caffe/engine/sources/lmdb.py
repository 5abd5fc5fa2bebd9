"""LMDB databases: a reader that no file can break, and a writer.

LMDB itself maps the file into memory and trusts it: one that is cut short or damaged
ends the process. The reader here checks every page before it follows it, takes no lock
and writes nothing, so that a database may lie on a disk that can't be written.
"""

from __future__ import annotations

import os
import struct
import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from caffe import atomic
from caffe.errors import FileError
from caffe.proto.text import check_pointer

Record = tuple[bytes, Callable[[], bytes]]

_MAGIC, _VERSION = 0xBEEFC0DE, 1
_META = struct.Struct("<16xIIQQ48xIHHQQQQQQQ")
_PAGE = struct.Struct("<QHHHH")
_NODE = struct.Struct("<HHHH")
_BRANCH, _LEAF, _OVERFLOW = 1, 2, 4
_BIG_DATA, _NESTED = 1, 2 | 4
_PAGE_SIZE_AT = 40
_MOST_LEVELS = 32
_MAP_BYTES = 1 << 40  # address space, not disk


class _Meta(NamedTuple):
    magic: int
    version: int
    address: int
    map_size: int
    pad: int
    flags: int
    depth: int
    branch_pages: int
    leaf_pages: int
    overflow_pages: int
    entries: int
    root: int
    last_page: int
    transaction: int


class LMDBReader:
    """Records of an LMDB database, in the order of their keys.

    Parameters
    ----------
    path : str
        Folder with ``data.mdb``, or the file itself.

    Raises
    ------
    FileError
        If it is missing, something else, cut short, or empty.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        file = Path(path, "data.mdb") if Path(path).is_dir() else Path(path)
        try:
            self._file = file.open("rb", buffering=0)
        except (OSError, ValueError) as error:
            raise FileError(
                f"{path}: {atomic.reason(error)}: expected a folder with an LMDB "
                "database"
            ) from None
        weakref.finalize(self, self._file.close)
        self._bytes = self._file.seek(0, os.SEEK_END)
        self._read_meta()

    def records(self, start: bytes = b"") -> Iterator[Record]:
        """Go through the records from a key on.

        Yields
        ------
        key : bytes
        value : callable
            Reads the value.

        Raises
        ------
        FileError
            If the file is damaged.
        """
        for count, record in enumerate(self._walk(self._meta.root, 1, start)):
            if count == self._meta.entries:
                self._damaged(f"it has more than {count} records")
            yield record

    def _read_meta(self) -> None:
        head = self._at(0, _PAGE_SIZE_AT + 4)
        self._page_size = int.from_bytes(head[_PAGE_SIZE_AT:], "little")
        raws = [self._at(offset, _META.size) for offset in (0, self._page_size)]
        found = [_Meta(*_META.unpack(raw)) for raw in raws if len(raw) == _META.size]
        valid = [m for m in found if m.magic == _MAGIC and m.version == _VERSION]
        if not valid:
            check_pointer(self.path, self._at(0, _META.size))
            raise FileError(
                f"{self.path}: not an LMDB database of version {_VERSION}, or damaged "
                f"({self._bytes} bytes)"
            )
        self._meta = max(valid, key=lambda meta: meta.transaction)
        self._check_meta()

    def _check_meta(self) -> None:
        meta, size = self._meta, self._page_size
        if size < _META.size or size & (size - 1):
            self._damaged(f"its pages have {size} bytes")
        if not 1 <= meta.depth <= _MOST_LEVELS and meta.entries:
            self._damaged(f"its tree has {meta.depth} levels")
        needed = (meta.last_page + 1) * size
        if needed > self._bytes:
            raise FileError(
                f"{self.path}: is cut short: it has {self._bytes} bytes of {needed}"
            )
        if meta.entries == 0:
            raise FileError(f"{self.path}: has no records: expected at least one")
        if meta.entries > self._bytes // _NODE.size:
            self._damaged(f"it says that it has {meta.entries} records")

    def _walk(self, number: int, level: int, start: bytes) -> Iterator[Record]:
        page, kind = self._page(number)
        wanted = _LEAF if level == self._meta.depth else _BRANCH
        if kind != wanted:
            self._damaged(f"page {number} at level {level} is of kind {kind}")
        nodes = [self._node(page, number, i) for i in range(self._count(page, number))]
        keys = [page[at + _NODE.size : at + _NODE.size + size] for at, size in nodes]
        if kind == _LEAF:
            for key, (at, size) in zip(keys, nodes, strict=True):
                if key >= start:
                    place = at + _NODE.size + size
                    yield key, partial(self._value, page, number, at, place)
            return
        first = bisect_right(keys, start, lo=1) - 1  # the first key stands for all less
        for at, _ in nodes[first:]:
            low, high, top, _ = _NODE.unpack_from(page, at)
            yield from self._walk(low | high << 16 | top << 32, level + 1, start)

    def _page(self, number: int) -> tuple[bytes, int]:
        if not 2 <= number <= self._meta.last_page:
            self._damaged(f"it refers to page {number} of {self._meta.last_page}")
        page = self._at(number * self._page_size, self._page_size)
        if len(page) < self._page_size:
            self._damaged(f"page {number} is cut short")
        own, _, flags, _, _ = _PAGE.unpack_from(page)
        if own != number:
            self._damaged(f"page {number} says that it is page {own}")
        return page, flags & (_BRANCH | _LEAF | _OVERFLOW)

    def _count(self, page: bytes, number: int) -> int:
        lower = int(_PAGE.unpack_from(page)[3])
        count = (lower - _PAGE.size) // 2
        if not 1 <= count <= len(page) // _NODE.size:
            self._damaged(f"page {number} has {count} nodes")
        return count

    def _node(self, page: bytes, number: int, index: int) -> tuple[int, int]:
        """Place of a node and the length of its key, which starts behind its head."""
        place = _PAGE.size + 2 * index
        at = int.from_bytes(page[place : place + 2], "little")
        if not _PAGE.size <= at <= len(page) - _NODE.size:
            self._damaged(f"node {index} of page {number} is at {at}")
        size = int(_NODE.unpack_from(page, at)[3])
        if at + _NODE.size + size > len(page):
            self._damaged(f"node {index} of page {number} has a key of {size} bytes")
        return at, size

    def _value(self, page: bytes, number: int, at: int, place: int) -> bytes:
        low, high, flags, _ = _NODE.unpack_from(page, at)
        size = low | high << 16
        if flags & _NESTED:
            raise FileError(
                f"{self.path}: holds a database, or several values, under a key: "
                "expected one value"
            )
        if not flags & _BIG_DATA:
            if place + size > len(page):
                self._damaged(f"a value on page {number} has {size} bytes")
            return page[place : place + size]
        if place + 8 > len(page):
            self._damaged(f"a node of page {number} is cut short")
        (first,) = struct.unpack_from("<Q", page, place)
        _, kind = self._page(first)
        begin = first * self._page_size + _PAGE.size
        if kind != _OVERFLOW or begin + size > self._bytes:
            self._damaged(f"page {first} does not hold a value of {size} bytes")
        value = self._at(begin, size)
        if len(value) < size:
            self._damaged(f"the value at page {first} is cut short")
        return value

    def _at(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        parts: list[bytes] = []
        while size and (part := self._file.read(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _damaged(self, detail: str) -> NoReturn:
        raise FileError(f"{self.path}: is damaged: {detail}")


class LMDBWriter:
    """A new LMDB database.

    Parameters
    ----------
    path : path
        Folder, which must not exist.
    name : str, optional
        What errors call it (default: its path).

    Raises
    ------
    FileError
        If it can't be written.
    """

    def __init__(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        import lmdb

        self._error = lmdb.Error
        self._name = name or path
        with self._typed():
            self._environment: Any = lmdb.open(str(path), map_size=_MAP_BYTES)

    def write(self, records: list[tuple[bytes, bytes]]) -> None:
        """Write records, all or none.

        Raises
        ------
        FileError
            If they can't be written.
        """
        with self._typed(), self._environment.begin(write=True) as transaction:
            for key, value in records:
                transaction.put(key, value)

    def close(self) -> None:
        """Bring everything to the disk.

        Raises
        ------
        FileError
            If it can't be written.
        """
        with self._typed():
            self._environment.sync(True)
            self._environment.close()

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except self._error as error:
            raise FileError(f"{self._name}: cannot be written: {error}") from None
