"""SSD's layer that gives vectors the same length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, ParameterSpec, Shape, Tensors
from caffe.engine.layers.shared import text
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.errors import CheckError
from caffe.proto import caffe_pb2


@register("Normalize")
class NormalizeLayer(Operator):
    """Divide by the L2 norm, then multiply with learnt numbers.

    Options (``norm_param``)
        across_spatial : bool, default true. Norm of a whole sample; false: of the
            channels at each pixel.
        channel_shared : bool, default true. One number for all channels.
        scale_filler : FillerParameter, default constant 1.
        eps : float, default 1e-10. Added to the sum of squares.

    Bottoms and tops
        (N, C, Y, X), ``scale * x / sqrt(sum(x^2) + eps)``.

    Blobs
        0 : () or (C,), the numbers.

    The gradient is ``scale / norm * (g - x * sum(x g) / norm^2)``, as in SSD: with
    numbers that differ between channels it is not the derivative, whose sum has them
    inside.
    """

    usual = True
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Read the options."""
        options = param.norm_param
        self.across = bool(options.across_spatial)
        self.shared = bool(options.channel_shared)
        self.eps = float(options.eps)
        self.channels: int | None = None

    def parameters(self, bottom_shapes: Sequence[Shape]) -> list[ParameterSpec]:
        """Declare the numbers."""
        (shape,) = bottom_shapes
        _check_axes(shape)
        options = self.param.norm_param
        filler = caffe_pb2.FillerParameter(type="constant", value=1)
        if options.HasField("scale_filler"):
            filler = options.scale_filler
        if self.shared:
            return [ParameterSpec((), filler)]
        self.channels = shape[1]
        return [ParameterSpec((self.channels,), filler)]

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of the bottom, whose channels must be those of the numbers."""
        (shape,) = bottom_shapes
        _check_axes(shape)
        if self.channels not in {None, shape[1]}:
            raise CheckError(
                f"bottom 0 {text(shape)} has {shape[1]} channels: the scale is for "
                f"{self.channels}"
            )
        return [shape]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Divide and multiply."""
        (x,), (scale,) = bottoms, params
        axes = tuple(range(1, x.dim())) if self.across else (1,)
        scale = scale.reshape(1, -1, *[1] * (x.dim() - 2))
        return [_Normalize.apply(x, scale, axes, self.eps)]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give the formula in its parts."""
        x = layer.bottom
        axes = range(1, len(x.shape)) if self.across else (1,)
        squares = layer.reduce("ReduceSum", layer.add("Mul", x, x), list(axes))
        norm = layer.add("Sqrt", layer.scaled(squares, 1, self.eps))
        shape = (1, -1, *[1] * (len(x.shape) - 2))
        scale = layer.blob(0, layer.values(0).reshape(shape).shape)
        return [layer.top(layer.add("Mul", layer.add("Div", x, norm), scale))]


def _check_axes(shape: Shape) -> None:
    if len(shape) < 2:
        raise CheckError(
            f"bottom 0 {text(shape)} has {len(shape)} axes: expected 2 or more (N, C, "
            "...)"
        )


class _Normalize(torch.autograd.Function):
    """scale * x / norm, with SSD's gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        scale: torch.Tensor,
        axes: tuple[int, ...],
        eps: float,
    ) -> torch.Tensor:
        norm = (x.square().sum(axes, keepdim=True) + eps).sqrt_()
        ctx.save_for_backward(x, scale, norm)
        ctx.axes = axes
        top: torch.Tensor = (x / norm).mul_(scale)
        return top

    @staticmethod
    def backward(
        ctx: Any, grad: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, None, None]:
        x, scale, norm = ctx.saved_tensors
        of_x = of_scale = None
        if ctx.needs_input_grad[0]:
            along = (x * grad).sum(ctx.axes, keepdim=True) / norm.square()
            of_x = torch.addcmul(grad, x, along, value=-1).div_(norm).mul_(scale)
        if ctx.needs_input_grad[1]:
            of_scale = (x / norm).mul_(grad).sum_to_size(scale.shape)
        return of_x, of_scale, None, None
