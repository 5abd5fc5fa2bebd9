"""The messages and enums of Caffe, named as pycaffe's ``caffe_pb2``.

The classes are made at import from ``caffe.desc``, the compiled ``caffe.proto``, and
what the dialects add, because code that protoc generates serves only some versions of
the protobuf package; this serves 4.25 and all later ones. They live in a descriptor
pool of their own, so another ``caffe_pb2`` in the same process does no harm.

After a change to ``caffe.proto`` make ``caffe.desc`` anew (``pip install
grpcio-tools``; in the folder ``caffe/proto``)::

    python -m grpc_tools.protoc -I. --descriptor_set_out=caffe.desc caffe.proto

Examples
--------
>>> from caffe.proto import caffe_pb2
>>> layer = caffe_pb2.LayerParameter(name="pool1", type="Pooling")
>>> layer.pooling_param.pool = caffe_pb2.PoolingParameter.AVE
>>> caffe_pb2.Phase.Value("TEST") == caffe_pb2.TEST
True
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.internal import enum_type_wrapper

from caffe.proto.dialects import dialects
from caffe.proto.forks import add_names
from caffe.proto.schema import built, merged


def _load(path: Path) -> tuple[Any, dict[str, Any]]:
    """Return the file descriptor and all that a generated module would define."""
    (base,) = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file
    schema = merged(base, dialects())
    add_names(schema)
    descriptor = built(schema)
    names: dict[str, Any] = {}
    for name, message in descriptor.message_types_by_name.items():
        names[name] = message_factory.GetMessageClass(message)
        names[name].__module__ = __name__
    for name, enum in descriptor.enum_types_by_name.items():
        names[name] = enum_type_wrapper.EnumTypeWrapper(enum)
        names.update((value.name, value.number) for value in enum.values)
    return descriptor, names


DESCRIPTOR, _names = _load(Path(__file__).with_name("caffe.desc"))
globals().update(_names)
