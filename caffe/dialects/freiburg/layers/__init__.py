"""Freiburg's layer types; importing the package enters them all."""

from caffe.dialects.freiburg.layers import (
    augmentation,
    deformation,
    metrics,
    reversal,
    values,
)

__all__ = ["augmentation", "deformation", "metrics", "reversal", "values"]
