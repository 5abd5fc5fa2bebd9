"""The loss of edges, of which there are few."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch.nn import functional

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Shape, Tensors
from caffe.engine.layers.shared import LossLayer, as_floats, text
from caffe.errors import CheckError


@register("SigmoidCrossEntropyBalanceLoss")
class SigmoidCrossEntropyBalanceLossLayer(LossLayer):
    """Cross entropy in which both classes weigh the same (OSVOS, from HED; unproven).

    Bottoms
        0 : (N, ...), scores. 1 : as many labels, 1 and 0; others don't count.

    Tops
        0 : (), ``-b sum(log p) / N`` over labels 1, and ``-(1 - b) sum(log(1 - p)) /
            N`` over labels 0, where p is the sigmoid of the score, and b the part of
            labels 0 among both.
    """

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number."""
        tops = super().shapes(bottom_shapes)
        first, second = bottom_shapes
        if prod(first) != prod(second):
            raise CheckError(
                f"bottom 1 (labels) is {text(second)}: expected as many as bottom 0 "
                f"{text(first)} has numbers"
            )
        return tops

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Count both classes, and weigh each by the other."""
        scores = as_floats(bottoms[0])
        labels = bottoms[1].detach().reshape(scores.shape).to(scores.dtype)
        edges, rest = labels == 1, labels == 0
        counted = (edges.sum() + rest.sum()).clamp(min=1)
        weights = (edges * rest.sum() + rest * edges.sum()) / counted
        losses = functional.binary_cross_entropy_with_logits(
            scores, labels * edges, weights, reduction="sum"
        )
        return [losses / len(scores)]
