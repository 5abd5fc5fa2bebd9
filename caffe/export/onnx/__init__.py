"""Caffe's nets as ONNX models: what every layer is, one module a family of layers."""

from caffe.export.onnx import (
    common,
    convolution,
    data,
    neuron,
    normalization,
    pooling,
    recurrent,
    reduction,
    scale,
    shape,
    utility,
)
from caffe.export.onnx.files import to_onnx
from caffe.export.onnx.translation import Translation, check_layers, translate

__all__ = [
    "Translation",
    "check_layers",
    "common",
    "convolution",
    "data",
    "neuron",
    "normalization",
    "pooling",
    "recurrent",
    "reduction",
    "scale",
    "shape",
    "to_onnx",
    "translate",
    "utility",
]
