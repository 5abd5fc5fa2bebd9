"""Convolution, its transpose, and the matrix of its windows."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from caffe.export.onnx.graph import Value
from caffe.export.onnx.layer import Layer, translates


def _options(window: Any, group: int) -> dict[str, Any]:
    return {
        "kernel_shape": list(window.kernel),
        "strides": list(window.stride),
        "pads": list(window.pad) * 2,
        "dilations": list(window.dilation),
        "group": group,
    }


@translates("Convolution")
def convolution(layer: Layer) -> list[Value]:
    """Give Conv."""
    return _filter(layer, "Conv")


@translates("Deconvolution")
def deconvolution(layer: Layer) -> list[Value]:
    """Give ConvTranspose."""
    return _filter(layer, "ConvTranspose")


def _filter(layer: Layer, kind: str) -> list[Value]:
    window = layer.op.window(len(layer.bottom.shape))
    kernel = window.kernel or (1,)
    weights = [layer.blob(0, (*layer.blobs[0].shape[:2], *kernel))]
    weights += [layer.blob(i) for i in range(1, len(layer.blobs))]
    if window.kernel:
        options = _options(window, layer.op.group)
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


@translates("Im2col")
def im2col(layer: Layer) -> list[Value]:
    """Give a convolution with kernels that pick one element each."""
    x = layer.bottom
    window = layer.op._window(x.shape)
    axis = window.channel_axis
    count = prod(window.kernel)
    (channels,) = x.fixed([axis])
    picking = np.eye(count, dtype=np.float32).reshape(count, 1, *window.kernel)
    weights = layer.floats(np.tile(picking, (channels, *[1] * (picking.ndim - 1))))
    options = _options(window, channels)
    if axis == 1:
        return [layer.top(layer.add("Conv", x, weights, **options))]
    sizes = x.fixed()
    flat = layer.reshaped(x, (prod(sizes[:axis]), *sizes[axis:]))
    columns = layer.add("Conv", flat, weights, **options)
    return [layer.top(layer.reshaped(columns, layer.top_shapes[0]))]
