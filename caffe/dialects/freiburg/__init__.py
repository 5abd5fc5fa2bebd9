"""What Freiburg's caffe_unet added: random deformations and grey values, measures.

Its binary files have other numbers than BVLC's also for some fields that BVLC's Caffe
has. They are told by the layers whose options stand there under its number and not
under the schema's, and by Pooling layers whose window is sound by its numbers and
impossible by BVLC's (no kernel, a kernel given in two ways, a pad as large as the
kernel, a stride of 0), or that have a ``round_mode`` where BVLC has no field. The rare
window that is sound in both ways in a file without other signs (BVLC's kernel 1, stride
2 is Freiburg's pad 1, kernel 2) is read as BVLC's; names, types and arrays of layers
are the same under both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from caffe.dialects import Dialect


class _Freiburg(Dialect):
    def may_have_written(self, layer: Any) -> bool:
        if _is_pooling(layer):
            pooling = layer.pooling_param
            return not _is_sound(pooling) or _has_unknown(pooling)
        return super().may_have_written(layer)

    def has_written(self, layer: Any, own: Any) -> bool:
        if not _is_pooling(layer):
            return super().has_written(layer, own)
        pooling = own.pooling_param
        return _is_sound(pooling) and (
            pooling.HasField("round_mode") or not _is_sound(layer.pooling_param)
        )


dialect = _Freiburg(
    name="freiburg",
    fields=Path(__file__).with_name("fields.proto"),
    layers="caffe.dialects.freiburg.layers",
    options={"RNN": "recurrent_param", "LSTM": "recurrent_param"},
    offset=1000,
)


def _is_pooling(layer: Any) -> bool:
    """Tell a Pooling layer, of today's form or V1."""
    return layer.type in ("Pooling", getattr(layer, "POOLING", None))


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
