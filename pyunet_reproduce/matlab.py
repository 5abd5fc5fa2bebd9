"""Arrays of numbers in MATLAB's files of version 5 (those that ``save`` writes).

scipy's reader of them ends the process on some damaged files, so this one is of plain
Python. Source: MathWorks, MAT-File Format, version 5 chapters. Version 4 is scipy's.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyunet.boundary import check_held
from pyunet.errors import DataError

HEAD = 128
MATRIX, COMPRESSED = 14, 15
NUMBERS = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8",
    13: "u8",
}  # fmt: skip
NUMERIC = range(6, 16)  # classes of matrices; others hold texts, cells, structures
COMPLEX = 0x0800
DEFLATED = 1032  # times that deflate can make anything smaller


class _Element(NamedTuple):
    kind: int
    data: bytes


def read_matlab(path: Path) -> dict[str, NDArray[Any]]:
    """Read all arrays of real numbers, in the types in which they are stored.

    Parameters
    ----------
    path : Path
        A ``.mat`` file up to version 7.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    DataError
        Another version, or a damaged file.
    """
    content = path.read_bytes()
    if 0 in content[:4]:
        return _version_4(path)
    order = {b"IM": "<", b"MI": ">"}.get(content[126:HEAD])
    if order is None:
        raise DataError(f"{path}: is not a MATLAB file")
    version = content[125 if order == "<" else 124]
    if version != 1:
        raise DataError(
            f"{path}: has MATLAB's version 7.3 or an unknown one; expected what "
            "save -v7 writes"
        )
    return dict(_arrays(path, content[HEAD:], order))


def _version_4(path: Path) -> dict[str, NDArray[Any]]:
    from scipy import io

    size = path.stat().st_size
    for _, shape, _ in io.whosmat(path):
        check_held(path, math.prod(shape), size, 1)
    items = io.loadmat(path).items()
    return {key: value for key, value in items if isinstance(value, np.ndarray)}


def _arrays(
    path: Path, content: bytes, order: str
) -> Iterator[tuple[str, NDArray[Any]]]:
    for element in _elements(path, content, order):
        inner = element
        if element.kind == COMPRESSED:
            unpacked = _unpacked(element.data)
            inner = next(_elements(path, unpacked, order), element)
        if inner.kind == MATRIX:
            yield from _matrix(path, inner.data, order)


def _elements(path: Path, content: bytes, order: str) -> Iterator[_Element]:
    """Take the elements one after the other."""
    at = 0
    while at + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, at)
        if kind >> 16:  # few bytes stand within the head itself
            yield _Element(kind & 0xFFFF, content[at + 4 : at + 4 + (kind >> 16)])
            at += 8
            continue
        end = at + 8 + size
        if end > len(content):
            raise DataError(f"{path}: is cut short, or damaged")
        yield _Element(kind, content[at + 8 : end])
        at = end if kind == COMPRESSED else end + -size % 8


def _unpacked(packed: bytes) -> bytes:
    return zlib.decompressobj().decompress(packed, len(packed) * DEFLATED)


def _matrix(
    path: Path, content: bytes, order: str
) -> Iterator[tuple[str, NDArray[Any]]]:
    parts = _elements(path, content, order)
    flags, shape, name = (next(parts, None) for _ in range(3))
    if flags is None or shape is None or name is None or len(flags.data) < 4:
        raise DataError(f"{path}: has a matrix without a head; it is damaged")
    (bits,) = struct.unpack_from(f"{order}I", flags.data)
    if bits & 0xFF not in NUMERIC or bits & COMPLEX:
        return
    values = next(parts, None)
    extents = np.frombuffer(shape.data, f"{order}i4").tolist()
    if values is None or values.kind not in NUMBERS:
        raise DataError(f"{path}: has a matrix without numbers; it is damaged")
    array = np.frombuffer(values.data, order + NUMBERS[values.kind])
    if min(extents, default=0) < 0 or math.prod(extents) != len(array):
        raise DataError(
            f"{path}: has {len(array)} numbers of a matrix of {extents}; it is damaged"
        )
    native = array.astype(array.dtype.newbyteorder("="))
    yield name.data.decode("latin-1"), native.reshape(extents[::-1]).T
