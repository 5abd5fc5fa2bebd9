"""SSD's layer types; importing the package enters them all."""

from caffe.dialects.ssd.layers import losses, normalization, priors, shape

__all__ = ["losses", "normalization", "priors", "shape"]
