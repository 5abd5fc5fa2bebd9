"""Trained nets in binary, with the field numbers of BVLC's Caffe or of a fork's.

The same bytes mean different things in different forks, and nothing in a file says who
wrote it. A file is taken for a dialect's if at least one of its layers makes sense by
that dialect's numbers only, see `caffe.proto.dialects.Dialect.has_written`; for that of
most such layers, if several dialects could have written it. Otherwise the numbers of
the schema hold, which are BVLC's and, for what BVLC's does not have, our own.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.message import DecodeError, Message

from caffe.proto import caffe_pb2
from caffe.proto.dialects import Dialect, dialects
from caffe.proto.schema import built, numbered_as


def parse_binary(raw: bytes) -> Any:
    """Parse a binary net, whichever of the forks wrote it.

    Parameters
    ----------
    raw
        Content of a ``.caffemodel``.

    Returns
    -------
    NetParameter
        The net as it was written: not upgraded.

    Raises
    ------
    google.protobuf.message.DecodeError
        If the bytes are a net by no dialect's numbers.
    """
    try:
        net = caffe_pb2.NetParameter.FromString(raw)
    except (DecodeError, UnicodeDecodeError):
        found = _most_fitting(raw, None)
        if found is None:
            raise
        return found
    found = _most_fitting(raw, net)
    return net if found is None else found


def _most_fitting(raw: bytes, net: Any) -> Any:
    """Return a net as the dialect that wrote it means it; None: none did.

    `net` is the same by the schema's numbers, by which it may not parse at all.
    """
    best, most = None, 0
    for dialect in dialects():
        if net is not None and not any(map(dialect.may_have_written, _layers(net))):
            continue
        try:
            own = _own_net(dialect).FromString(raw)
        except (DecodeError, UnicodeDecodeError):
            continue
        layers = _layers(own)
        plain = layers if net is None else _layers(net)
        blank = caffe_pb2.LayerParameter()
        fitting = sum(
            dialect.has_written(blank if net is None else layer, mine)
            for layer, mine in zip(plain, layers, strict=False)
        )
        if fitting > most:
            best, most = own, fitting
    return best and _translate(best, caffe_pb2.NetParameter())


def _layers(net: Any) -> list[Any]:
    return [*net.layer, *net.layers]


@cache
def _own_net(dialect: Dialect) -> Any:
    """Return the class of a NetParameter with a dialect's numbers."""
    schema = descriptor_pb2.FileDescriptorProto()
    caffe_pb2.DESCRIPTOR.CopyToProto(schema)
    file = built(numbered_as(schema, dialect))
    return message_factory.GetMessageClass(file.message_types_by_name["NetParameter"])


def _translate(source: Any, target: Any) -> Any:
    """Copy a message into the schema's message of the same name, field by field."""
    if _is_alike(source.DESCRIPTOR, target.DESCRIPTOR):  # arrays of weights above all
        target.MergeFromString(source.SerializePartialToString())
        return target
    for field, value in source.ListFields():
        if field.enum_type is not None:
            _set_by_name(target, field, value)
        elif field.message_type is None:
            _set(target, field.name, value)
        elif isinstance(value, Message):
            part = getattr(target, field.name)
            part.SetInParent()
            _translate(value, part)
        else:
            for item in value:
                _translate(item, getattr(target, field.name).add())
    return target


@cache
def _is_alike(source: Any, target: Any) -> bool:
    """Tell whether a message has the same numbers in both, and all inside it."""
    return _numbers(source, {}) == _numbers(target, {})


def _numbers(message: Any, known: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of the fields, and values, of a message and all inside it."""
    if message.full_name not in known:
        known[message.full_name] = {f.name: f.number for f in message.fields}
        for field in message.fields:
            if field.message_type is not None:
                _numbers(field.message_type, known)
            elif field.enum_type is not None:
                values = {v.name: v.number for v in field.enum_type.values}
                known[field.enum_type.full_name] = values
    return known


def _set_by_name(target: Any, field: Any, value: Any) -> None:
    """Set an enum field, whose value may have another number in the schema."""
    there = target.DESCRIPTOR.fields_by_name[field.name].enum_type.values_by_name
    here = field.enum_type.values_by_number
    if isinstance(value, int):
        _set(target, field.name, there[here[value].name].number)
    else:
        _set(target, field.name, [there[here[item].name].number for item in value])


def _set(target: Any, name: str, value: Any) -> None:
    if isinstance(value, (str, bytes, int, float)):
        setattr(target, name, value)
    else:
        getattr(target, name).extend(value)
