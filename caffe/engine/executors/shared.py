"""What both executors need."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.engine.blob import channels_last
from caffe.engine.layer import Half, Operator
from caffe.engine.node import Node


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


def half_layers(nodes: Sequence[Node]) -> set[int]:
    """Numbers of the layers that run on bfloat16 where that is asked for.

    A layer that computes does if a layer behind it can take what it makes: scores are
    computed in float32, from what was bfloat16 before. One that hands on does if it is
    given bfloat16.
    """
    wanted: set[str] = set()
    useful = set()
    for index in range(len(nodes) - 1, -1, -1):
        node = nodes[index]
        used = not wanted.isdisjoint(node.top)
        wanted.difference_update(set(node.top) - set(node.bottom))
        if used:
            useful.add(index)
        if node.op.half is Half.COMPUTES or (node.op.half is Half.PASSES and used):
            wanted.update(_data_bottoms(node))
        elif node.in_place():
            wanted.difference_update(node.top)
    found: set[int] = set()
    made: set[str] = set()
    for index, node in enumerate(nodes):
        given = not made.isdisjoint(_data_bottoms(node))
        passes = node.op.half is Half.PASSES and given
        if index in useful and (passes or node.op.half is Half.COMPUTES):
            found.add(index)
            made.update(node.top)
        else:
            made.difference_update(node.top)
    return found


def typed(
    op: Operator, bottoms: Sequence[torch.Tensor], *, half: bool
) -> list[torch.Tensor]:
    """Turn the bottoms that a layer computes with into the type it runs on."""
    if half:
        used = op.differentiable_bottoms
        return [
            b.to(torch.bfloat16) if used is None or i in used else b
            for i, b in enumerate(bottoms)
        ]
    return [b.float() if b.dtype is torch.bfloat16 else b for b in bottoms]


def _data_bottoms(node: Node) -> list[str]:
    used = node.op.differentiable_bottoms
    return [b for i, b in enumerate(node.bottom) if used is None or i in used]
