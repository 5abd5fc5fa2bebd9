"""Layers that normalise by the neighbourhood or by statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.nn import functional

from caffe.engine.layer import Context, Operator, Shape, Tensors, register
from caffe.engine.layers.shared import text
from caffe.errors import CheckError


@register("LRN")
class LRNLayer(Operator):
    """Local response normalisation: divide by the energy around each element.

    Options (``lrn_param``)
        local_size : odd int, default 5. Channels, or pixels along Y and X.
        alpha : float, default 1.
        beta : float, default 0.75.
        k : float, default 1. Used across channels; within a channel it is always 1.
        norm_region : ACROSS_CHANNELS (default) or WITHIN_CHANNEL.

    Bottoms and tops
        (N, C, Y, X), ``x / (k + alpha / n * sum(x^2)) ** beta``, the sum over the n
        elements of the neighbourhood (``local_size`` channels, or its square of
        pixels), elements outside being 0.
    """

    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Check the size."""
        size = param.lrn_param.local_size
        if size % 2 == 0:
            raise CheckError(f"local_size is {size}: an odd number is accepted")

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of the bottom, which must have 4 axes."""
        (shape,) = bottom_shapes
        if len(shape) != 4:
            raise CheckError(
                f"bottom 0 {text(shape)} has {len(shape)} axes: "
                "4 (N, C, Y, X) are accepted"
            )
        return [shape]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Normalise."""
        (x,) = bottoms
        options = self.param.lrn_param
        size, alpha, beta = options.local_size, options.alpha, options.beta
        if options.norm_region == options.ACROSS_CHANNELS:
            return [functional.local_response_norm(x, size, alpha, beta, options.k)]
        energy = functional.avg_pool2d(x * x, size, 1, (size - 1) // 2)
        return [x * (1 + alpha * energy) ** -beta]
