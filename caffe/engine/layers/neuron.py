"""Layers that map each element by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from caffe.engine.layer import Context, Operator, Shape, Tensors, register


class NeuronLayer(Operator):
    """One bottom, one top of the same shape."""

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of the bottom."""
        return list(bottom_shapes)


@register("ReLU")
class ReLULayer(NeuronLayer):
    """Rectified linear unit: ``max(0, x) + negative_slope * min(0, x)``.

    Options (``relu_param``)
        negative_slope : float, default 0.

    The gradient at 0 is ``negative_slope``.
    """

    def setup(self, param: Any, context: Context) -> None:
        """Read the slope."""
        self.slope = float(param.relu_param.negative_slope)

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Rectify into new memory."""
        if self.slope == 0:
            return [functional.relu(bottoms[0])]
        return [functional.leaky_relu(bottoms[0], self.slope)]

    def forward_in_place(self, bottom: torch.Tensor, context: Context) -> torch.Tensor:
        """Rectify, and overwrite the bottom where the gradient allows it."""
        if self.slope == 0:
            return functional.relu_(bottom)
        # with a negative slope the sign of the top no longer tells that of the bottom
        return functional.leaky_relu(bottom, self.slope, inplace=self.slope > 0)
