"""The layer types of nets for faces; importing the package enters them all."""

from caffe.dialects.faces.layers import losses, margins, norms

__all__ = ["losses", "margins", "norms"]
