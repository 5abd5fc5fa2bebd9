"""SSD's layer types; importing the package enters them all."""

from caffe.dialects.ssd.layers import (
    detection,
    evaluation,
    losses,
    multibox,
    normalization,
    priors,
    shape,
)

__all__ = [
    "detection",
    "evaluation",
    "losses",
    "multibox",
    "normalization",
    "priors",
    "shape",
]
