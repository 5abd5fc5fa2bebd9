"""Layers with weights that are no windows, and fixed scalings of channels."""

from __future__ import annotations

from caffe.engine.torch_code import parts
from caffe.engine.torch_code.code import Code
from caffe.engine.torch_code.layer import Layer


def bias_module(layer: Layer, code: Code) -> str:
    """Add a module that adds the last blob; give what calls it."""
    shape = layer.blobs[-1].shape
    part = code.part(parts.Bias)
    return code.module(layer, f"{part}({shape}, {behind(layer, len(shape))})")


def aligned(layer: Layer, operand: str) -> str:
    """Let bottom 1 broadcast against bottom 0."""
    axes = len(layer.shapes[1])
    count = behind(layer, axes)
    return f"{operand}[(..., {'None, ' * count})]" if count and axes else operand


def behind(layer: Layer, axes: int) -> int:
    """Count the axes of bottom 0 behind those of an operand."""
    if not axes:
        return 0
    options = layer.op.options
    return len(layer.shapes[0]) - layer.axis(options.axis) - axes
