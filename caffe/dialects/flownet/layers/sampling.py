"""Layers that read images at other places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.layers.shared import text
from caffe.errors import CheckError

_CUBIC = -0.5


@register("FlowWarp")
class FlowWarpLayer(Operator):
    """Read an image where a flow points (FlowNet 2).

    Options (``flow_warp_param``)
        fill_value : ZERO (default) or NOT_A_NUMBER, for places outside.

    Bottoms
        0 : (N, C, Y, X), images. 1 : (N, 2, Y, X), flow in x and y, in pixels.

    Tops
        0 : (N, C, Y, X), bilinear, at (x + flow x, y + flow y).

    Places from 0 to below the size are inside: behind the last pixel it counts alone.
    """

    bottoms = (2, 2)
    capturable = True
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Read what stands for places outside."""
        options = param.flow_warp_param
        self.fill = 0.0 if options.fill_value == options.ZERO else torch.nan

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of the images."""
        images, flow = bottom_shapes
        if len(images) != 4 or flow != (images[0], 2, *images[2:]):
            raise CheckError(
                f"bottom 1 (flow) is {text(flow)}, bottom 0 {text(images)}: expected "
                "(N, 2, Y, X) for images (N, C, Y, X)"
            )
        return [images]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Gather four pixels and weigh them."""
        images, flow = bottoms
        height, width = images.shape[2:]
        flat = images.flatten(2)
        rows = torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None]
        x = flow[:, 0] + torch.arange(width, dtype=flow.dtype, device=flow.device)
        y = flow[:, 1] + rows
        inside = ((x >= 0) & (x < width) & (y >= 0) & (y < height))[:, None]
        left = x.detach().nan_to_num(0).floor().clamp(0, width - 1)
        top = y.detach().nan_to_num(0).floor().clamp(0, height - 1)
        across, down = (x - left)[:, None], (y - top)[:, None]
        corners = []
        for row in (top, (top + 1).clamp(max=height - 1)):
            for column in (left, (left + 1).clamp(max=width - 1)):
                index = (row * width + column).long().flatten(1)[:, None]
                picked = flat.gather(2, index.expand(-1, flat.shape[1], -1))
                corners.append(picked.view_as(images))
        upper = corners[0] * (1 - across) + corners[1] * across
        lower = corners[2] * (1 - across) + corners[3] * across
        return [torch.where(inside, upper * (1 - down) + lower * down, self.fill)]


@register("Resample")
class ResampleLayer(Operator):
    """Give images another size (FlowNet 2).

    Options (``resample_param``)
        height, width : int. Of the top, unless there is a second bottom.
        type : LINEAR (default), CUBIC or NEAREST.
        antialias : bool, default true. Where an axis becomes shorter, the kernels are
            stretched by the factors of the sizes.

    Bottoms
        0 : (N, C, Y, X). 1 : optional, gives height and width.

    Tops
        0 : (N, C, height, width)

    As in the fork the place of pixel i is ``i f + g / 2 - 0.5``, where f is the factor
    of its own axis and g that of the other one. There is no gradient. NEAREST reads no
    pixel outside, where the fork does.
    """

    bottoms = (1, 2)
    capturable = True
    differentiable_bottoms = ()

    def setup(self, param: Any, context: Context) -> None:
        """Read the size."""
        self.options = options = param.resample_param
        if options.type == options.AREA:
            raise CheckError("type is AREA: expected NEAREST, LINEAR or CUBIC")
        if len(param.bottom) < 2 and not (options.height and options.width):
            raise CheckError(
                f"height is {options.height}, width {options.width}: expected numbers "
                "above 0, or a second bottom"
            )

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Take the size of the options, or of the second bottom."""
        images = bottom_shapes[0]
        size: Shape = (self.options.height, self.options.width)
        if len(bottom_shapes) > 1:
            size = bottom_shapes[1][2:]
        if len(images) != 4 or len(size) != 2:
            raise CheckError(f"bottom 0 is {text(images)}: expected 4 axes of all")
        return [(*images[:2], *size)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Multiply by a matrix for each axis."""
        x = bottoms[0].detach()
        (top,) = self.shapes([tuple(bottom.shape) for bottom in bottoms])
        factors = [a / b for a, b in zip(x.shape[2:], top[2:], strict=True)]
        stretched = self.options.antialias and max(factors) > 1
        rows, columns = (
            self._matrix(x, axis, top[axis], factors, stretched=stretched)
            for axis in (2, 3)
        )
        return [rows @ x @ columns.t()]

    def _matrix(
        self,
        x: torch.Tensor,
        axis: int,
        size: int,
        factors: Sequence[float],
        *,
        stretched: bool,
    ) -> torch.Tensor:
        """Weights (size, pixels) of the pixels along an axis, whose sum is 1."""
        options = self.options
        own, other = factors[axis - 2], factors[3 - axis]
        targets = torch.arange(size, dtype=x.dtype, device=x.device)
        pixels = torch.arange(x.shape[axis], dtype=x.dtype, device=x.device)
        places = targets * own + other / 2 - 0.5
        if options.type == options.NEAREST:
            nearest = places.sign() * (places.abs() + 0.5).floor()
            nearest = nearest.clamp(0, x.shape[axis] - 1)
            return (nearest[:, None] == pixels).to(x.dtype)
        away = (places[:, None] - pixels).abs() / (own if stretched else 1)
        weights = _cubic(away) if options.type == options.CUBIC else 1 - away
        if options.type == options.LINEAR:
            weights = weights.clamp(min=0)
        total = weights.sum(1, keepdim=True)
        return weights / total.where(total != 0, 1)


def _cubic(x: torch.Tensor) -> torch.Tensor:
    """Keys's kernel at distances of 0 and more."""
    near = ((_CUBIC + 2) * x - (_CUBIC + 3)) * x * x + 1
    far = _CUBIC * (((x - 5) * x + 8) * x - 4)
    return near.where(x <= 1, far.where(x < 2, 0))
