"""Layers that normalise by the neighbourhood or by statistics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caffe.export.onnx.graph import Value
from caffe.export.onnx.layer import Layer, translates


@translates("LRN")
def lrn(layer: Layer) -> list[Value]:
    """Give LRN across channels; within a channel an average of squares."""
    x = layer.bottom
    options = layer.param.lrn_param
    size, alpha, beta, k = options.local_size, options.alpha, options.beta, options.k
    if options.norm_region == options.ACROSS_CHANNELS:
        # OpenVINO's LRN takes any bias for 1: k is put before the brackets
        inside = k if k > 0 else 1.0
        name = layer.add(
            "LRN", x, size=size, alpha=alpha / inside, beta=beta, bias=k / inside
        )
        return [layer.top(layer.scaled(name, inside**-beta))]
    energy = layer.add(
        "AveragePool",
        layer.add("Mul", x, x),
        kernel_shape=[size, size],
        pads=[(size - 1) // 2] * 4,
        count_include_pad=1,
    )
    base = layer.scaled(energy, alpha, 1.0)
    factor = layer.add("Pow", base, layer.floats(-beta, "power"))
    return [layer.top(layer.add("Mul", x, factor))]


@translates("BatchNorm")
def batch_norm(layer: Layer) -> list[Value]:
    """Give BatchNormalization by the stored statistics, or the batch's own."""
    x = layer.bottom
    if not layer.op.stored:
        axes = [i for i in range(len(x.shape)) if i != 1]
        return [layer.top(_standardised(layer, axes, eps=layer.op.eps, inside=True))]
    mean, variance, weight = (layer.values(i).astype(np.float32) for i in range(3))
    factor = np.float32(0 if weight[0] == 0 else 1 / weight[0])
    mean, variance = mean * factor, variance * factor
    if len(x.shape) < 2:
        inverse = 1 / np.sqrt(variance[0] + layer.op.eps)
        centred = layer.add("Sub", x, layer.floats(mean[0], "mean"))
        return [layer.top(layer.add("Mul", centred, layer.floats(inverse, "scale")))]
    name = layer.add(
        "BatchNormalization",
        x,
        layer.floats(np.ones_like(mean), "scale"),
        layer.floats(np.zeros_like(mean), "shift"),
        layer.floats(mean, "mean"),
        layer.floats(variance, "variance"),
        epsilon=layer.op.eps,
    )
    return [layer.top(name)]


@translates("MVN")
def mvn(layer: Layer) -> list[Value]:
    """Subtract the mean; divide by the deviation."""
    options = layer.param.mvn_param
    x = layer.bottom
    wanted = (1, 2, 3) if options.across_channels else (2, 3)
    axes = [axis for axis in wanted if axis < len(x.shape)]
    if not axes:  # every mean is that of one value
        top = layer.add("Sub", x, x)
    elif options.normalize_variance:
        top = _standardised(layer, axes, eps=options.eps, inside=False)
    else:
        top = layer.add("Sub", x, layer.reduce("ReduceMean", x, axes))
    missing = range(len(x.shape), len(layer.top_shapes[0]))
    pattern = (*x.pattern, *[None] * len(missing))
    return [layer.top(layer.unsqueezed(top, missing), pattern)]


def _standardised(
    layer: Layer, axes: Sequence[int], *, eps: float, inside: bool
) -> str:
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
