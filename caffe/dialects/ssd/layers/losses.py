"""SSD's loss of two blobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.nn import functional

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Shape, Tensors
from caffe.engine.layers.shared import LossLayer, as_floats, check_equal_shapes


@register("SmoothL1Loss")
class SmoothL1LossLayer(LossLayer):
    """Sum of ``d^2 / 2`` of small differences and ``|d| - 1/2`` of others.

    Bottoms
        0, 1 : (N, ...), of one shape. Differences below 1 are small.

    Tops
        0 : (), the sum over N.

    Faster R-CNN's layer of this name has a sigma or four bottoms.
    """

    capturable = True
    usual = True
    differentiable_bottoms = (0, 1)

    @classmethod
    def claims(cls, param: Any, blobs: int | None) -> bool | None:
        """Refuse four bottoms; options are the other form's."""
        return None if len(param.bottom) in (0, 2) else False

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number."""
        tops = super().shapes(bottom_shapes)
        check_equal_shapes(bottom_shapes)
        return tops

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Add up."""
        x, target = (as_floats(bottom) for bottom in bottoms)
        return [functional.smooth_l1_loss(x, target, reduction="sum") / len(x)]
