"""A net in numpy with pycaffe's names, run straight from the layers of a prototxt.

It shares nothing with the code under test but the list of layers: every kernel is
placed by numpy, so what comes out is what Caffe computes.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pyunet.nets.layers import Layer


class FakeBlob:
    def __init__(self, shape):
        self.data = np.zeros(shape, np.float32)

    @property
    def shape(self):
        return self.data.shape

    def reshape(self, *shape):
        self.data = np.zeros(shape, np.float32)


def layer(kind, bottoms, top, kernel=1, stride=1, pad=0, *, axes=2, offset=None):
    """Describe one layer with the same window on every axis."""

    def every(value):
        return value if isinstance(value, tuple) else (value,) * axes

    return Layer(
        name=top,
        kind=kind,
        bottoms=tuple(bottoms),
        tops=(top,),
        kernel=every(kernel),
        stride=every(stride),
        pad=every(pad),
        dilation=(1,) * axes,
        offset=every(offset),
        cropped=(True,) * axes,
    )


class FakeNet:
    """Runs layers on one image; blobs are computed by `reshape` and `forward`."""

    def __init__(self, layers, source, output, shape, weights):
        self.inputs, self.outputs = [source], [output]
        self.layers_ = layers
        self.blobs = {source: FakeBlob(shape)}
        self.params = {name: [FakeBlob(w.shape)] for name, w in weights.items()}
        for name, value in weights.items():
            self.params[name][0].data[...] = value
        self.forwards = 0
        self.reshape()

    def reshape(self):
        for name, value in self._run().items():
            if name not in self.inputs:
                self.blobs[name] = FakeBlob(value.shape)

    def forward(self):
        self.forwards += 1
        values = self._run()
        return {name: values[name] for name in self.outputs}

    def _run(self):
        values = {name: self.blobs[name].data for name in self.inputs}
        for one in self.layers_:
            bottoms = [values[name] for name in one.bottoms]
            if one.kind in ("convolution", "deconvolution"):
                weight = self.params[one.name][0].data
                result = globals()[f"_{one.kind}"](one, bottoms[0], weight)
            else:
                result = globals()[f"_{one.kind}"](one, bottoms)
            values.update(dict.fromkeys(one.tops, result))
        return values


def _padded(one, bottom, value):
    return np.pad(
        bottom, [(0, 0), (0, 0), *((p, p) for p in one.pad)], constant_values=value
    )


def _windows(one, bottom):
    axes = tuple(range(2, bottom.ndim))
    windows = sliding_window_view(bottom, one.kernel, axis=axes)
    return windows[
        (slice(None), slice(None), *(slice(None, None, s) for s in one.stride))
    ]


def _convolution(one, bottom, weight):
    windows = _windows(one, _padded(one, bottom, 0.0))
    axes = len(one.kernel)
    kernel = list(range(-axes, 0))
    result = np.tensordot(windows, weight, ([1, *kernel], [1, *range(2, 2 + axes)]))
    return np.moveaxis(result, -1, 1)


def _pooling(one, bottoms):
    windows = _windows(one, _padded(one, bottoms[0], -np.inf))
    return windows.max(axis=tuple(range(-len(one.kernel), 0)))


def _deconvolution(one, bottom, weight):
    size = [
        s * (n - 1) + k
        for n, s, k in zip(bottom.shape[2:], one.stride, one.kernel, strict=True)
    ]
    result = np.zeros((len(bottom), weight.shape[1], *size), np.float32)
    for place in product(*map(range, one.kernel)):
        part = np.tensordot(bottom, weight[(..., *place)], ([1], [0]))
        at = tuple(
            slice(p, p + s * (n - 1) + 1, s)
            for p, s, n in zip(place, one.stride, bottom.shape[2:], strict=True)
        )
        result[(slice(None), slice(None), *at)] += np.moveaxis(part, -1, 1)
    inner = tuple(slice(p, n - p) for p, n in zip(one.pad, size, strict=True))
    return result[(slice(None), slice(None), *inner)]


def _crop(one, bottoms):
    source, like = bottoms
    at = []
    for offset, have, want in zip(
        one.offset, source.shape[2:], like.shape[2:], strict=True
    ):
        start = (have - want) // 2 if offset is None else offset
        at.append(slice(start, start + want))
    return source[(slice(None), slice(None), *at)]


def _concat(one, bottoms):
    cut = [_crop(one, (bottom, bottoms[0])) for bottom in bottoms]
    return np.concatenate(cut, axis=1)


def _relu(one, bottoms):
    return np.maximum(bottoms[0], 0)


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
            shape = (*sizes, *net[-1].kernel)
            scale = math.sqrt(2 / (sizes[1] * math.prod(net[-1].kernel)))
            weights[top] = rng.normal(0, scale, shape).astype(np.float32)

    def block(blob, name, depth):
        for number in range(repeat):
            top = f"{name}_{number}"
            add("convolution", [blob], top, (channels, depth), kernel=kernel, pad=pad)
            add("relu", [top], f"{top}_relu")
            blob, depth = f"{top}_relu", channels
        return blob

    blob, depth, skips = "data", 1, []
    for level in range(levels):
        blob = block(blob, f"down{level}", depth)
        skips.append(blob)
        depth = channels
        add("pooling", [blob], f"pool{level}", kernel=pool, stride=pool)
        blob = f"pool{level}"
    blob = block(blob, "bottom", depth)
    for level in reversed(range(levels)):
        extra = 0 if up is None else (up - pool) // 2
        add(
            "deconvolution",
            [blob],
            f"up{level}",
            (channels, channels),
            kernel=pool if up is None else up,
            stride=pool,
            pad=extra,
        )
        add("concat", [f"up{level}", skips[level]], f"both{level}")
        blob = block(f"both{level}", f"merge{level}", 2 * channels)
    add("convolution", [blob], "score", (3, channels))
    return net, weights
