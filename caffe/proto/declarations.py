"""Messages and enums from the text of a ``.proto`` file (proto2), without protoc.

Read is what Caffe's schema consists of: messages, also inside one another, enums, and
optional, required and repeated fields with ``default`` and ``packed``.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

from google.protobuf import descriptor_pb2, text_encoding

from caffe.errors import PrototxtError

_Value = TypeVar("_Value")
_Field = descriptor_pb2.FieldDescriptorProto
_LABELS = {
    "optional": _Field.LABEL_OPTIONAL,
    "required": _Field.LABEL_REQUIRED,
    "repeated": _Field.LABEL_REPEATED,
}
_SCALARS = {
    name.removeprefix("TYPE_").lower(): number
    for name, number in _Field.Type.items()
    if name not in ("TYPE_MESSAGE", "TYPE_ENUM", "TYPE_GROUP")
}
_REAL = (_Field.TYPE_FLOAT, _Field.TYPE_DOUBLE)
_TOKEN = re.compile(
    r"""(?:\s+|//[^\n]*|/\*.*?\*/)*"""
    r"""([A-Za-z_.][\w.]*|[-+]?[\d.][\w.]*(?:(?<=[eE])[-+]\d+)?"""
    r"""|[-+](?:inf|nan)\b|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|.)?""",
    re.DOTALL,
)


def parse_declarations(text: str, name: str) -> Any:
    """Read a ``.proto`` file.

    Parameters
    ----------
    text : str
        Its content, in the part of proto2 that Caffe's own uses. ``import`` is not
        among it: types that the text does not declare keep the name by which it calls
        them, relative to where they stand.
    name : str
        What errors call the file.

    Returns
    -------
    FileDescriptorProto

    Raises
    ------
    PrototxtError
        The text is something else; starts with ``name:line:column:``.

    Examples
    --------
    >>> file = parse_declarations("message M { optional int32 n = 1; }", "m.proto")
    >>> file.message_type[0].field[0].name
    'n'
    """
    return _Reader(text, name).file()


def messages_in(block: Any) -> Any:
    """Messages of a file, or inside a message."""
    file = isinstance(block, descriptor_pb2.FileDescriptorProto)
    return block.message_type if file else block.nested_type


def named_blocks(block: Any, scope: str = "") -> Iterator[tuple[str, Any]]:
    """All messages and enums of a file, by their names."""
    for enum in block.enum_type:
        yield f"{scope}{enum.name}", enum
    for message in messages_in(block):
        yield f"{scope}{message.name}", message
        yield from named_blocks(message, f"{scope}{message.name}.")


class _Reader:
    """Tokens of a text, read one by one."""

    def __init__(self, text: str, name: str) -> None:
        self._text, self._name = text, name
        self._place = 0
        self._step()

    def file(self) -> Any:
        file = descriptor_pb2.FileDescriptorProto(name=self._name, package="caffe")
        while self._next:
            if self._skipped("syntax") or self._skipped("package"):
                continue
            if self._taken("message"):
                self._message(file.message_type.add())
            elif self._taken("enum"):
                self._enum(file.enum_type.add())
            else:
                self._fail("message or enum")
        return file

    def _message(self, message: Any) -> None:
        message.name = self._word()
        self._expect("{")
        while not self._taken("}"):
            if self._taken("message"):
                self._message(message.nested_type.add())
            elif self._taken("enum"):
                self._enum(message.enum_type.add())
            elif not self._skipped("reserved"):
                self._field(message.field.add())

    def _enum(self, enum: Any) -> None:
        enum.name = self._word()
        self._expect("{")
        while not self._taken("}"):
            value = enum.value.add(name=self._word())
            self._expect("=")
            value.number = self._number()
            self._options({})

    def _field(self, field: Any) -> None:
        if self._next not in _LABELS:
            self._fail("optional, repeated, required, message or enum")
        field.label = _LABELS[self._step()]
        kind = self._word()
        if kind in _SCALARS:
            field.type = _SCALARS[kind]
        else:
            field.type_name = kind
        field.name = self._word()
        self._expect("=")
        field.number = self._number()
        self._options({"default": self._default, "packed": self._packed}, field)

    def _options(
        self, known: dict[str, Callable[[Any], None]], field: Any = None
    ) -> None:
        """Read what stands in brackets, if anything does, and the semicolon."""
        if self._taken("["):
            while not self._taken("]"):
                name = self._word()
                self._expect("=")
                known.get(name, lambda _: self._step())(field)
                self._taken(",")
        self._expect(";")

    def _default(self, field: Any) -> None:
        if field.HasField("type_name") or field.type == _Field.TYPE_BOOL:
            field.default_value = self._word()
        elif field.type in _REAL:
            value = self._converted(float, "a number")
            short = f"{value:.15g}"
            field.default_value = short if float(short) == value else f"{value:.17g}"
        elif field.type in (_Field.TYPE_STRING, _Field.TYPE_BYTES):
            raw = self._converted(_unquoted, "a string in quotes")
            field.default_value = raw.decode()
        else:
            field.default_value = str(self._converted(_whole, "a whole number"))

    def _packed(self, field: Any) -> None:
        field.options.packed = self._word() == "true"

    def _step(self) -> str:
        """Return the token and go to the next, which is "" at the end of the text."""
        taken = getattr(self, "_next", "")
        match = _TOKEN.match(self._text, self._place)
        assert match is not None  # every part of the pattern may be empty
        self._next = match[1] or ""
        self._start, self._place = match.start(1), match.end()
        return taken

    def _taken(self, word: str) -> bool:
        found = self._next == word
        if found:
            self._step()
        return found

    def _skipped(self, word: str) -> bool:
        """Tell whether a statement begins with a word, and go behind it."""
        found = self._taken(word)
        while found and not self._taken(";"):
            if not self._next:
                self._fail("';'")
            self._step()
        return found

    def _expect(self, word: str) -> None:
        if not self._taken(word):
            self._fail(f"'{word}'")

    def _word(self) -> str:
        if not re.match(r"[A-Za-z_.]", self._next):
            self._fail("a name")
        return self._step()

    def _number(self) -> int:
        return self._converted(_of_32_bits, "a whole number of 32 bits")

    def _converted(self, convert: Callable[[str], _Value], expected: str) -> _Value:
        try:
            value = convert(self._next)
        except ValueError:
            self._fail(expected)
        self._step()
        return value

    def _fail(self, expected: str) -> NoReturn:
        start = self._start if self._next else len(self._text)
        line = self._text.count("\n", 0, start) + 1
        column = start - self._text.rfind("\n", 0, start)
        got = f"'{self._next}'" if self._next else "the end"
        raise PrototxtError(
            f"{self._name}:{line}:{column}: expected {expected}, got {got}"
        )


def _unquoted(token: str) -> bytes:
    if token[:1] not in ('"', "'"):
        raise ValueError(token)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # how Python tells of an unknown escape
        try:
            raw: bytes = text_encoding.CUnescape(token[1:-1])
        except Warning as warning:
            raise ValueError(token) from warning
    return raw


def _whole(token: str) -> int:
    return int(token, 0)


def _of_32_bits(token: str) -> int:
    if not -(2**31) <= _whole(token) < 2**31:
        raise ValueError(token)
    return _whole(token)
