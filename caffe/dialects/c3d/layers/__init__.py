"""The layer types of C3D; importing the package enters them all."""

from caffe.dialects.c3d.layers import convolution, pooling

__all__ = ["convolution", "pooling"]
