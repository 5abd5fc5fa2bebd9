"""Layers that scale or shift along some axes, or along the channels."""

from __future__ import annotations

from caffe.engine.onnx.layer import Layer


def operand(layer: Layer) -> tuple[str, tuple[int, ...]]:
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
