"""Which fork of Caffe has a layer type, a field or a value that is not here.

``forks.tsv`` has a line for each: the message of the field, the enum of the value, or
"type"; the name; the fork. Fields of messages that Caffe or a dialect has are in the
schema as well, by name alone: a text that has them is read, shown and upgraded, and
only a net with them can't be built.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2
from google.protobuf.message import Message

from caffe.proto.declarations import named_blocks

AS_WRITTEN = "as_written"
_MESSAGE = "ForkParameter"
_TABLE = Path(__file__).with_name("forks.tsv")
_Field = descriptor_pb2.FieldDescriptorProto
# more than any fork's numbers for what it added to Caffe's messages, less than drawn
NUMBERS = range(900_000, 1_000_000)
# trained numbers; and rules, which say by their words alone for which nets a layer is
_SKIPPED = ("BlobProto", "NetStateRule")


def fork_of(place: str, name: str) -> str:
    """Fork that has a layer type, a field or a value; "": none that is known.

    Parameters
    ----------
    place : str
        Message of the field, enum of the value, or "type".
    name : str

    Examples
    --------
    >>> fork_of("type", "BoxOutput")
    'zhaoweicai/mscnn'
    """
    return _forks().get((place, name), "")


def todays_type(v1_type: str) -> str:
    """Today's name of a layer type that a fork's ``V1LayerParameter.LayerType`` has.

    Examples
    --------
    >>> todays_type("SEG_ACCURACY"), todays_type("ROIPOOLING")
    ('SegAccuracy', 'ROIPooling')
    """
    known = {name.lower(): name for place, name in _forks() if place == "type"}
    words = v1_type.split("_")
    return known.get("".join(words).lower(), "".join(map(str.capitalize, words)))


def is_as_written(descriptor: Any) -> bool:
    """Tell whether a message stands for a field that is known by name alone."""
    return bool(descriptor.name == _MESSAGE)


def add_names(schema: Any) -> None:
    """Add the fields and values of the table that a schema has not, by name alone.

    Parameters
    ----------
    schema : FileDescriptorProto
        Of Caffe and the dialects.
    """
    blocks = dict(named_blocks(schema))
    made = schema.message_type.add(name=_MESSAGE)
    made.field.add(
        name=AS_WRITTEN, number=1, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_STRING
    )
    layer = {field.name: field for field in blocks["LayerParameter"].field}
    for number, (place, name) in zip(NUMBERS, _forks(), strict=False):
        block = blocks.get(place)
        if isinstance(block, descriptor_pb2.EnumDescriptorProto):
            if all(known.name != name for known in block.value):
                block.value.add(name=name, number=number)
        elif block is not None and all(known.name != name for known in block.field):
            added = block.field.add(
                type_name=f".caffe.{_MESSAGE}", type=_Field.TYPE_MESSAGE
            )
            # what a dialect declares for layers stands in old layers just so
            if place == "V1LayerParameter" and name in layer:
                added.CopyFrom(layer[name])
            added.name, added.number = name, number
            added.label = _Field.LABEL_OPTIONAL


def unsupported(message: Any) -> Iterator[tuple[str, str]]:
    """Fields and values in a message that are known by name alone, and their places."""
    for field, value in message.ListFields():
        owner = field.containing_type.full_name.removeprefix("caffe.")
        if field.number in NUMBERS:
            yield owner, field.name
        elif field.enum_type is not None:
            values = [value] if isinstance(value, int) else value
            for number in set(values).intersection(NUMBERS):
                enum = field.enum_type
                place = enum.full_name.removeprefix("caffe.")
                yield place, enum.values_by_number[number].name
        elif field.message_type is not None and field.message_type.name not in _SKIPPED:
            for inner in [value] if isinstance(value, Message) else value:
                yield from unsupported(inner)


def table() -> bytes:
    """Content of ``forks.tsv``."""
    return _TABLE.read_bytes()


@cache
def _forks() -> dict[tuple[str, str], str]:
    lines = table().decode().splitlines()
    rows = (line.split("\t") for line in lines[1:])
    return {(place, name): fork for place, name, fork in rows}
