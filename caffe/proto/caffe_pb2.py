"""The messages and enums of Caffe, named as pycaffe's ``caffe_pb2``.

The classes are made at import from ``caffe.desc``, the compiled ``caffe.proto``, and
what the dialects add, because code that protoc generates serves only some versions of
the protobuf package; this serves 4.25 and all later ones. They live in a descriptor
pool of their own, so another ``caffe_pb2`` in the same process does no harm.

After a change to ``caffe.proto`` make ``caffe.desc`` anew (``pip install
grpcio-tools``; in the folder ``caffe/proto``)::

    python -m grpc_tools.protoc -I. --descriptor_set_out=caffe.desc caffe.proto

``dialects.desc`` is the schema with all dialects of this distribution, so that their
declarations need not be read at each start; where these have changed they are, until
it is written again (``python tools/dialects_desc.py``).

Examples
--------
>>> from caffe.proto import caffe_pb2
>>> layer = caffe_pb2.LayerParameter(name="pool1", type="Pooling")
>>> layer.pooling_param.pool = caffe_pb2.PoolingParameter.AVE
>>> caffe_pb2.Phase.Value("TEST") == caffe_pb2.TEST
True
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.internal import enum_type_wrapper

from caffe.proto.dialects import Dialect, dialects
from caffe.proto.forks import add_names
from caffe.proto.schema import built, digest, merged

_FOLDER = Path(__file__).parent
_DIGEST = 4  # bytes before the stored schema


def _merged() -> Any:
    """Merge BVLC's schema with all dialects; that of ours may be stored."""
    raw = (_FOLDER / "caffe.desc").read_bytes()
    ours = [dialect for dialect in dialects() if dialect.offset is not None]
    others = [dialect for dialect in dialects() if dialect.offset is None]
    kept = (_FOLDER / "dialects.desc").read_bytes()
    if kept.startswith(digest(raw, ours)):
        schema = descriptor_pb2.FileDescriptorProto.FromString(kept[_DIGEST:])
    else:
        schema = of_ours(raw, ours)
    return merged(schema, others) if others else schema


def of_ours(raw: bytes, ours: Iterable[Dialect]) -> Any:
    """Merge BVLC's schema with the dialects of this distribution, and the forks' names.

    Parameters
    ----------
    raw : bytes
        Content of ``caffe.desc``.
    ours : iterable of Dialect
    """
    (base,) = descriptor_pb2.FileDescriptorSet.FromString(raw).file
    schema = merged(base, ours)
    add_names(schema)
    return schema


def _load() -> tuple[Any, dict[str, Any]]:
    """Return the file descriptor and all that a generated module would define."""
    descriptor = built(_merged())
    names: dict[str, Any] = {}
    for name, message in descriptor.message_types_by_name.items():
        names[name] = message_factory.GetMessageClass(message)
        names[name].__module__ = __name__
    for name, enum in descriptor.enum_types_by_name.items():
        names[name] = enum_type_wrapper.EnumTypeWrapper(enum)
        names.update((value.name, value.number) for value in enum.values)
    return descriptor, names


DESCRIPTOR, _names = _load()
globals().update(_names)
