"""Losses of distances between vectors."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch.nn import functional

from caffe.engine.catalogue import register
from caffe.engine.layer import (
    Context,
    Operator,
    ParameterSpec,
    Shape,
    Tensors,
    canonical_axis,
)
from caffe.engine.layers.shared import (
    LossLayer,
    as_floats,
    as_labels,
    check_equal_shapes,
    check_labels,
    text,
)
from caffe.errors import CheckError


@register("CenterLoss")
class CenterLossLayer(Operator):
    """Distance of vectors from the centre of their class (ydwen/caffe-face).

    Options (``center_loss_param``)
        num_output : int. Classes.
        axis : int, default 1. From here on the bottom is one vector.
        center_filler : FillerParameter, default constant 0.

    Bottoms
        0 : (M, ...), vectors. 1 : M labels.

    Tops
        0 : (), ``0.5 / M * sum |x - c_label|^2``. It has no loss weight of its own.

    Blobs
        0 : (num_output, K), the centres.

    As in the fork the gradient of a centre is ``sum(c - x) / (1 + count)`` over the
    vectors of its class, whatever the weight of the loss.
    """

    bottoms = (2, 2)
    differentiable_bottoms = (0,)

    def setup(self, param: Any, context: Context) -> None:
        """Read the number of classes."""
        options = param.center_loss_param
        self.classes = int(options.num_output)
        if self.classes == 0:
            raise CheckError("num_output is 0: expected a number above 0")
        if options.distance_type != "L2":
            raise CheckError(
                f"distance_type is '{options.distance_type}': expected 'L2'"
            )

    def _split(self, shape: Shape) -> tuple[int, int]:
        axis = canonical_axis(self.param.center_loss_param.axis, len(shape))
        return prod(shape[:axis]), prod(shape[axis:])

    def parameters(self, bottom_shapes: Sequence[Shape]) -> list[ParameterSpec]:
        """Declare the centres."""
        _, size = self._split(bottom_shapes[0])
        filler = self.param.center_loss_param.center_filler
        return [ParameterSpec((self.classes, size), filler)]

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number."""
        count, _ = self._split(bottom_shapes[0])
        if prod(bottom_shapes[1]) != count:
            raise CheckError(
                f"bottom 1 (labels) is {text(bottom_shapes[1])}: expected {count}, one "
                "for each vector"
            )
        return [()]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Subtract centres, square, add."""
        labels = as_labels(bottoms[1]).reshape(-1)
        check_labels(labels, self.classes)
        vectors = as_floats(bottoms[0]).reshape(len(labels), -1)
        return [_CenterLoss.apply(vectors, params[0].to(vectors.dtype), labels)]


class _CenterLoss(torch.autograd.Function):
    """The loss; the gradient of the centres is not its derivative."""

    @staticmethod
    def forward(
        ctx: Any, vectors: torch.Tensor, centres: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        away = vectors - centres[labels]
        ctx.save_for_backward(away, labels)
        ctx.classes = len(centres)
        return away.square().sum() / (2 * len(away))

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        away, labels = ctx.saved_tensors
        counts = labels.bincount(minlength=ctx.classes)
        sums = away.new_zeros(ctx.classes, away.shape[1]).index_add(0, labels, away)
        return grads[0] / len(away) * away, -sums / (1 + counts)[:, None], None


@register("TripletLoss")
class TripletLossLayer(LossLayer):
    """An anchor is to be nearer to one vector than to another (happynear).

    Options (``triplet_loss_param``)
        margin : float, default 1. By how much nearer, in squared distances.

    Bottoms
        0, 1, 2 : (N, ...), anchors, vectors that are alike, vectors that are not.

    Tops
        0 : (), ``sum max(0, margin + |a - p|^2 - |a - n|^2) / (2 N)``
    """

    bottoms = (3, 3)
    differentiable_bottoms = (0, 1, 2)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number."""
        check_equal_shapes(bottom_shapes)
        return super().shapes(bottom_shapes)

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Compare distances."""
        anchor, alike, other = (as_floats(x).flatten(1) for x in bottoms)
        near = (anchor - alike).square().sum(1)
        far = (anchor - other).square().sum(1)
        hinge = functional.relu(self.param.triplet_loss_param.margin + near - far)
        return [hinge.sum() / (2 * len(anchor))]
