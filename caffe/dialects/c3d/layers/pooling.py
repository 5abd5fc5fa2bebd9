"""Pooling over time, height and width."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch.nn import functional

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Half, Operator, Shape, Tensors
from caffe.engine.layers.convolution import Window, col2im
from caffe.engine.layers.pooling import Grid
from caffe.engine.layers.shared import text
from caffe.engine.spans import SpanRule, across
from caffe.engine.torch_code.code import FORMAT, Code
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError

_AXES = 5


def _windows(param: Any) -> tuple[Shape, Shape, Shape]:
    """Kernel, stride and pad along time, height and width."""
    if param.HasField("pooling3d_param"):
        given = param.pooling3d_param
        size, stride, pad = given.kernel_size, given.stride, given.pad
    else:
        given = param.pooling_param
        size, stride, pad = (
            sum(values[:1]) for values in (given.kernel_size, given.stride, given.pad)
        )
        stride = stride or 1
    if not (size and given.kernel_depth):
        raise CheckError(
            f"kernel_size is {size}, kernel_depth {given.kernel_depth}: expected "
            "numbers above 0"
        )
    if not (stride and given.temporal_stride):
        raise CheckError("stride or temporal_stride is 0: expected numbers above 0")
    return (
        (given.kernel_depth, size, size),
        (given.temporal_stride, stride, stride),
        (0, pad, pad),
    )


@register("Pooling3D")
class Pooling3DLayer(Operator):
    """Pooling over time, height and width (C3D).

    Options (``pooling3d_param``; C3D 1.0: ``pooling_param``)
        pool : MAX (default) or AVE.
        kernel_size, stride : int, default -, 1. Of height and width.
        pad : int, default 0. Of height and width, for AVE alone.
        kernel_depth, temporal_stride : int, default -, 1. Of time.

    Bottoms and tops
        (N, C, T, Y, X), with sizes rounded up; a last window that begins in the
        padding stays, unlike BVLC's.

    The gradient of a maximum goes to all elements that are as large.
    """

    backward_needs_top = False

    @classmethod
    def span_rule(cls, param: Any, axis: int, ndim: int) -> SpanRule:
        """Look at the windows along an axis."""
        if axis < 2:
            return across(-1, axis)
        sizes = [values[axis - 2] for values in _windows(param)]
        return lambda bottoms: bottoms[0].windows(*sizes)

    def setup(self, param: Any, context: Context) -> None:
        """Read the windows."""
        options = param.pooling_param
        if param.HasField("pooling3d_param"):
            options = param.pooling3d_param
        if options.pool not in {options.MAX, options.AVE}:
            raise CheckError("pool is STOCHASTIC: expected MAX or AVE")
        self.maximum = options.pool == options.MAX
        if self.maximum:
            self.half = Half.PASSES
        self.kernel, self.stride, self.pad = _windows(param)
        if self.maximum and any(self.pad):
            raise CheckError(f"pad is {self.pad[1]}: expected 0 for MAX")
        if self.pad[1] >= self.kernel[1]:
            raise CheckError(
                f"pad is {self.pad[1]}: expected less than kernel_size {self.kernel[1]}"
            )

    def grid(self, shape: Shape) -> Grid:
        """Windows for a bottom of this shape."""
        if len(shape) != _AXES:
            raise CheckError(f"bottom 0 is {text(shape)}: expected 5 axes")
        rows = zip(shape[2:], self.kernel, self.stride, self.pad, strict=True)
        output = tuple(-(-(n + 2 * p - k) // s) + 1 for n, k, s, p in rows)
        if min(output) < 1:
            raise CheckError(
                f"bottom 0 is {text(shape)}, too small for windows {text(self.kernel)}"
            )
        return Grid(shape[2:], self.kernel, self.stride, self.pad, output, ceil=True)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Sizes of the windows' grid."""
        (shape,) = bottom_shapes
        return [(*shape[:2], *self.grid(shape).output)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Pool."""
        (x,) = bottoms
        grid = self.grid(tuple(x.shape))
        if self.maximum:
            lowest = torch.finfo(x.dtype).min
            padded = functional.pad(x, grid.margins(), value=lowest)
            return [_Maximum.apply(padded, self.kernel, self.stride)]
        padded = functional.pad(x, grid.margins())
        top = functional.avg_pool3d(padded, self.kernel, self.stride)
        return [top * (prod(self.kernel) / grid.areas(x, clipped=False))]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        (x,) = code.inputs(layer)
        if any(self.pad) or any(
            s > k for s, k in zip(self.stride, self.kernel, strict=True)
        ):
            raise layer.refuse(FORMAT, "its windows are not torch's")
        call = "F.max_pool3d" if self.maximum else "F.avg_pool3d"
        words = f"{self.kernel}, {self.stride}, ceil_mode=True"
        code.assign(layer, f"{call}({x}, {words})")


class _Maximum(torch.autograd.Function):
    """Maxima of windows; as in C3D, equal ones get the gradient all together."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, kernel: Shape, stride: Shape
    ) -> torch.Tensor:
        top = functional.max_pool3d(x, kernel, stride)
        ctx.save_for_backward(x, top)
        ctx.window = Window(1, kernel, stride, (0, 0, 0), (1, 1, 1))
        return top

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        x, top = ctx.saved_tensors
        window = ctx.window
        places = x
        for axis in range(3):
            places = places.unfold(2 + axis, window.kernel[axis], window.stride[axis])
        equal = places == top[..., None, None, None]
        parts = (equal * grads[0][..., None, None, None]).permute(
            0, 1, 5, 6, 7, 2, 3, 4
        )
        return col2im(parts.flatten(1, 4), x.shape[2:], window), None, None
