"""Trained nets in binary, with the field numbers of BVLC's Caffe or of Freiburg's.

Freiburg's caffe_unet gave some fields other numbers than BVLC's Caffe, so the same
bytes mean different things, and nothing in a file says who wrote it. A file is taken
for Freiburg's if at least one of its layers makes sense by Freiburg's numbers only:

* its type is CreateDeformation, ApplyDeformation, Parameter, RNN, LSTM, Swish or Clip,
  and the parameters of that type stand under Freiburg's number and not under the
  schema's; or
* it is a Pooling layer whose window is sound by Freiburg's numbers and impossible by
  BVLC's (no kernel, a kernel given in two ways, a pad as large as the kernel, a stride
  of 0), or that has a ``round_mode`` where BVLC has no field.

Otherwise BVLC's numbers hold. The rare window that is sound in both ways in a file
without other signs (BVLC's kernel 1, stride 2 is Freiburg's pad 1, kernel 2) is read as
BVLC's; names, types and arrays of layers are the same under both.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from caffe.proto import caffe_pb2

# Freiburg's numbers, by message and field, where they are not the schema's.
NUMBERS = {
    "LayerParameter": {
        "create_deformation_param": 145,
        "apply_deformation_param": 146,
        "parameter_param": 147,
        "recurrent_param": 148,
        "swish_param": 153,
        "clip_param": 154,
    },
    "PoolingParameter": {
        "pad": 2,
        "kernel_size": 3,
        "stride": 4,
        "pad_h": 5,
        "pad_w": 6,
        "kernel_h": 7,
        "kernel_w": 8,
        "stride_h": 9,
        "stride_w": 10,
        "axis": 13,
        "round_mode": 14,
    },
}

_MOVED = {
    "CreateDeformation": "create_deformation_param",
    "ApplyDeformation": "apply_deformation_param",
    "Parameter": "parameter_param",
    "RNN": "recurrent_param",
    "LSTM": "recurrent_param",
    "Swish": "swish_param",
    "Clip": "clip_param",
}

_POOLING = ("Pooling", caffe_pb2.V1LayerParameter.POOLING)

_HOLDERS = frozenset({"NetParameter", "LayerParameter", "V1LayerParameter", *NUMBERS})


def parse_net(raw: bytes) -> Any:
    """Parse a binary net, whichever of the two builds wrote it.

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
        If the bytes are a net by neither build's numbers.
    """
    try:
        net = caffe_pb2.NetParameter.FromString(raw)
    except (DecodeError, UnicodeDecodeError):
        other = _freiburg_net().FromString(raw)
        if not any(map(_has_moved, other.layer)):
            raise
        return _translate(other, caffe_pb2.NetParameter())
    layers = [*net.layer, *net.layers]
    if not any(map(_is_doubtful, layers)):
        return net
    other = _freiburg_net().FromString(raw)
    if not any(map(_is_freiburg, layers, [*other.layer, *other.layers])):
        return net
    return _translate(other, caffe_pb2.NetParameter())


@cache
def _freiburg_net() -> Any:
    """Return the class of a NetParameter with Freiburg's numbers."""
    schema = descriptor_pb2.FileDescriptorProto()
    caffe_pb2.DESCRIPTOR.CopyToProto(schema)
    for message in schema.message_type:
        for field in message.field:
            numbers = NUMBERS.get(message.name, {})
            field.number = numbers.get(field.name, field.number)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(schema.SerializeToString())
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName("caffe.NetParameter")
    )


def _is_doubtful(layer: Any) -> bool:
    """Tell whether a layer, read by BVLC's numbers, may be Freiburg's."""
    if layer.type in _POOLING:
        return not _is_sound(layer.pooling_param) or _has_unknown(layer.pooling_param)
    return layer.type in _MOVED and not _has_moved(layer)


def _is_freiburg(layer: Any, other: Any) -> bool:
    """Tell whether a layer makes sense only as `other`, by Freiburg's numbers."""
    if layer.type not in _POOLING:
        return _has_moved(other) and not _has_moved(layer)
    pooling = other.pooling_param
    return _is_sound(pooling) and (
        pooling.HasField("round_mode") or not _is_sound(layer.pooling_param)
    )


def _has_moved(layer: Any) -> bool:
    return layer.type in _MOVED and layer.HasField(_MOVED[layer.type])


def _has_unknown(message: Any) -> bool:
    known = type(message)()
    known.CopyFrom(message)
    known.DiscardUnknownFields()
    return bool(known.ByteSize() != message.ByteSize())


def _is_sound(pooling: Any) -> bool:
    """Tell whether a Pooling layer's window is one that Caffe accepts."""
    by_pair = pooling.HasField("kernel_h") and pooling.HasField("kernel_w")
    has_kernel = bool(pooling.kernel_size) or by_pair
    if pooling.global_pooling:
        return not has_kernel
    if bool(pooling.kernel_size) == by_pair:
        return False
    kernel = list(pooling.kernel_size) or [pooling.kernel_h, pooling.kernel_w]
    pad = list(pooling.pad) or [pooling.pad_h, pooling.pad_w]
    stride = list(pooling.stride) + [
        getattr(pooling, name)
        for name in ("stride_h", "stride_w")
        if pooling.HasField(name)
    ]
    return min(kernel) > max(pad) and all(stride)


def _translate(source: Any, target: Any) -> Any:
    """Copy a message into the schema's message of the same name, field by field."""
    for field, value in source.ListFields():
        name = field.message_type.name if field.message_type else ""
        if not name:
            _set(target, field.name, value)
        elif isinstance(value, Message):
            _translate_part(name, value, getattr(target, field.name))
        else:
            for item in value:
                _translate_part(name, item, getattr(target, field.name).add())
    return target


def _translate_part(name: str, source: Any, target: Any) -> None:
    if name in _HOLDERS:
        target.SetInParent()
        _translate(source, target)
    else:
        target.MergeFromString(source.SerializePartialToString())


def _set(target: Any, name: str, value: Any) -> None:
    if isinstance(value, (str, bytes, int, float)):
        setattr(target, name, value)
    else:
        getattr(target, name).extend(value)
