"""A net in plain Caffe: a ``.prototxt`` and a ``.caffemodel`` that others can read.

Both are in today's syntax, without rules and layers of phase TRAIN. What only
Freiburg's caffe_unet knows is said in BVLC's words: a ValueTransformation becomes a
Power or Scale layer, a GradientReversal a Split, a Concat that cuts gets Crop layers
before it. OpenCV 4.12 reads these files (`cv2.dnn.readNetFromCaffe`), but for nets
of three spatial axes: its windows have two.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe.engine import atomic
from caffe.export.layers import Layer, describe
from caffe.proto import blobs, caffe_pb2
from caffe.proto.text import to_text

_WithBlobs = tuple[Any, tuple[NDArray[np.float32], ...]]


def write_caffe(
    net: Any, prototxt: str | os.PathLike[str], caffemodel: str | os.PathLike[str]
) -> None:
    """Write a net and its weights.

    Parameters
    ----------
    net : caffe.Net
        In phase TEST.
    prototxt, caffemodel : path
        The files to write.

    Raises
    ------
    FileError
        One cannot be written.
    """
    plain = caffe_pb2.NetParameter(name=net.name)
    for layer in _plain_layers(net):
        plain.layer.add().CopyFrom(layer)
    weights = plain.SerializeToString()
    for layer in plain.layer:
        layer.ClearField("blobs")
    atomic.write_bytes(caffemodel, weights)
    atomic.write_bytes(prototxt, to_text(plain).encode())


def today(net: Any) -> Any:
    """Give the text of the net in today's syntax.

    Parameters
    ----------
    net : caffe.Net

    Returns
    -------
    NetParameter
        Without weights.
    """
    found = caffe_pb2.NetParameter(name=net.name)
    for layer in describe(net).layers:
        found.layer.add().CopyFrom(_message(layer))
    return found


def _plain_layers(net: Any) -> Iterator[Any]:
    for layer in describe(net).layers:
        rewrite = _REWRITTEN.get(layer.type, _as_it_is)
        for message, arrays in rewrite(layer):
            for array in arrays:
                message.blobs.add().CopyFrom(blobs.to_proto(array))
            yield message


def _message(layer: Layer) -> Any:
    """Give the options of a layer, without rules and numbers."""
    message = caffe_pb2.LayerParameter()
    message.CopyFrom(layer.param)
    for field in ("include", "exclude", "blobs", "phase"):
        message.ClearField(field)
    message.bottom[:] = layer.bottoms
    message.top[:] = layer.tops
    return message


def _as_it_is(layer: Layer) -> Iterator[_WithBlobs]:
    yield _message(layer), layer.blobs


def _value_transformation(layer: Layer) -> Iterator[_WithBlobs]:
    """``scale * (x + offset)``, by one number or by one a channel."""
    options = layer.param.value_transformation_param
    offset = np.array(list(options.offset.v) or [0], np.float32)
    scale = np.array(list(options.scale.v) or [1], np.float32)
    message = caffe_pb2.LayerParameter(name=layer.name)
    message.bottom[:], message.top[:] = layer.bottoms, layer.tops
    if offset.size == scale.size == 1:
        message.type = "Power"
        message.power_param.scale = scale[0]
        message.power_param.shift = scale[0] * offset[0]
        yield message, ()
        return
    message.type = "Scale"
    message.scale_param.bias_term = True
    channels = layer.shapes[0][1]
    scale = np.broadcast_to(scale, channels)
    yield message, (scale.copy(), scale * offset)


def _identity(layer: Layer) -> Iterator[_WithBlobs]:
    message = caffe_pb2.LayerParameter(name=layer.name, type="Split")
    message.bottom[:], message.top[:] = layer.bottoms, layer.tops
    yield message, ()


def _concat(layer: Layer) -> Iterator[_WithBlobs]:
    """Cut larger bottoms to their centre by layers of their own."""
    message = _message(layer)
    options = layer.param.concat_param
    axis = layer.axis(
        options.concat_dim if options.HasField("concat_dim") else options.axis
    )
    first = layer.shapes[0]
    for index, shape in enumerate(layer.shapes[1:], 1):
        offsets = [(a - b) // 2 for a, b in zip(shape, first, strict=True)]
        offsets[axis] = 0
        cut = [i for i, o in enumerate(offsets) if o]
        if not cut:
            continue
        crop = caffe_pb2.LayerParameter(name=f"{layer.name}_crop{index}", type="Crop")
        crop.bottom[:] = layer.bottoms[index], layer.bottoms[0]
        crop.top[:] = [crop.name]
        start = cut[0]
        if axis >= start:
            raise layer.refuse(
                "Caffe", f"Crop would cut the axis {axis} that is joined"
            )
        crop.crop_param.axis = start
        crop.crop_param.offset[:] = offsets[start:]
        message.bottom[index] = crop.name
        yield crop, ()
    yield message, ()


_REWRITTEN: dict[str, Callable[[Layer], Iterator[_WithBlobs]]] = {
    "Concat": _concat,
    "GradientReversal": _identity,
    "ValueTransformation": _value_transformation,
}
