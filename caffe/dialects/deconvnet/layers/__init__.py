"""The layer types of DeconvNet; importing the package enters them all."""

from caffe.dialects.deconvnet.layers import normalization, unpooling

__all__ = ["normalization", "unpooling"]
