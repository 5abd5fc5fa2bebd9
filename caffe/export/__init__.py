"""Caffe's nets in the formats of other programs, one function a format.

Functions are found when they are first used: each needs packages of its own.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "NoCounterpartError": "caffe.errors",
    "build_module": "caffe.export.module",
    "fill": "caffe.export.weights",
    "module_source": "caffe.export.module",
    "read_safetensors": "caffe.export.safetensors",
    "read_state_dict": "caffe.export.weights",
    "state_dict": "caffe.export.weights",
    "to_onnx": "caffe.export.onnx",
    "today": "caffe.export.caffemodel",
    "write_caffe": "caffe.export.caffemodel",
    "write_module": "caffe.export.module",
    "write_safetensors": "caffe.export.safetensors",
    "write_state_dict": "caffe.export.weights",
    "write_torchscript": "caffe.export.torchscript",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'caffe.export' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
