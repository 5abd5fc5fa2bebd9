"""What a text says by names that the schema does not know, or knows by name alone.

Protobuf's own parser stops at the first such name; here all of them are found, each
with its place, so that an error can say them at once, and so that what changes nothing
can be left out of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from caffe.proto.forks import AS_WRITTEN, is_as_written

_TOKEN = re.compile(
    r"""(?:\s+|\#[^\n]*)*"""
    r"""("(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|[^\s\#"'{}<>\[\]:;,]+|.)?""",
    re.DOTALL,
)
_CLOSERS = {"{": "}", "<": ">", "[": "]"}
# a second one of these is kept under another name, see forks.tsv
_AGAIN = "_again"
# enum fields that choose among ways to the same numbers, see docs/fields.md
_WITHOUT_EFFECT = ("engine",)

Path = tuple[tuple[str, int], ...]
"""Fields, and the place of a message among those in each, from the outside inwards."""


@dataclass(frozen=True)
class Unknown:
    """A field, or a value of an enum, that the schema does not have.

    Attributes
    ----------
    start : int
        Where in the text its name begins.
    owner : str
        The message or the enum that was expected to have it.
    name : str
    is_value : bool
        It is a value of an enum.
    """

    start: int
    owner: str
    name: str
    is_value: bool


@dataclass(frozen=True)
class Scan:
    """What `scan` has found in a text.

    Attributes
    ----------
    unknown : list of Unknown
    written : dict
        Text of the fields that are known by name alone.
    plain : str
        The text without all of that, of the same length and lines.
    """

    unknown: list[Unknown]
    written: dict[Path, str]
    plain: str


def scan(text: str, descriptor: Any) -> Scan:
    """Find names that the schema does not know in the text of a message.

    What is no text of a message is read as far as it is one.

    Parameters
    ----------
    text : str
    descriptor : Descriptor
        Of the message.
    """
    return _Scanner(text, descriptor).scan()


@dataclass
class _Token:
    text: str
    start: int
    end: int


@dataclass
class _Frame:
    """A message that is being read."""

    descriptor: Any
    closer: str
    path: Path
    counts: dict[str, int] = field(default_factory=dict)

    def step(self, of: Any) -> Path:
        """Path of the next message in a field."""
        number = self.counts.get(of.name, 0)
        self.counts[of.name] = number + 1
        return (*self.path, (of.name, number))


class _EndError(Exception):
    """The text is over, or is none of a message."""


class _Scanner:
    def __init__(self, text: str, descriptor: Any) -> None:
        self._text = text
        self._tokens = self._split()
        self._next = next(self._tokens)
        self._stack = [_Frame(descriptor, "", ())]
        self._unknown: list[Unknown] = []
        self._written: dict[Path, str] = {}
        self._parts: list[str] = []
        self._kept = 0

    def scan(self) -> Scan:
        try:
            while self._stack:
                self._read_entry()
        except _EndError:
            pass
        plain = "".join([*self._parts, self._text[self._kept :]])
        return Scan(self._unknown, self._written, plain)

    def _split(self) -> Iterator[_Token]:
        for found in _TOKEN.finditer(self._text):
            if found[1] is not None:
                yield _Token(found[1], found.start(1), found.end(1))
        yield _Token("", len(self._text), len(self._text))

    def _take(self) -> _Token:
        token = self._next
        if not token.text:
            raise _EndError
        self._next = next(self._tokens)
        return token

    def _read_entry(self) -> None:
        """Read a field up to its value, or into it, or the end of a message."""
        token, frame = self._take(), self._stack[-1]
        if token.text in (";", ","):
            return
        if token.text == frame.closer:
            self._stack.pop()
            return
        fields = frame.descriptor.fields_by_name
        known = fields.get(token.text)
        if token.text in frame.counts:
            known = fields.get(f"{token.text}{_AGAIN}", known)
        if known is None or known.message_type is None:
            self._read_plain(token, known, frame)
        elif is_as_written(known.message_type):
            self._read_as_written(token, (*frame.path, (known.name, 0)))
        else:
            self._enter(known, frame)

    def _enter(self, known: Any, frame: _Frame) -> None:
        if self._next.text == ":":
            self._take()
        opener = self._take().text
        if opener not in ("{", "<"):  # of a list of messages, too: nobody writes one
            raise _EndError
        self._stack.append(
            _Frame(known.message_type, _CLOSERS[opener], frame.step(known))
        )

    def _read_plain(self, name: _Token, known: Any, frame: _Frame) -> None:
        """Read a number, a text or a name; of what is not known anything."""
        if known is None:
            owner = frame.descriptor.full_name.removeprefix("caffe.")
            self._unknown.append(Unknown(name.start, owner, name.text, False))
        values, end = self._read_value()
        if known is None:
            self._leave_out(name.start, end, "")
        elif known.enum_type is not None:
            self._check_values(name, known, values, end)

    def _check_values(
        self, name: _Token, known: Any, values: list[_Token], end: int
    ) -> None:
        enum = known.enum_type
        odd = [
            value
            for value in values
            if value.text not in enum.values_by_name
            and value.text not in map(str, enum.values_by_number)
        ]
        if not odd:
            return
        if known.name not in _WITHOUT_EFFECT:
            owner = enum.full_name.removeprefix("caffe.")
            self._unknown += [Unknown(v.start, owner, v.text, True) for v in odd]
        self._leave_out(name.start, end, "")

    def _read_as_written(self, name: _Token, path: Path) -> None:
        _, end = self._read_value()
        text = self._text[name.start : end]
        if path in self._written:
            self._written[path] += f"\n{text}"
            self._leave_out(name.start, end, "")
        else:
            self._written[path] = text
            self._leave_out(name.start, end, f"{path[-1][0]} {{}}")

    def _read_value(self) -> tuple[list[_Token], int]:
        """Read the value of a field whatever it is; return its words and its end."""
        words, colon = [], self._next.text == ":"
        token = self._take()
        if colon:
            token = self._take()
        elif token.text not in ("{", "<"):
            raise _EndError
        if token.text in _CLOSERS:
            return self._read_block(token)
        words.append(token)
        if token.text == "-":
            token = self._take()
        while token.text[0] in "\"'" and self._next.text[:1] in ("'", '"'):
            token = self._take()  # neighbouring strings are one
        return words, token.end

    def _read_block(self, token: _Token) -> tuple[list[_Token], int]:
        words, closers = [], [_CLOSERS[token.text]]
        while closers:
            token = self._take()
            if token.text in _CLOSERS:
                closers.append(_CLOSERS[token.text])
            elif token.text == closers[-1]:
                closers.pop()
            elif token.text not in (",", ";", ":"):
                words.append(token)
        return words, token.end

    def _leave_out(self, start: int, end: int, instead: str) -> None:
        """Put blanks in the place of a piece of the text; its lines stay."""
        blank = re.sub(r"[^\n]", " ", self._text[start:end])
        blank = blank.replace(" ", "", len(instead))
        self._parts += [self._text[self._kept : start], instead, blank]
        self._kept = end


def put_back(message: Any, written: dict[Path, str]) -> None:
    """Give the fields that are known by name alone the text that they had.

    Parameters
    ----------
    message : Message
        Parsed from `Scan.plain`.
    written : dict
        As of a `Scan`.
    """
    for path, text in written.items():
        inner = message
        for name, place in path:
            inner = getattr(inner, name)
            inner = inner if isinstance(inner, Message) else inner[place]
        setattr(inner, AS_WRITTEN, text)
