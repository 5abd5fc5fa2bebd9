"""Layers that scale or shift along some axes, or along the channels."""

from __future__ import annotations

import numpy as np

from caffe.export.onnx.graph import Value
from caffe.export.onnx.layer import Layer, translates


@translates("Bias")
def bias(layer: Layer) -> list[Value]:
    """Give Add."""
    operand, _ = _operand(layer)
    return [layer.top(layer.add("Add", layer.bottom, operand))]


@translates("Scale")
def scale(layer: Layer) -> list[Value]:
    """Give Mul, and Add of the bias."""
    operand, shape = _operand(layer)
    name = layer.add("Mul", layer.bottom, operand)
    if layer.param.scale_param.bias_term:
        name = layer.add("Add", name, layer.blob(len(layer.blobs) - 1, shape))
    return [layer.top(name)]


def _operand(layer: Layer) -> tuple[str, tuple[int, ...]]:
    """Operand with axes behind it that let it broadcast, and its shape."""
    x = layer.bottom
    second = layer.bottoms[1] if len(layer.bottoms) == 2 else None
    shape = tuple(layer.blobs[0].shape) if second is None else second.shape
    axis = layer.op._axis(x.shape, shape)
    behind = len(x.shape) - axis - len(shape)
    aligned = (*shape, *[1] * behind)
    if second is None:
        return layer.blob(0, aligned), aligned
    axes = range(len(shape), len(shape) + behind)
    return layer.unsqueezed(second, axes), aligned


@translates("PReLU")
def prelu(layer: Layer) -> list[Value]:
    """Give PRelu."""
    behind = len(layer.bottom.shape) - 2
    shape = () if layer.op.shared else (-1, *[1] * behind)
    slope = layer.values(0).reshape(shape)
    return [layer.top(layer.add("PRelu", layer.bottom, layer.floats(slope, "slope")))]


@translates("ValueTransformation")
def value_transformation(layer: Layer) -> list[Value]:
    """Give Add, then Mul."""
    shape = (-1, *[1] * (len(layer.bottom.shape) - 2))
    offset = np.reshape(layer.op.offset, shape)
    factor = np.reshape(layer.op.scale, shape)
    shifted = layer.add("Add", layer.bottom, layer.floats(offset, "offset"))
    return [layer.top(layer.add("Mul", shifted, layer.floats(factor, "scale")))]
