"""The layer types of SegNet; importing the package enters them all."""

from caffe.dialects.segnet.layers import data, learning, normalization, upsampling

__all__ = ["data", "learning", "normalization", "upsampling"]
