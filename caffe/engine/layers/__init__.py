"""The layer types, one file a family; importing the package enters them all.

A new layer is a class in its family's file; a new family is a file and a name here.
"""

from caffe.engine.layers import (
    common,
    convolution,
    data,
    database,
    loss,
    metrics,
    neuron,
    normalization,
    output,
    pooling,
    python,
    recurrent,
    reduction,
    reshaping,
    scale,
    shape,
    softmax_loss,
    utility,
)

__all__ = [
    "common",
    "convolution",
    "data",
    "database",
    "loss",
    "metrics",
    "neuron",
    "normalization",
    "output",
    "pooling",
    "python",
    "recurrent",
    "reduction",
    "reshaping",
    "scale",
    "shape",
    "softmax_loss",
    "utility",
]
