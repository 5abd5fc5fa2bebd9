"""The layer types of PSPNet and DeepLab; importing the package enters them all."""

from caffe.dialects.pspnet.layers import data, metrics, normalization, output, sizes

__all__ = ["data", "metrics", "normalization", "output", "sizes"]
