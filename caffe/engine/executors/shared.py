"""What both executors need."""

from __future__ import annotations

import torch

from caffe.engine.blob import channels_last
from caffe.engine.node import Node


def is_input(node: Node) -> bool:
    """Tell layers whose tops the user fills, not a forward."""
    return node.type == "Input"


def layout(value: torch.Tensor) -> torch.Tensor:
    """Channels last, the layout in which convolutions are fastest."""
    value = channels_last(value)
    # with one channel both layouts are one memory, but torch goes by the strides
    if value.dim() in (4, 5) and value.shape[1] == 1:
        strides = list(value.stride())
        strides[1] = 1
        value = value.as_strided(value.shape, strides)
    return value


def weighted_loss(node: Node, tops: list[torch.Tensor]) -> torch.Tensor | float:
    """Sum of the tops that are losses, each times its weight."""
    pairs = zip(node.loss_weights, tops, strict=True)
    return sum((w * t.sum() for w, t in pairs if w), start=0.0)
