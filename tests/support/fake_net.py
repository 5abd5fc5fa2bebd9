"""Small nets with weights drawn at random, that count how often they run."""

from __future__ import annotations

import math

import numpy as np

import caffe
from caffe.proto import caffe_pb2


def layer(kind, bottoms, top, kernel=1, stride=1, pad=0, *, axes=2):
    """Describe one layer with the same window on every axis."""

    def every(value):
        return value if isinstance(value, tuple) else (value,) * axes

    message = caffe_pb2.LayerParameter(name=top, type=kind, bottom=bottoms, top=[top])
    window = {"kernel_size": every(kernel), "stride": every(stride), "pad": every(pad)}
    if kind == "Pooling":
        message.pooling_param.MergeFrom(caffe_pb2.PoolingParameter(**window))
    elif kind in ("Convolution", "Deconvolution"):
        options = caffe_pb2.ConvolutionParameter(**window, bias_term=False)
        message.convolution_param.MergeFrom(options)
    return message


class FakeNet(caffe.Net):
    """A net of described layers; `forwards` counts its forward passes."""

    def __init__(self, layers, source, shape, weights):
        proto = caffe_pb2.NetParameter(layer=layers)
        for each in proto.layer:
            if each.name in weights:
                rows = 1 if each.type == "Deconvolution" else 0
                number = weights[each.name].shape[rows]
                each.convolution_param.num_output = number
        data = caffe_pb2.LayerParameter(name=source, type="Input", top=[source])
        data.input_param.shape.add(dim=shape)
        proto.layer.insert(0, data)
        super().__init__(proto, caffe.TEST)
        for name, value in weights.items():
            self.params[name][0].data[...] = value
        self.forwards = 0

    def forward(self, *args, **kwargs):
        self.forwards += 1
        return super().forward(*args, **kwargs)


def axes_of(layers, axes=2):
    """Tile sizes of described layers."""
    net = caffe_pb2.NetParameter(layer=layers)
    return caffe.geometry(net, "data", "score", axes=axes).axes


def unet(
    levels=2, *, kernel=3, pad=0, axes=2, pool=2, up=None, repeat=1, seed=0, channels=2
):
    """A small U-Net: its layers and its weights, drawn at random.

    Parameters
    ----------
    levels : int
        Number of poolings.
    kernel, pad, pool : int or tuple
        Windows of the convolutions and poolings.
    up : int, optional
        Kernel of the up-convolutions; default: that of the pooling.
    repeat : int
        Convolutions a block.
    """
    rng = np.random.default_rng(seed)
    net, weights = [], {}

    def add(kind, bottoms, top, sizes=None, **window):
        net.append(layer(kind, bottoms, top, axes=axes, **window))
        if sizes:
            kernel = net[-1].convolution_param.kernel_size
            shape = (*sizes, *kernel)
            scale = math.sqrt(2 / (sizes[1] * math.prod(kernel)))
            weights[top] = rng.normal(0, scale, shape).astype(np.float32)

    def block(blob, name, depth):
        for number in range(repeat):
            top = f"{name}_{number}"
            add("Convolution", [blob], top, (channels, depth), kernel=kernel, pad=pad)
            add("ReLU", [top], f"{top}_relu")
            blob, depth = f"{top}_relu", channels
        return blob

    blob, depth, skips = "data", 1, []
    for level in range(levels):
        blob = block(blob, f"down{level}", depth)
        skips.append(blob)
        depth = channels
        add("Pooling", [blob], f"pool{level}", kernel=pool, stride=pool)
        blob = f"pool{level}"
    blob = block(blob, "bottom", depth)
    for level in reversed(range(levels)):
        extra = 0 if up is None else (up - pool) // 2
        add(
            "Deconvolution",
            [blob],
            f"up{level}",
            (channels, channels),
            kernel=pool if up is None else up,
            stride=pool,
            pad=extra,
        )
        add("Concat", [f"up{level}", skips[level]], f"both{level}")
        blob = block(f"both{level}", f"merge{level}", 2 * channels)
    add("Convolution", [blob], "score", (3, channels))
    return net, weights
