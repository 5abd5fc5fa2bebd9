"""The wire format of protocol buffers, as far as to take blobs out of messages.

Parsing a net of trained weights makes several copies of all its numbers. So a message
is divided here, by the format's lengths alone, into the bytes of its blobs and the
rest: what is left is small and goes through protobuf's own parser, which is the one
to judge it. Messages are written in the same way.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from typing import BinaryIO, NamedTuple, TypeVar

from google.protobuf.message import DecodeError

VARINT, EIGHT_BYTES, LENGTH, GROUP, GROUP_END, FOUR_BYTES = range(6)
_FIXED = {EIGHT_BYTES: 8, FOUR_BYTES: 4, GROUP: 0, GROUP_END: 0}
_LONGEST_TAG, _LONGEST_VARINT = 5, 10
_LAST_FIELD = 2**29 - 1

PartT = TypeVar("PartT", bound=Sized)
Places = Mapping[int, "Places | None"]
"""Numbers of the fields in which blobs are; None: it is a blob itself."""

NET: Places = {100: {7: None}, 2: {6: None, 1: {50: None}}}
"""Blobs of a NetParameter: of its layers of today, V1 and V0."""
SOLVER_STATE: Places = {3: None}


class Field(NamedTuple):
    """One field of a message, by its places in the file.

    Attributes
    ----------
    number : int
    kind : int
        Wire type.
    begin, start, end : int
        First byte of the tag; first byte of the content; first byte after it.
    """

    number: int
    kind: int
    begin: int
    start: int
    end: int

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return self.end - self.start


def fields(file: BinaryIO, start: int, end: int) -> Iterator[Field]:
    r"""Fields of the message that lies between two places of a file, but for groups.

    Parameters
    ----------
    file : file, readable and seekable
    start, end : int

    Raises
    ------
    DecodeError
        If a field ends beyond the message, or is none.

    Examples
    --------
    >>> import io
    >>> file = io.BytesIO(tag(1, LENGTH) + b"\1x" + tag(2, VARINT) + b"\7")
    >>> [(field.number, field.start, field.end) for field in fields(file, 0, 5)]
    [(1, 2, 3), (2, 4, 5)]
    """
    open_groups: list[int] = []
    while start < end:
        field = _field(file, start, end)
        if field.kind == GROUP:
            open_groups.append(field.number)
        elif field.kind == GROUP_END:
            if not open_groups or open_groups.pop() != field.number:
                raise DecodeError(f"a group ends at byte {start} that did not begin")
        elif not open_groups:
            yield field
        start = field.end
    if open_groups:
        raise DecodeError("a group does not end")


def divide(
    file: BinaryIO,
    start: int,
    end: int,
    places: Places,
    take: Callable[[Field], Sequence[PartT]],
) -> list[bytes | PartT]:
    """Content of a message, in parts, with something else in the place of each blob.

    Parameters
    ----------
    file : file, readable and seekable
    start, end : int
        Where the message lies.
    places : mapping
        Where in it the blobs are.
    take : callable
        Called with each blob in order; gives the parts that shall stand there, of
        which only the lengths matter here.

    Raises
    ------
    DecodeError
        If it is no message.
    """
    parts: list[bytes | PartT] = []
    copied = start
    for field in fields(file, start, end):
        if field.kind != LENGTH or field.number not in places:
            continue
        deeper = places[field.number]
        inside: list[bytes | PartT] = (
            [*take(field)]
            if deeper is None
            else divide(file, field.start, field.end, deeper, take)
        )
        size = varint(sum(map(len, inside)))
        parts += [
            read(file, copied, field.begin) + tag(field.number, LENGTH) + size,
            *inside,
        ]
        copied = field.end
    return [*parts, read(file, copied, end)]


def read(file: BinaryIO, start: int, end: int) -> bytes:
    """Bytes between two places of a file.

    Raises
    ------
    DecodeError
        If the file ends before.
    """
    file.seek(start)
    found = file.read(end - start)
    if len(found) != end - start:
        raise DecodeError(f"the file ends at byte {start + len(found)}")
    return found


def tag(number: int, kind: int) -> bytes:
    """First bytes of a field."""
    return varint(number << 3 | kind)


def varint(number: int) -> bytes:
    """Bytes of a number of 0 or more, seven bits in each.

    Examples
    --------
    >>> varint(300).hex()
    'ac02'
    """
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(file: BinaryIO, begin: int, limit: int) -> Field:
    """Field that begins at a place of a file and may not go beyond another."""
    head = read(file, begin, min(limit, begin + _LONGEST_TAG + _LONGEST_VARINT))
    key, at = _leading_varint(head[:_LONGEST_TAG], begin)
    number, kind = key >> 3, key & 7
    if not 1 <= number <= _LAST_FIELD or kind > FOUR_BYTES:
        raise DecodeError(f"no field begins at byte {begin}")
    size = _FIXED.get(kind, 0)
    if kind in (VARINT, LENGTH):
        longest = _LONGEST_TAG if kind == LENGTH else _LONGEST_VARINT
        size, used = _leading_varint(head[at : at + longest], begin + at)
        if kind == LENGTH:
            at += used
        else:
            size = used
    field = Field(number, kind, begin, begin + at, begin + at + size)
    if field.end > limit:
        raise DecodeError(f"field {number} at byte {begin} is cut short")
    return field


def _leading_varint(raw: bytes, place: int) -> tuple[int, int]:
    """Read the number that some bytes begin with; also tell how many they are."""
    number = 0
    for index, byte in enumerate(raw):
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number, index + 1
    raise DecodeError(f"a number at byte {place} does not end")
