"""The schema in memory: BVLC's messages with the fields of all dialects.

A name means the same everywhere: where two dialects declare a message, it has the
fields of both. Numbers don't: in a binary file 149 is one field in one fork's and
another in another's. So every dialect declares the numbers of its own files, and the
schema gives a field another one where that is taken; `numbered_as` is the schema with
the numbers of one dialect.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Iterable
from itertools import count
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool

from caffe.errors import CheckError
from caffe.proto.declarations import messages_in, named_blocks
from caffe.proto.dialects import Dialect
from caffe.proto.forks import NUMBERS, table

_Field = descriptor_pb2.FieldDescriptorProto
_FIRST_DRAWN, _DRAWN = 1 << 20, (1 << 29) - (1 << 20)  # protobuf's largest: 2^29 - 1


def merged(base: Any, dialects: Iterable[Dialect]) -> Any:
    """Add what dialects declare to BVLC's schema.

    Parameters
    ----------
    base : FileDescriptorProto
    dialects : iterable of Dialect
        In order: the first one's declaration of a field stands.

    Returns
    -------
    FileDescriptorProto

    Raises
    ------
    CheckError
        Dialects disagree on a field, or declare something that protobuf refuses; the
        text names the dialect.
    """
    schema = descriptor_pb2.FileDescriptorProto()
    schema.CopyFrom(base)
    for dialect in dialects:
        _Addition(schema, dialect).add()
    return schema


def digest(base: bytes, dialects: Iterable[Dialect]) -> bytes:
    """Tell schemas apart by what they are merged from.

    Parameters
    ----------
    base : bytes
        BVLC's schema.
    dialects : iterable of Dialect
    """
    parts = [base, table()]
    for dialect in dialects:
        fields = b"" if dialect.fields is None else dialect.fields.read_bytes()
        parts.append(f"{dialect.name} {dialect.offset} {len(fields)}".encode() + fields)
    return crc32(b"\0".join(parts)).to_bytes(4, "big")


def built(schema: Any) -> Any:
    """Make the descriptor of a file, in a pool of its own."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(schema.SerializeToString())
    return pool.FindFileByName(schema.name)


def numbered_as(schema: Any, dialect: Dialect) -> Any:
    """Give a schema the numbers that a dialect's binary files have.

    Parameters
    ----------
    schema : FileDescriptorProto
        What `merged` returns; it is not changed.
    dialect : Dialect

    Returns
    -------
    FileDescriptorProto
        What else has such a number gets one that no file has.
    """
    copy = descriptor_pb2.FileDescriptorProto()
    copy.CopyFrom(schema)
    own = dict(named_blocks(dialect.declared))
    for name, block in named_blocks(copy):
        if name in own:
            _renumber(_entries(block), {e.name: e.number for e in _entries(own[name])})
    return copy


def _renumber(entries: Any, own: dict[str, int]) -> None:
    """Give fields, or values of an enum, numbers by name; who has one, another."""
    used = {entry.number for entry in entries} | set(own.values())
    free = (number for number in count(_FIRST_DRAWN) if number not in used)
    for entry in entries:
        if entry.name in own:
            entry.number = own[entry.name]
        elif entry.number in own.values():
            entry.number = next(free)


class _Addition:
    """What one dialect declares, on its way into the schema."""

    def __init__(self, schema: Any, dialect: Dialect) -> None:
        self._schema, self._dialect = schema, dialect
        self._declared = descriptor_pb2.FileDescriptorProto()
        self._declared.CopyFrom(dialect.declared)

    def add(self) -> None:
        self._add_names(self._schema, self._declared)
        self._known = dict(named_blocks(self._schema))
        for name, block in named_blocks(self._declared):
            self._add_entries(name, block)
        if self._dialect.offset is None:
            try:
                built(self._schema)
            except (TypeError, ValueError) as error:
                raise self._error(str(error)) from error

    def _add_names(self, into: Any, added: Any) -> None:
        """Make the messages and enums that are not there yet, empty."""
        known = {block.name: block for block in (*messages_in(into), *into.enum_type)}
        for enum in added.enum_type:
            if enum.name not in known:
                into.enum_type.add(name=enum.name)
        for message in messages_in(added):
            if message.name not in known:
                known[message.name] = messages_in(into).add(name=message.name)
            self._add_names(known[message.name], message)

    def _add_entries(self, name: str, block: Any) -> None:
        """Add the fields of a message, or the values of an enum."""
        target = _entries(self._known[name])
        _forget(target, {entry.name for entry in _entries(block)})
        known = {entry.name: entry for entry in target}
        used = {entry.number for entry in target}
        for entry in _entries(block):
            where = f"{name}.{entry.name}"
            if isinstance(entry, _Field):
                self._resolve(entry, name)
                if entry.name in known:
                    self._check(entry, known[entry.name], where)
            if entry.name not in known:
                made = known[entry.name] = target.add()
                made.CopyFrom(entry)
                made.number = self._number(entry.number, used, where)
                used.add(made.number)

    def _number(self, own: int, used: set[int], where: str) -> int:
        """Return the number of a field in the schema, the same in every installation.

        That of a package's field depends on nothing but names, so that files that it
        wrote are read the same wherever other packages are installed beside it.
        """
        offset = self._dialect.offset
        if offset is None:
            own = (
                _FIRST_DRAWN + crc32(f"{self._dialect.name}:{where}".encode()) % _DRAWN
            )
        elif own in used:
            own += offset
        if own in used:
            raise self._error(f"{where}: number {own} of the schema is taken")
        return own

    def _resolve(self, field: Any, scope: str) -> None:
        """Say of a field of another type which it is, from the inside outwards."""
        if not field.type_name:
            return
        name = field.type_name.removeprefix(".caffe.").removeprefix("caffe.")
        places = scope.split(".")
        for depth in range(len(places), -1, -1):
            full = ".".join([*places[:depth], name])
            if full in self._known:
                is_enum = isinstance(
                    self._known[full], descriptor_pb2.EnumDescriptorProto
                )
                field.type = _Field.TYPE_ENUM if is_enum else _Field.TYPE_MESSAGE
                field.type_name = f".caffe.{full}"
                return
        raise self._error(f"{scope}.{field.name}: type '{name}' is not declared")

    def _check(self, field: Any, known: Any, where: str) -> None:
        """Refuse a field that is another one here than where it was declared first."""
        here, there = _kind(field), _kind(known)
        if here != there:
            raise self._error(f"{where} is {here}: expected {there}, as declared first")
        here, there = field.default_value, known.default_value
        if field.HasField("default_value") and here != there:
            raise self._error(
                f"{where} has the default {here}: expected {there or 'none'}, as "
                "declared first, or that no default is declared"
            )
        if field.label == _Field.LABEL_REPEATED != known.label:
            raise self._error(
                f"{where} is repeated: expected optional, as declared first"
            )

    def _error(self, text: str) -> CheckError:
        return CheckError(
            f"dialect '{self._dialect.name}' ({self._dialect.fields}): {text}"
        )


def _forget(entries: Any, names: set[str]) -> None:
    """Drop what is known by name alone, and is declared now."""
    for index in reversed(range(len(entries))):
        if entries[index].number in NUMBERS and entries[index].name in names:
            del entries[index]


def _kind(field: Any) -> str:
    """Type of a field as a ``.proto`` file calls it."""
    plain = _Field.Type.Name(field.type).removeprefix("TYPE_").lower()
    return field.type_name.removeprefix(".caffe.") or plain


def _entries(block: Any) -> Any:
    """Fields of a message, or values of an enum."""
    enum = isinstance(block, descriptor_pb2.EnumDescriptorProto)
    return block.value if enum else block.field
