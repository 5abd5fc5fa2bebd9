"""Nets of prototxt/ made small: narrow copies, and counts without making weights."""

from __future__ import annotations

import math
from pathlib import Path

import h5py
import numpy as np

from caffe.proto import caffe_pb2

WITH_WEIGHTS = ("Convolution", "Deconvolution")


def narrow(net: caffe_pb2.NetParameter, factor: int) -> caffe_pb2.NetParameter:
    """Divide the outputs of every layer with weights, but for the scores."""
    for layer in net.layer:
        if layer.type in WITH_WEIGHTS and "score" not in layer.top:
            layer.convolution_param.num_output //= factor
    return net


def set_tile(net: caffe_pb2.NetParameter, tile: tuple[int, ...]) -> None:
    """Let CreateDeformation make tiles of this shape, (z)yx."""
    for layer in net.layer:
        if layer.HasField("create_deformation_param"):
            for axis, extent in zip(("nx", "ny", "nz"), reversed(tile), strict=False):
                setattr(layer.create_deformation_param, axis, extent)


def parameters(net: caffe_pb2.NetParameter, channels: int, axes: int) -> int:
    """Count weights and biases from the prototxt alone."""
    known = {"data": channels}
    total = 0
    for layer in net.layer:
        if layer.type == "Input":
            continue
        inputs = [known[name] for name in layer.bottom]
        outputs = sum(inputs) if layer.type == "Concat" else inputs[0]
        if layer.type in WITH_WEIGHTS:
            param = layer.convolution_param
            kernel = list(param.kernel_size)
            kernel *= axes if len(kernel) == 1 else 1
            outputs = param.num_output
            total += inputs[0] * outputs * math.prod(kernel) + outputs
        known.update(dict.fromkeys(layer.top, outputs))
    return total


def write_images(path: Path, shape: tuple[int, ...], labels: tuple[int, ...]) -> None:
    """Write two random images and every dataset that a net of prototxt/ asks for.

    ``shape`` is that of the image, ``labels`` that of labels and weights, (z)yx.
    """
    rng = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        file["data"] = rng.random((2, 1, *shape), np.float32)
        file["label"] = rng.integers(0, 2, (2, 1, *labels))
        file["weights"] = rng.random((2, 1, *labels), np.float32) + 0.5
        file["labels"], file["weights2"] = file["label"], file["weights"]
