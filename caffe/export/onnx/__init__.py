"""Caffe's nets as ONNX models."""

from caffe.export.onnx.files import to_onnx
from caffe.export.onnx.translation import Translation, check_layers, translate

__all__ = ["Translation", "check_layers", "to_onnx", "translate"]
