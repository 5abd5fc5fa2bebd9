"""Element-wise sums and the like, softmax, and layers without mathematics."""

from __future__ import annotations

from functools import reduce as fold

from caffe.export.onnx.graph import Value
from caffe.export.onnx.layer import Layer, translates


@translates("Eltwise")
def eltwise(layer: Layer) -> list[Value]:
    """Give a chain of Add, Mul or Max."""
    options = layer.param.eltwise_param
    names = [x.name for x in layer.bottoms]
    if options.operation == options.SUM:
        factors = layer.op.coefficients or [1.0] * len(names)
        names = [
            layer.scaled(name, factor)
            for name, factor in zip(names, factors, strict=True)
        ]
    kind = {options.SUM: "Add", options.PROD: "Mul", options.MAX: "Max"}
    operator = kind[options.operation]
    return [layer.top(fold(lambda a, b: layer.add(operator, a, b), names))]


@translates("Softmax")
def softmax(layer: Layer) -> list[Value]:
    """Give Softmax."""
    axis = layer.param.softmax_param.axis
    return [layer.top(layer.add("Softmax", layer.bottom, axis=axis))]


@translates("Silence")
def silence(layer: Layer) -> list[Value]:
    """Give nothing."""
    return []


@translates("Parameter")
def parameter(layer: Layer) -> list[Value]:
    """Give the blob as a constant."""
    return [layer.top(layer.blob(0), (None,) * len(layer.top_shapes[0]))]
