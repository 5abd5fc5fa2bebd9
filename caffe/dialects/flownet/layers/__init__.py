"""The layer types of FlowNet 2; importing the package enters them all."""

from caffe.dialects.flownet.layers import comparison, sampling

__all__ = ["comparison", "sampling"]
