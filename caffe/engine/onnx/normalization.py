"""Layers that normalise by the neighbourhood or by statistics."""

from __future__ import annotations

from collections.abc import Sequence

from caffe.engine.onnx.layer import Layer


def standardised(layer: Layer, axes: Sequence[int], *, eps: float, inside: bool) -> str:
    """Give mean 0, variance 1; eps is added to the variance, or to its root."""
    x = layer.bottom
    centred = layer.add("Sub", x, layer.reduce("ReduceMean", x, axes))
    squares = layer.add("Mul", centred, centred)
    scale = layer.reduce("ReduceMean", squares, axes)
    if inside:
        scale = layer.add("Sqrt", layer.scaled(scale, 1, eps))
    else:
        scale = layer.scaled(layer.add("Sqrt", scale), 1, eps)
    return layer.add("Div", centred, scale)
