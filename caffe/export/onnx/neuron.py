"""Layers that map each element by itself."""

from __future__ import annotations

import numpy as np

from caffe.export.onnx.graph import Value
from caffe.export.onnx.layer import Layer, translates


@translates("ReLU")
def relu(layer: Layer) -> list[Value]:
    """Give Relu, or LeakyRelu with a slope."""
    if layer.op.slope == 0:
        return [layer.top(layer.add("Relu", layer.bottom))]
    return [layer.top(layer.add("LeakyRelu", layer.bottom, alpha=layer.op.slope))]


@translates("ELU")
def elu(layer: Layer) -> list[Value]:
    """Give Elu."""
    return [layer.top(layer.add("Elu", layer.bottom, alpha=layer.op.alpha))]


@translates("Sigmoid")
def sigmoid(layer: Layer) -> list[Value]:
    """Give Sigmoid."""
    return [layer.top(layer.add("Sigmoid", layer.bottom))]


@translates("TanH")
def tanh(layer: Layer) -> list[Value]:
    """Give Tanh."""
    return [layer.top(layer.add("Tanh", layer.bottom))]


@translates("Swish")
def swish(layer: Layer) -> list[Value]:
    """Multiply by a Sigmoid."""
    gate = layer.add("Sigmoid", layer.scaled(layer.bottom, layer.op.beta))
    return [layer.top(layer.add("Mul", layer.bottom, gate))]


@translates("BNLL")
def bnll(layer: Layer) -> list[Value]:
    """Give Softplus."""
    return [layer.top(layer.add("Softplus", layer.bottom))]


@translates("AbsVal")
def absval(layer: Layer) -> list[Value]:
    """Give Abs."""
    return [layer.top(layer.add("Abs", layer.bottom))]


@translates("Clip")
def clip(layer: Layer) -> list[Value]:
    """Give Clip."""
    low = layer.floats(layer.op.low, "min")
    high = layer.floats(layer.op.high, "max")
    return [layer.top(layer.add("Clip", layer.bottom, low, high))]


@translates("Threshold")
def threshold(layer: Layer) -> list[Value]:
    """Compare, and turn what is true into 1."""
    limit = layer.floats(layer.op.threshold, "threshold")
    above = layer.add("Greater", layer.bottom, limit)
    return [layer.top(layer.to_float(above))]


@translates("Exp")
def exp(layer: Layer) -> list[Value]:
    """Give Exp of the scaled bottom."""
    exponent = layer.scaled(layer.bottom, layer.op.scale, layer.op.shift)
    return [layer.top(layer.add("Exp", exponent))]


@translates("Log")
def log(layer: Layer) -> list[Value]:
    """Give Log of the scaled bottom, times a factor."""
    logarithm = layer.add(
        "Log", layer.scaled(layer.bottom, layer.op.scale, layer.op.shift)
    )
    return [layer.top(layer.scaled(logarithm, layer.op.factor))]


@translates("Power")
def power(layer: Layer) -> list[Value]:
    """Give Pow of the scaled bottom; a constant where that is all it is."""
    op = layer.op
    if op.power * op.scale == 0:
        value = np.power(np.float32(op.shift), np.float32(op.power))
        shape = layer.add("Shape", layer.bottom)
        return [layer.top(layer.add("Expand", layer.floats(value), shape))]
    name = layer.scaled(layer.bottom, op.scale, op.shift)
    if op.power != 1:
        name = layer.add("Pow", name, layer.floats(op.power, "power"))
    return [layer.top(name)]


@translates("GradientReversal")
def gradient_reversal(layer: Layer) -> list[Value]:
    """Give the bottom: only the gradient is another one."""
    return [layer.bottom]
