"""Layers that measure vectors and how far images are apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.layers.shared import as_floats, check_equal_shapes, text
from caffe.errors import CheckError

_TINY = 1e-9


@register("ChannelNorm")
class ChannelNormLayer(Operator):
    """L2 norm over the channels (FlowNet 2).

    Bottoms and tops
        (N, C, Y, X) to (N, 1, Y, X). The gradient divides by the norm and 1e-9.
    """

    pointwise = True
    capturable = True

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """One channel."""
        (shape,) = bottom_shapes
        if len(shape) < 2:
            raise CheckError(f"bottom 0 is {text(shape)}: expected 2 axes or more")
        return [(shape[0], 1, *shape[2:])]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Take the norm."""
        return [_Norm.apply(bottoms[0])]


class _Norm(torch.autograd.Function):
    """Norm over axis 1, whose gradient is 0 at 0."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        norm = x.square().sum(1, keepdim=True).sqrt()
        ctx.save_for_backward(x, norm)
        return norm

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        x, norm = ctx.saved_tensors
        return torch.mul(x, grads[0] / (norm + _TINY))


@register("Correlation")
class CorrelationLayer(Operator):
    """How alike patches of two images are (FlowNet; unproven: the fork needs a GPU).

    Options (``correlation_param``)
        kernel_size : int, odd. Of the patches.
        max_displacement : int. ``stride_2`` : default 1. Displacements go in steps of
            stride_2 up to max_displacement.
        pad : int, default 0. Zeros around both images. ``stride_1`` : default 1, of
            the places of the top.
        correlation_type : MULTIPLY (default), mean of products; SUBTRACT, mean of
            magnitudes of differences.

    Bottoms
        0, 1 : (N, C, Y, X)

    Tops
        0 : (N, D * D, ...), D = 2 (max_displacement / stride_2) + 1, displacements in
            y slower than those in x.
    """

    bottoms = (2, 2)
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Read the options."""
        self.options = options = param.correlation_param
        for name in ("kernel_size", "max_displacement"):
            if not options.HasField(name):
                raise CheckError(f"no {name} is given: expected a number")
        if options.kernel_size % 2 == 0:
            raise CheckError(
                f"kernel_size is {options.kernel_size}: expected an odd number"
            )
        if not (options.stride_1 and options.stride_2):
            raise CheckError("stride_1 or stride_2 is 0: expected numbers above 0")
        if options.single_direction:
            raise CheckError(
                f"single_direction is {options.single_direction}: expected 0"
            )
        steps = options.max_displacement // options.stride_2
        self.shifts = [step * options.stride_2 for step in range(-steps, steps + 1)]

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a channel for each displacement."""
        check_equal_shapes(bottom_shapes)
        options, shape = self.options, bottom_shapes[0]
        margin = 2 * options.max_displacement + options.kernel_size - 1
        if len(shape) != 4 or min(shape[2:]) + 2 * options.pad <= margin:
            raise CheckError(
                f"bottom 0 is {text(shape)}: expected 4 axes, and more than {margin} "
                f"pixels with pad {options.pad}"
            )
        sizes = (
            -(-(n + 2 * options.pad - margin) // options.stride_1) for n in shape[2:]
        )
        return [(shape[0], len(self.shifts) ** 2, *sizes)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Compare at every displacement, then take means of patches."""
        options = self.options
        most = options.max_displacement
        first, second = (functional.pad(x, [options.pad] * 4) for x in bottoms)
        height, width = (n - 2 * most for n in first.shape[2:])
        patch = first[:, :, most : most + height, most : most + width]
        found = []
        for down in self.shifts:
            for across in self.shifts:
                rows = slice(most + down, most + down + height)
                columns = slice(most + across, most + across + width)
                other = second[:, :, rows, columns]
                if options.correlation_type == options.SUBTRACT:
                    found.append((patch - other).abs().mean(1))
                else:
                    found.append((patch * other).mean(1))
        top = torch.stack(found, 1)
        return [functional.avg_pool2d(top, options.kernel_size, options.stride_1)]


@register("L1Loss")
class L1LossLayer(Operator):
    """Sum of magnitudes, divided by the number of samples (NVIDIA, FlowNet; unproven).

    Options (``l1_loss_param``, FlowNet's)
        l2_per_location : bool, default false. Of each pixel the root of the sum of
            squares over the channels and ``epsilon`` (default 0.01) counts.
        l2_prescale_by_channels : bool, default false. The mean of squares instead.
        normalize_by_num_entries : bool, default false. Divide by the number of pixels
            that count.
        plateau : 0; others are refused.

    Bottoms
        0 : (N, C, ...). 1 : optional, of the same shape, subtracted.

    Values that are no numbers, as FlowNet marks unknown flow, don't count.
    """

    bottoms = (1, 2)
    loss = True
    differentiable_bottoms = (0, 1)

    def setup(self, param: Any, context: Context) -> None:
        """Refuse what is not built."""
        self.options = param.l1_loss_param
        if self.options.plateau:
            raise CheckError(f"plateau is {self.options.plateau:g}: expected 0")

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number."""
        check_equal_shapes(bottom_shapes)
        if len(bottom_shapes[0]) < 2:
            raise CheckError(
                f"bottom 0 is {text(bottom_shapes[0])}: expected 2 axes or more"
            )
        return [()]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Subtract, measure, add."""
        options = self.options
        away = as_floats(bottoms[0])
        if len(bottoms) > 1:
            away = away - bottoms[1]
        known = ~away.isnan()
        away = away.where(known, 0)
        counted = known.float().mean(1).sum()
        if options.l2_per_location:
            squares = away.square()
            squares = (
                squares.mean(1) if options.l2_prescale_by_channels else (squares.sum(1))
            )
            distances = (squares + options.epsilon).sqrt().where(known.any(1), 0)
        else:
            distances = away.abs()
        divisor = counted if options.normalize_by_num_entries else len(away)
        return [distances.sum() / divisor]
