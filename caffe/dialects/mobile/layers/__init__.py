"""The layer types of nets for telephones; importing the package enters them all."""

from caffe.dialects.mobile.layers import channels, convolution, neuron

__all__ = ["channels", "convolution", "neuron"]
