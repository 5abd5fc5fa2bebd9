"""SSD's layer types; importing the package enters them all."""

from caffe.dialects.ssd.layers import (
    data,
    detection,
    evaluation,
    losses,
    multibox,
    normalization,
    priors,
    shape,
)

__all__ = [
    "data",
    "detection",
    "evaluation",
    "losses",
    "multibox",
    "normalization",
    "priors",
    "shape",
]
