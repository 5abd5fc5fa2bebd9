"""A net in plain Caffe: a ``.prototxt`` and a ``.caffemodel`` that others can read.

Both are in today's syntax, without rules and layers of phase TRAIN. What only
Freiburg's caffe_unet knows is said in BVLC's words: a ValueTransformation becomes a
Power or Scale layer, a GradientReversal a Split, a Concat that cuts gets Crop layers
before it. OpenCV 4.12 reads these files (`cv2.dnn.readNetFromCaffe`), but for nets
of three spatial axes: its windows have two.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from caffe import atomic
from caffe.export.layers import describe
from caffe.proto import blobs, caffe_pb2
from caffe.proto.text import to_text


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
        found.layer.add().CopyFrom(layer.message())
    return found


def _plain_layers(net: Any) -> Iterator[Any]:
    for layer in describe(net).layers:
        for message, arrays in layer.op.to_bvlc(layer):
            for array in arrays:
                message.blobs.add().CopyFrom(blobs.to_proto(array))
            yield message
