"""Convolution, its transpose, and the matrix of its windows."""

from __future__ import annotations

from math import prod
from typing import Any

from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer


def window_options(window: Any, group: int) -> dict[str, Any]:
    """Give the window of a filter as ONNX's attributes."""
    return {
        "kernel_shape": list(window.kernel),
        "strides": list(window.stride),
        "pads": list(window.pad) * 2,
        "dilations": list(window.dilation),
        "group": group,
    }


def convolve(layer: Layer, kind: str) -> list[Value]:
    """Filter every bottom by ``Conv`` or ``ConvTranspose``."""
    window = layer.op.window(len(layer.bottom.shape))
    kernel = window.kernel or (1,)
    weights = [layer.blob(0, (*layer.blobs[0].shape[:2], *kernel))]
    weights += [layer.blob(1, bias.shape[-1:]) for bias in layer.blobs[1:]]
    if window.kernel:
        options = window_options(window, layer.op.group)
    else:
        options = {"kernel_shape": [1], "group": layer.op.group}
    tops = []
    for index, x in enumerate(layer.bottoms):
        axis = window.channel_axis
        if axis == 1 and window.kernel:
            name = layer.add(kind, x, *weights, **options)
            tops.append(layer.top(name, x.pattern, index))
            continue
        sizes = x.fixed()
        spatial = sizes[axis + 1 :] or (1,)
        flat = layer.reshaped(x, (prod(sizes[:axis]), sizes[axis], *spatial))
        name = layer.add(kind, flat, *weights, **options)
        tops.append(
            layer.top(layer.reshaped(name, layer.top_shapes[index]), index=index)
        )
    return tops
