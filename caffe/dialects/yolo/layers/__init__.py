"""The layer types of YOLO; importing the package enters them all."""

from caffe.dialects.yolo.layers import grid, output, region, shape

__all__ = ["grid", "output", "region", "shape"]
