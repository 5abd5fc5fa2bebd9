"""Binary nets as forks write them, by a schema of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from caffe.proto.files import read_net_binary

_NET = {
    "NetParameter": "o string name 1, r LayerParameter layer 100",
    "BlobProto": "r float data 5, o BlobShape shape 7",
    "BlobShape": "r int64 dim 1",
}
_LAYER = (
    "o string name 1, o string type 2, r string bottom 3, r string top 4, "
    "r BlobProto blobs 7"
)


def fork_net(schema: Mapping[str, str]) -> Any:
    """Return an empty net of a fork.

    Parameters
    ----------
    schema : mapping of str to str
        Messages, and their fields as "label type name number, ..."; those of
        LayerParameter that all forks have need not be named.
    """
    messages = {**_NET, **schema}
    messages["LayerParameter"] = f"{_LAYER}, {schema['LayerParameter']}"
    file = descriptor_pb2.FileDescriptorProto(name="fork.proto", package="caffe")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for item in fields.split(", "):
            label, kind, field, number = item.split()
            entry = message.field.add(name=field, number=int(number))
            entry.label = kinds.LABEL_REPEATED if label == "r" else kinds.LABEL_OPTIONAL
            if kind in messages:
                entry.type, entry.type_name = kinds.TYPE_MESSAGE, f".caffe.{kind}"
            else:
                entry.type = getattr(kinds, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    kind = pool.FindMessageTypeByName("caffe.NetParameter")
    return message_factory.GetMessageClass(kind)(name="net")


def read_back(net: Any, tmp_path: Any) -> Any:
    """Write the net and read it as any ``.caffemodel`` is read."""
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net.SerializeToString())
    return read_net_binary(path)
