"""Messages in which one field has a value that nobody meant."""

from __future__ import annotations

import itertools
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

WHOLE = (0, 1, -1, 3, -(2**31), 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
REAL = (0.0, -1.0, 1e-30, 1e30, float("nan"), float("inf"), float("-inf"))
TEXT = ("", "..", "no such thing", "a\n\0b", "%s%d")
_WHOLE_TYPES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64),
}
_REAL_TYPES = {FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE}
GIB = 2**30


def odd_values(field: FieldDescriptor) -> list[Any]:
    """Values that the type of a field allows, odd ones first of all."""
    kind = field.cpp_type
    if kind in _WHOLE_TYPES:
        least, beyond = _WHOLE_TYPES[kind]
        return [value for value in WHOLE if least <= value < beyond]
    if kind in _REAL_TYPES:
        return list(REAL)
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return [t if field.type == field.TYPE_STRING else t.encode() for t in TEXT]
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return [False, True]
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return [value.number for value in field.enum_type.values]
    return []


def spoiled(message: Any, *, deep: bool = True) -> Iterator[tuple[str, Any]]:
    """Copies of a message with one field changed, and what was changed.

    Yields
    ------
    change : str
        Such as ``pad=[-1]``.
    copy : Message
    """
    for field in message.DESCRIPTOR.fields:
        if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            if deep and not field.is_repeated:
                inside = getattr(message, field.name)
                for change, part in spoiled(inside):
                    copy = _copied(message)
                    getattr(copy, field.name).CopyFrom(part)
                    yield f"{field.name}.{change}", copy
            continue
        for value in odd_values(field):
            for given in _forms(message, field, value):
                copy = _copied(message)
                copy.ClearField(field.name)
                if field.is_repeated:
                    getattr(copy, field.name).extend(given)
                else:
                    setattr(copy, field.name, given)
                yield f"{field.name}={given!r}", copy


def _forms(message: Any, field: FieldDescriptor, value: Any) -> list[Any]:
    if not field.is_repeated:
        return [value]
    known = list(getattr(message, field.name))
    forms = [[value], [value] * 2, [value] * 3]
    return [*forms, [*known[:-1], value]] if known else forms


def _copied(message: Any) -> Any:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def every(cases: Iterator[Any], step: int, first: int = 0) -> Iterator[Any]:
    """One in so many."""
    return itertools.islice(cases, first, None, step)


@contextmanager
def memory_limit(more: int = 4 * GIB) -> Iterator[None]:
    """Let this process have only so many bytes more of addresses than it has now."""
    old = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[0])
    now = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + more, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, old)
