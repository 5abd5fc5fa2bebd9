"""Trained nets whose numbers stay in the file until they are wanted, or go there.

No message is made of the numbers, neither when they are read nor when they are written.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from caffe.errors import FileError
from caffe.proto import blobs, caffe_pb2, files, wire
from caffe.proto.text import open_bytes

_DATA, _DIFF, _DOUBLE_DATA, _DOUBLE_DIFF = 5, 6, 8, 9
_NUMBERS = ("data", "diff", "double_data", "double_diff", "raw_data", "raw_diff")
_TYPES = {
    number: np.dtype("<f8" if number in (_DOUBLE_DATA, _DOUBLE_DIFF) else "<f4")
    for number in (_DATA, _DIFF, _DOUBLE_DATA, _DOUBLE_DIFF)
}


class _Run(NamedTuple):
    """Numbers that lie side by side in a file: numbers `first` to `last` - 1."""

    place: int
    first: int
    last: int


@dataclass(frozen=True)
class StoredBlob:
    """A BlobProto of a file.

    Attributes
    ----------
    header : BlobProto
        All of it but the numbers.
    count : int
        How many values it has.
    """

    header: Any
    count: int
    _file: BinaryIO
    _type: np.dtype[Any]
    _runs: Sequence[_Run]
    _values: NDArray[np.float32] | None = None

    def part(self, start: int, end: int) -> NDArray[np.float32]:
        """Values from one number to another; all are 0 to `count`.

        Raises
        ------
        FileError
            If the file became shorter, or can't be read any more.
        """
        if self._values is not None:
            return self._values[start:end]
        found = np.empty(end - start, self._type)
        for run in self._runs:
            first, last = max(start, run.first), min(end, run.last)
            if first < last:
                place = run.place + (first - run.first) * self._type.itemsize
                self._read(place, found[first - start : last - start])
        with np.errstate(over="ignore"):  # a double beyond the floats is an infinity
            return found.astype(np.float32, copy=False)

    def _read(self, place: int, into: NDArray[Any]) -> None:
        try:
            self._file.seek(place)
            count = self._file.readinto(into)  # type: ignore[attr-defined]
        except OSError as error:
            raise _changed(self._file, error.strerror) from error
        if count != into.nbytes:
            raise _changed(self._file, "it became shorter")


class StoredLayer(NamedTuple):
    """A layer of a trained net."""

    name: str
    blobs: list[StoredBlob]


@dataclass(frozen=True)
class Numbers:
    """Values on their way into a file, made when it is their turn."""

    count: int
    make: Callable[[], NDArray[Any]]

    def __len__(self) -> int:
        return self.count * _TYPES[_DATA].itemsize


@contextmanager
def opened_weights(path: str | PathLike[str]) -> Iterator[list[StoredLayer]]:
    """Open a trained net, of which the numbers stay in the file until asked for.

    Parameters
    ----------
    path
        A ``.caffemodel``, as for `files.read_net_binary`.

    Yields
    ------
    list of StoredLayer
        Layers in order, as in the net of `files.read_net_binary`. Only their numbers
        are still unread; they can be read as long as the file is open.

    Raises
    ------
    FileError
        If the file cannot be read, is cut short, empty, or something else.
    CheckError
        If the net cannot be upgraded.
    """
    found: list[StoredBlob] = []

    def take(field: wire.Field) -> list[bytes]:
        found.append(find(file, field.start, field.end))
        return [caffe_pb2.BlobProto(num=len(found) - 1).SerializeToString()]

    with open_bytes(path) as file:
        if not file.seekable():
            file = io.BytesIO(file.read())
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        with files.parsing(path, file.read(files.START), size):
            raw = b"".join(wire.divide(file, 0, size, wire.NET, take))
            net = files.todays_net(path, raw, "as_written")
        yield [
            StoredLayer(layer.name, [found[blob.num] for blob in layer.blobs])
            for layer in net.layer
        ]


def find(file: BinaryIO, start: int, end: int) -> StoredBlob:
    """BlobProto that lies between two places of a file.

    Raises
    ------
    DecodeError
        If there is none.
    """
    runs: dict[int, list[_Run]] = {number: [] for number in _TYPES}
    others, copied = [], start
    for field in wire.fields(file, start, end):
        if field.number not in _TYPES:
            continue
        if field.kind != wire.LENGTH:  # not packed, or of another kind
            return _parsed(file, wire.read(file, start, end))
        count, rest = divmod(field.size, _TYPES[field.number].itemsize)
        if rest:
            raise DecodeError(f"the numbers at byte {field.start} are cut short")
        known = runs[field.number]
        first = known[-1].last if known else 0
        known.append(_Run(field.start, first, first + count))
        others.append(wire.read(file, copied, field.begin))
        copied = field.end
    header = b"".join([*others, wire.read(file, copied, end)])
    for number in (_DOUBLE_DATA, _DATA):
        if runs[number] and runs[number][-1].last:
            message = caffe_pb2.BlobProto.FromString(header)
            count = runs[number][-1].last
            return StoredBlob(message, count, file, _TYPES[number], runs[number])
    return _parsed(file, header)


def serialise(
    outline: Any,
    places: wire.Places,
    numbers: Iterable[tuple[Numbers, Numbers | None]],
    *,
    path: str | PathLike[str] = "",
) -> Iterator[bytes | memoryview]:
    """Bytes of a message, in parts, as protobuf would write it with all its numbers.

    Parameters
    ----------
    outline : Message
        Its blobs have shapes and no numbers.
    places : mapping
        Where in it the blobs are.
    numbers : iterable of (Numbers, Numbers or None)
        Values and gradients of each blob in order.
    path : path
        The file that they are for.

    Raises
    ------
    FileError
        For 2 GiB and more, before anything is made.

    Examples
    --------
    >>> outline = caffe_pb2.BlobProtoVector(blobs=[{"shape": {"dim": [2]}}])
    >>> ones = Numbers(2, lambda: np.ones(2))
    >>> raw = b"".join(serialise(outline, {1: None}, [(ones, None)]))
    >>> blobs.to_array(caffe_pb2.BlobProtoVector.FromString(raw).blobs[0]).tolist()
    [1.0, 1.0]
    """
    raw = outline.SerializeToString()
    following = iter(numbers)

    def take(field: wire.Field) -> list[bytes | Numbers]:
        parts: list[bytes | Numbers] = []
        for number, values in zip((_DATA, _DIFF), next(following), strict=True):
            if values is not None and values.count:
                size = wire.varint(len(values))
                parts += [wire.tag(number, wire.LENGTH) + size, values]
        return [*parts, raw[field.start : field.end]]

    parts = wire.divide(io.BytesIO(raw), 0, len(raw), places, take)
    size = sum(map(len, parts))
    if size > blobs.MOST_BYTES:
        raise FileError(
            f"{path}: would have {size} bytes; a file of protocol buffers holds at "
            f"most {blobs.MOST_BYTES}: expected HDF5 (save_hdf5, or snapshot_format: "
            "HDF5)"
        )
    for part in parts:
        if isinstance(part, Numbers):
            yield np.ascontiguousarray(part.make(), _TYPES[_DATA]).reshape(-1).data
        else:
            yield part


def _parsed(file: BinaryIO, raw: bytes) -> StoredBlob:
    """Blob as protobuf's own parser reads it, numbers and all."""
    message = caffe_pb2.BlobProto.FromString(raw)
    values = blobs.values_of(message)
    for name in _NUMBERS:
        message.ClearField(name)
    return StoredBlob(message, values.size, file, values.dtype, (), values)


def _changed(file: BinaryIO, reason: str | None) -> FileError:
    return FileError(
        f"{file.name}: cannot read it: {reason} while its weights were being loaded; "
        "some are loaded already"
    )
