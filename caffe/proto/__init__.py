"""Caffe's files: the schema and what reads, upgrades and writes them. Loads no torch.

===============  ==============================================================
``caffe_pb2``    the messages (``caffe.proto``)
``text``         ``.prototxt`` text to message and back
``files``        nets, solvers and trained nets from files, upgraded
``upgrade``      nets and solvers of older Caffe versions to today's form
===============  ==============================================================
"""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    # not at once: caffe_pb2 imports the dialects, which say what they are by the
    # class that stands here
    if name != "caffe_pb2":
        raise AttributeError(f"module 'caffe.proto' has no attribute '{name}'")
    return import_module("caffe.proto.caffe_pb2")
