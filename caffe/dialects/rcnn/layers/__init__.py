"""The layer types of Faster R-CNN and its kin; importing the package enters them."""

from caffe.dialects.rcnn.layers import losses, mining, proposal, regions

__all__ = ["losses", "mining", "proposal", "regions"]
