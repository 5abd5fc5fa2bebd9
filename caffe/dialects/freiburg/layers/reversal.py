"""Freiburg's layer that turns gradients round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from caffe.engine.catalogue import register
from caffe.engine.layer import Array, Context, Tensors
from caffe.engine.layers.neuron import NeuronLayer
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.proto import caffe_pb2


@register("GradientReversal")
class GradientReversalLayer(NeuronLayer):
    """Pass the bottom unchanged, and its gradient times -1."""

    capturable = True
    # the top is the memory of the bottom: nobody may write into it
    backward_needs_top = True

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Pass."""
        return [_Reverse.apply(bottoms[0])]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give the bottom: only the gradient is another one."""
        return [layer.bottom]

    def torch_expression(self, x: str) -> str:
        """Write the top."""
        return x

    def to_bvlc(self, layer: TorchLayer) -> Iterator[tuple[Any, Sequence[Array]]]:
        """Say that the top is the bottom: only the gradient is another one."""
        message = caffe_pb2.LayerParameter(name=layer.name, type="Split")
        message.bottom[:], message.top[:] = layer.bottoms, layer.tops
        yield message, ()


class _Reverse(torch.autograd.Function):
    """The identity with a gradient that is not its own, as the layer is defined."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return -grad
