"""Caffe's text files (``.prototxt``) to messages and back."""

from __future__ import annotations

import difflib
import math
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from google.protobuf import text_encoding, text_format
from google.protobuf.message import Message

from caffe.errors import FileError, PrototxtError, UnknownNamesError
from caffe.proto.forks import AS_WRITTEN, NUMBERS, fork_of, is_as_written
from caffe.proto.names import Scan, Unknown, put_back, scan

MessageT = TypeVar("MessageT", bound=Message)

_LONGEST_COMPLAINT = 300

# A string that is not closed counts to the end of its line, so that a line of n
# characters takes n steps.
_COMMENT = re.compile(
    rb"""("(?:\\.|[^"\\])*(?:"|\\?$)|'(?:\\.|[^'\\])*(?:'|\\?$))|#.*"""
)
# What C++ protobuf knows, and Python's reads alike; the last one stands for all else.
_ESCAPE = re.compile(
    r"""\\(?:[abfnrtv\\'"]|(?![4-7][0-7]{2})[0-7]{1,3}|x[0-9a-fA-F]"""
    r"""|u(?![dD][89a-fA-F])[0-9a-fA-F]{4}|U00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4}"""
    r"""|(?P<invalid>.?))"""
)
_STRING_OR_COMMENT = re.compile(
    r""""(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|#[^\n]*"""
)
_BACKSLASH = "expected \\\\ for a backslash, or / in a path"
_LFS = b"version https://git-lfs.github.com/spec/"
_TWICE = re.compile(
    r'Message type "caffe\.([\w.]+)" should not have multiple "(\w+)" fields'
)


def read_text(path: str | PathLike[str], message: MessageT) -> MessageT:
    """Fill a message from a text file.

    Parameters
    ----------
    path
        The file; UTF-8, but for comments, which may be in any encoding.
    message
        An empty message of the type that the file describes.

    Returns
    -------
    Message
        `message`, filled.

    Raises
    ------
    FileError
        If the file cannot be read or is not text.
    PrototxtError
        If the text does not follow the schema.
    """
    raw = read_bytes(path)
    if b"\0" in raw:
        raise FileError(f"{path}: is a binary file; expected a text file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = _without_foreign_comments(raw, str(path))
    return parse_text(text, message, name=str(path))


def read_bytes(path: str | PathLike[str]) -> bytes:
    """Bytes of a file.

    Raises
    ------
    FileError
        If the file cannot be read.
    """
    with _readable(path):
        raw = Path(path).read_bytes()
    check_pointer(path, raw)
    return raw


def check_pointer(path: str | PathLike[str], start: bytes) -> None:
    """Refuse what Git LFS leaves in the place of a large file.

    Parameters
    ----------
    path : path
        For the text of the error.
    start : bytes
        How the file begins.

    Raises
    ------
    FileError
    """
    if start.startswith(_LFS):
        raise FileError(
            f"{path}: is a Git LFS pointer, not the file itself: 'git lfs pull' "
            "fetches it"
        )


def open_bytes(path: str | PathLike[str]) -> BinaryIO:
    """Open a file for reading bytes.

    Raises
    ------
    FileError
        If the file cannot be read.
    """
    with _readable(path):
        return Path(path).open("rb")


@contextmanager
def _readable(path: str | PathLike[str]) -> Iterator[None]:
    """Make a `FileError` of what the system says against reading a file."""
    try:
        yield
    except OSError as error:
        raise FileError(f"{path}: cannot read it: {error.strerror}") from error
    except ValueError as error:  # a name with a NUL in it
        raise FileError(f"{str(path)!r}: cannot read it: {error}") from error


def _without_foreign_comments(raw: bytes, path: str) -> str:
    """Decode a text whose comments, and they alone, are not in UTF-8."""
    lines = raw.split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            line.decode()
        except UnicodeDecodeError:
            lines[number - 1] = kept = _COMMENT.sub(lambda found: found[1] or b"", line)
            try:
                kept.decode()
            except UnicodeDecodeError as error:
                raise FileError(
                    f"{path}:{number}: byte 0x{kept[error.start]:02x} is not UTF-8 "
                    "text; expected a text file in UTF-8"
                ) from error
    return b"\n".join(lines).decode("utf-8-sig")


def parse_text(text: str, message: MessageT, *, name: str = "<text>") -> MessageT:
    """Fill a message from text.

    Parameters
    ----------
    text
        Protocol-buffer text, as in a ``.prototxt``.
    message
        An empty message of the type that the text describes.
    name
        What an error calls the text, usually a file name.

    Returns
    -------
    Message
        `message`, filled.

    Raises
    ------
    PrototxtError
        If the text does not follow the schema; starts with ``name:line:column:``,
        both counted from 1.

    Examples
    --------
    >>> from caffe.proto import caffe_pb2
    >>> layer = parse_text('name: "c" type: "Concat"', caffe_pb2.LayerParameter())
    >>> layer.type
    'Concat'
    """
    _check_escapes(text, name)
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        found = scan(text, message.DESCRIPTOR)
        if found.unknown:
            raise _unknown_names(found, text, message, name) from error
        if found.plain == text:
            raise _refused(error, text, message, name) from error
        _parse_plain(found, message, name)
    missing = _missing(message)
    if missing:
        raise PrototxtError(f"{name}: {', '.join(missing)}: not given; must be given")
    return message


def _parse_plain(found: Scan, message: Any, name: str) -> None:
    """Parse what `scan` has left of a text; fields known by name get their text."""
    message.Clear()
    try:
        text_format.Parse(found.plain, message)
    except text_format.ParseError as error:
        raise _refused(error, found.plain, message, name) from error
    put_back(message, found.written)


def _refused(
    error: text_format.ParseError, text: str, message: Message, name: str
) -> PrototxtError:
    """Say what protobuf has against a text, and where."""
    line, column = error.GetLine() or 1, error.GetColumn() or 1
    complaint = str(error).removeprefix(f"{line}:{column} : ").removeprefix("'': ")
    lines = text.split("\n")
    if line <= len(lines):
        complaint = complaint.removeprefix(f"'{lines[line - 1]}': ")
    reason = _shortened(_explain(complaint))
    return PrototxtError(f"{name}:{line}:{column}: {reason}")


def _unknown_names(
    found: Scan, text: str, message: Message, name: str
) -> UnknownNamesError:
    """Say all that the schema does not know of a text."""
    known: Any = type(message)()
    try:
        _parse_plain(found, known, name)
    except PrototxtError:
        known = None
    reasons: dict[str, str] = {}
    for odd in found.unknown:
        line = text.count("\n", 0, odd.start) + 1
        column = odd.start - text.rfind("\n", 0, odd.start)
        where = f"line {line}: " if reasons else f"{name}:{line}:{column}: "
        reasons.setdefault(_shortened(_odd_name(odd, message, not reasons)), where)
    return UnknownNamesError("; ".join(w + r for r, w in reasons.items()), known)


def _odd_name(odd: Unknown, message: Message, first: bool) -> str:
    """Say of a field or a value that it is not there, and what is."""
    pool = message.DESCRIPTOR.file.pool
    names: Mapping[str, Any]
    if odd.is_value:
        names = pool.FindEnumTypeByName(f"caffe.{odd.owner}").values_by_name
        said = f"no value {odd.name} in {odd.owner}"
    else:
        names = pool.FindMessageTypeByName(f"caffe.{odd.owner}").fields_by_name
        said = f"no field '{odd.name}' in {odd.owner}"
    fork = fork_of(odd.owner, odd.name)
    if fork:
        return f"{said}: it is of {fork}"
    known = [name for name, of in names.items() if of.number not in NUMBERS]
    return f"{said}{_suggest(odd.name, known, first)}"


def _check_escapes(text: str, name: str) -> None:
    """Refuse escape sequences in strings that protobuf's libraries do not read alike.

    Python's would take some of them as they stand, so that in a path of Windows a
    part would be a backslash and a letter, and another the end of a line.
    """
    if "\\" not in text:
        return
    for token in _STRING_OR_COMMENT.finditer(text):
        for escape in _ESCAPE.finditer(token[0]) if token[0][0] != "#" else ():
            if escape["invalid"] is not None:
                at = token.start() + escape.start()
                line = text.count("\n", 0, at) + 1
                column = at - text.rfind("\n", 0, at)
                raise PrototxtError(
                    f"{name}:{line}:{column}: invalid escape sequence '{escape[0]}' in "
                    f"a string: {_BACKSLASH}"
                )


def _missing(message: Any) -> list[str]:
    """Return the required fields that nobody gave, with the path to each."""
    return list(message.FindInitializationErrors())


def _explain(complaint: str) -> str:
    """Say what is wrong and what was expected, from an error of protobuf's."""
    if match := _TWICE.search(complaint):
        owner, field = match.groups()
        return f"field '{field}' of {owner} is given twice; expected once"
    if "codec can't" in complaint:  # the string ends in a backslash
        return f"invalid escape sequence in a string: {_BACKSLASH}"
    return complaint[:1].lower() + complaint[1:].rstrip(".")


def _shortened(reason: str) -> str:
    """Leave out the middle of a reason that quotes a very long word of the file."""
    if len(reason) <= _LONGEST_COMPLAINT:
        return reason
    half = _LONGEST_COMPLAINT // 2
    return f"{reason[:half]} ... {reason[-half:]}"


def _suggest(word: str, names: list[str], every: bool) -> str:
    """Name those near a word; where there are none, perhaps all, if they are few."""
    folded = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.strip('"').lower(), folded, cutoff=0.7)
    if near:
        return "; did you mean " + " or ".join(folded[name] for name in near) + "?"
    shown = ", ".join(names[:16])
    more = ", ... (see caffe.proto)" if names[16:] else ""
    return f"; expected one of {shown}{more}" if every else ""


def to_text(message: Message) -> str:
    """Print a message as C++ Caffe does: fields by number, two spaces a level.

    Floats have the fewest digits that read back as the same number.

    Parameters
    ----------
    message
        Any message of the schema.

    Returns
    -------
    str
        Text that `parse_text` reads back to an equal message.

    Examples
    --------
    >>> from caffe.proto import caffe_pb2
    >>> print(to_text(caffe_pb2.ParamSpec(name="w", lr_mult=0.1)), end="")
    name: "w"
    lr_mult: 0.1
    """
    return "".join(_lines(message, ""))


def _lines(message: Message, indent: str) -> Iterator[str]:
    for field, value in message.ListFields():
        single = isinstance(value, (str, bytes, int, float, Message))
        for item in [value] if single else value:
            if isinstance(item, Message) and is_as_written(item.DESCRIPTOR):
                yield f"{indent}{getattr(item, AS_WRITTEN) or f'{field.name} {{}}'}\n"
            elif isinstance(item, Message):
                yield f"{indent}{field.name} {{\n"
                yield from _lines(item, indent + "  ")
                yield f"{indent}}}\n"
            else:
                yield f"{indent}{field.name}: {_scalar(field, item)}\n"


def _scalar(field: Any, value: Any) -> str:
    if field.enum_type is not None:
        return str(field.enum_type.values_by_number[value].name)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, bytes)):
        raw = value.encode() if isinstance(value, str) else value
        return f'"{text_encoding.CEscape(raw, as_utf8=False)}"'
    if isinstance(value, float):
        return _shortest(value, single=field.cpp_type == field.CPPTYPE_FLOAT)
    return str(value)


def _shortest(value: float, *, single: bool) -> str:
    if not math.isfinite(value):
        return str(value)
    form = "<f" if single else "<d"
    for digits in range(6 if single else 15, 10 if single else 18):
        text = f"{value:.{digits}g}"
        if struct.pack(form, float(text)) == struct.pack(form, value):
            break
    return text
