"""Layers as pycaffe shows them."""

from __future__ import annotations

from typing import Any

from caffe.engine.node import Node


class LayerView:
    """A layer as pycaffe shows it: its type and its parameter blobs."""

    def __init__(self, node: Node) -> None:
        self.type = node.type
        self.blobs = node.blobs


def shown(node: Node) -> Any:
    """Layer as pycaffe shows it; a Python layer is the user's own object."""
    return LayerView(node) if node.op.shown is None else node.op.shown
