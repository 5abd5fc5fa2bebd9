"""The rectifier that ends at 6."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn import functional

from caffe.engine.catalogue import register
from caffe.engine.layer import Array, Context, Half, Tensors
from caffe.engine.layers.neuron import NeuronLayer
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.torch_code.layer import Layer as TorchLayer

_END = 6


@register("ReLU6")
class ReLU6Layer(NeuronLayer):
    """Rectified linear unit with an end: ``min(max(0, x), 6)`` (chuanqi305, eric612).

    The gradient passes above 0 and below 6. ``relu6_param`` has no effect.
    """

    capturable = True
    half = Half.PASSES

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Rectify into new memory."""
        return [functional.hardtanh(bottoms[0], 0, _END)]

    def forward_in_place(
        self, bottom: torch.Tensor, params: Tensors, context: Context
    ) -> torch.Tensor:
        """Rectify, and overwrite the bottom."""
        return functional.hardtanh(bottom, 0, _END, inplace=True)

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Clip."""
        low, high = layer.floats(0, "min"), layer.floats(_END, "max")
        return [layer.top(layer.add("Clip", layer.bottom, low, high))]

    def torch_expression(self, x: str) -> str:
        """Write the top."""
        return f"F.relu6({x})"

    def to_bvlc(self, layer: TorchLayer) -> Iterator[tuple[Any, Sequence[Array]]]:
        """Call it Clip."""
        message = layer.message()
        message.type = "Clip"
        message.clip_param.min, message.clip_param.max = 0, _END
        message.ClearField("relu6_param")
        yield message, ()
