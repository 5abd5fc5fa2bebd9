"""Planes that become larger, window by window."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch.nn import functional

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.layers.shared import check_equal_shapes, text
from caffe.errors import CheckError

_WITH_PLACES = 2


@register("Unpooling")
class UnpoolingLayer(Operator):
    """Spread each value over its window (DeconvNet).

    Options (``unpooling_param``)
        unpool : MAX (default), the value stands in one place of the window; AVE, it is
            shared out; TILE, it stands everywhere.
        kernel_size, or kernel_h and kernel_w : int. The window.
        stride, or stride_h and stride_w : int, default 1. From window to window.
        unpool_size, or unpool_h and unpool_w : int. Size of the top.

    Bottoms
        0 : (N, C, Y, X), values.
        1 : optional, for MAX, the same shape: where in the plane of the top each
            belongs; without it in the upper left corner of its window. No gradient.

    Tops
        0 : (N, C, Y', X'). Windows that overlap are added, with MAX the last stays. A
            window ends with the plane, and AVE divides by what is left of it.

    The gradient of TILE is divided by the size of the window, which its values are not.
    (DeconvNet adds AVE and TILE to what the top held before; here it is 0.)
    """

    bottoms = (1, 2)
    differentiable_bottoms = (0,)
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Read the window."""
        options = param.unpooling_param
        self._method = options.unpool
        self._kernel = _sides(options, "kernel_size", "kernel")
        self._stride = _sides(options, "stride", "stride")
        self._size = _sides(options, "unpool_size", "unpool")
        if options.pad or options.pad_h or options.pad_w:
            raise CheckError("pad is given: expected 0")
        if len(param.bottom) == _WITH_PLACES and self._method != options.MAX:
            raise CheckError("2 bottoms are given: only MAX takes places")

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Channels of the bottom, in the size asked for."""
        check_equal_shapes(bottom_shapes)
        shape = bottom_shapes[0]
        if len(shape) != 4:
            raise CheckError(f"bottom 0 is {text(shape)}: expected 4 axes (N, C, Y, X)")
        rows = zip(shape[2:], self._stride, self._size, strict=True)
        if any((n - 1) * stride >= size for n, stride, size in rows):
            raise CheckError(
                f"bottom 0 is {text(shape)}, with stride {text(self._stride)}: the "
                f"last window lies beyond the top of {text(self._size)} pixels"
            )
        return [(*shape[:2], *self._size)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Put the values into their windows."""
        x = bottoms[0]
        if self._method == self.param.unpooling_param.MAX:
            return [self._placed(x, bottoms[1:])]
        area = self._areas(x)
        if self._method == self.param.unpooling_param.AVE:
            return [self._spread(x / area)]
        return [self._spread(_Tiled.apply(x, area))]

    def _placed(self, x: torch.Tensor, places: Tensors) -> torch.Tensor:
        pixels = prod(self._size)
        if places:
            index = places[0].detach().long()
            if index.numel() and not 0 <= index.min() <= index.max() < pixels:
                low, high = (int(value) for value in index.aminmax())
                raise CheckError(
                    f"bottom 1 holds place {low if low < 0 else high}: expected 0 to "
                    f"{pixels - 1}, as the top has {text(self._size)} pixels"
                )
        else:
            rows, columns = (
                torch.arange(n, device=x.device) * stride
                for n, stride in zip(x.shape[2:], self._stride, strict=True)
            )
            index = (rows[:, None] * self._size[1] + columns).expand(x.shape)
        top = x.new_zeros(*x.shape[:2], pixels)
        top = top.scatter(2, index.flatten(2), x.flatten(2))
        return top.view(*x.shape[:2], *self._size)

    def _areas(self, x: torch.Tensor) -> torch.Tensor:
        """Pixels of each window inside the plane."""
        lengths = [
            (size - torch.arange(n, device=x.device) * stride).clamp(max=kernel)
            for n, kernel, stride, size in zip(
                x.shape[2:], self._kernel, self._stride, self._size, strict=True
            )
        ]
        return (lengths[0][:, None] * lengths[1]).to(x.dtype)

    def _spread(self, x: torch.Tensor) -> torch.Tensor:
        """Add each value to all places of its window."""
        planes = x.reshape(-1, 1, *x.shape[2:])
        window = x.new_ones(1, 1, *self._kernel)
        found = functional.conv_transpose2d(planes, window, stride=self._stride)
        lack = [n - m for n, m in zip(self._size, found.shape[2:], strict=True)]
        top = functional.pad(found, (0, lack[1], 0, lack[0]))
        return top.view(*x.shape[:2], *self._size)


class _Tiled(torch.autograd.Function):
    """Identity whose gradient is divided."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, area: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(area)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        (area,) = ctx.saved_tensors
        return grads[0] / area, None


def _sides(options: Any, whole: str, stem: str) -> tuple[int, int]:
    """Height and width of an option that one number, or two, may give."""
    names = (f"{stem}_h", f"{stem}_w")
    pair = [options.HasField(name) for name in names]
    if any(pair) and (not all(pair) or options.HasField(whole)):
        raise CheckError(f"expected {whole}, or {names[0]} and {names[1]}")
    sides = [getattr(options, name if all(pair) else whole) for name in names]
    if min(sides) < 1:
        raise CheckError(f"{whole} is {text(sides)}: expected numbers above 0")
    return sides[0], sides[1]
