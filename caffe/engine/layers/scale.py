"""Layers that scale or shift along some axes, or along the channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch.nn import functional

from caffe.engine.catalogue import register
from caffe.engine.layer import (
    Array,
    Context,
    Operator,
    ParameterSpec,
    Shape,
    Tensors,
    canonical_axis,
)
from caffe.engine.layers.shared import text
from caffe.engine.onnx import scale as forms
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.torch_code import learned as code_of
from caffe.engine.torch_code import parts
from caffe.engine.torch_code.code import Code
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError
from caffe.proto import caffe_pb2


class BroadcastLayer(Operator):
    """Bottom 0 and an operand of some of its axes: a parameter, or bottom 1."""

    bottoms = (1, 2)
    pointwise = True
    backward_needs_top = False
    operand: ClassVar[str]

    def setup(self, param: Any, context: Context) -> None:
        """Check the number of axes."""
        self.options = getattr(param, f"{self.operand}_param")
        self.fixed: Shape | None = None
        if self.options.num_axes < -1:
            raise CheckError(
                f"num_axes is {self.options.num_axes}: num_axes must be non-negative, "
                "or -1 to extend to the end of bottom[0]"
            )

    def parameters(self, bottom_shapes: Sequence[Shape]) -> list[ParameterSpec]:
        """Declare the operand, unless it is bottom 1."""
        if len(bottom_shapes) == 2:
            return []
        self.fixed = self._operand_shape(bottom_shapes)
        return [ParameterSpec(self.fixed, self._filler())]

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of bottom 0, which the operand must fit."""
        bottom = bottom_shapes[0]
        operand = self._operand_shape(bottom_shapes)
        axis = self._axis(bottom, operand)
        _check_end(self.operand, bottom, axis, len(operand))
        if bottom[axis : axis + len(operand)] != operand:
            raise CheckError(
                f"dimension mismatch between bottom 0 {text(bottom)} from axis {axis} "
                f"on and the {self.operand} {text(operand)}: expected equal sizes"
            )
        return [bottom]

    def _filler(self) -> Any:
        return self.options.filler

    def _axis(self, bottom: Sequence[int], operand: Sequence[int]) -> int:
        """First axis of the operand in bottom 0; one without axes fits anywhere."""
        return canonical_axis(self.options.axis, len(bottom)) if operand else 0

    def _operand_shape(self, bottom_shapes: Sequence[Shape]) -> Shape:
        if len(bottom_shapes) == 2:
            return bottom_shapes[1]
        return self.fixed if self.fixed is not None else self._span(bottom_shapes)

    def _span(self, bottom_shapes: Sequence[Shape]) -> Shape:
        """Sizes of bottom 0 along the axes that the options, or bottom 1, name."""
        bottom = bottom_shapes[0]
        axis = canonical_axis(self.options.axis, len(bottom))
        count = self.options.num_axes
        if len(bottom_shapes) == 2:
            count = len(bottom_shapes[1])
        if count == -1:
            return bottom[axis:]
        _check_end(self.operand, bottom, axis, count)
        return bottom[axis : axis + count]

    def _aligned(self, x: torch.Tensor, operand: torch.Tensor) -> torch.Tensor:
        """Let the operand broadcast against x."""
        behind = x.dim() - self._axis(x.shape, operand.shape) - operand.dim()
        return operand.reshape(*operand.shape, *[1] * behind)


def _check_end(name: str, bottom: Shape, axis: int, count: int) -> None:
    if axis + count > len(bottom):
        raise CheckError(
            f"{name} blob's shape of {count} axes extends past bottom 0 {text(bottom)} "
            f"when applied from axis {axis} on: expected {len(bottom) - axis}"
        )


@register("Bias")
class BiasLayer(BroadcastLayer):
    """Add a learned blob, or another bottom, along some axes.

    Options (``bias_param``)
        axis : int, default 1. First axis of bottom 0 that the operand goes along.
        num_axes : int, default 1. As many axes; -1: all that follow; 0: one number.
            Not used with two bottoms.
        filler : FillerParameter, default constant 0.

    Bottoms
        0 : (N, C, ...)
        1 : optional, the operand: sizes of bottom 0 from ``axis`` on, or ().

    Tops
        0 : shape of bottom 0.

    Blobs
        0 : the operand, unless it is bottom 1.
    """

    torch_names = ("bias",)
    capturable = True
    operand = "bias"

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Add into new memory."""
        x, bias = (*bottoms, *params)
        return [x + self._aligned(x, bias)]

    def forward_in_place(
        self, bottom: torch.Tensor, params: Tensors, context: Context
    ) -> torch.Tensor:
        """Add to the bottom."""
        return bottom.add_(self._aligned(bottom, params[0]))

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Add."""
        operand, _ = forms.operand(layer)
        return [layer.top(layer.add("Add", layer.bottom, operand))]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        x, *operands = code.inputs(layer)
        if operands:
            code.assign(layer, f"{x} + {code_of.aligned(layer, operands[0])}")
        else:
            code.assign(layer, f"{code_of.bias_module(layer, code)}({x})")


@register("Scale")
class ScaleLayer(BroadcastLayer):
    """Multiply by a learned blob, or another bottom, along some axes.

    Options (``scale_param``)
        axis : int, default 1. First axis of bottom 0 that the operand goes along.
        num_axes : int, default 1. As many axes; -1: all that follow; 0: one number.
            Not used with two bottoms.
        filler : FillerParameter, default constant 1.
        bias_term : bool, default false. Also add a learned blob along these axes.
        bias_filler : FillerParameter, default constant 0.

    Bottoms
        0 : (N, C, ...)
        1 : optional, the operand: sizes of bottom 0 from ``axis`` on, or ().

    Tops
        0 : shape of bottom 0.

    Blobs
        The operand, unless it is bottom 1; then the bias of the same shape, if any.
    """

    torch_names: tuple[str, ...] = ("weight", "bias")
    operand = "scale"

    def setup(self, param: Any, context: Context) -> None:
        """Check the number of axes."""
        super().setup(param, context)
        if len(param.bottom) > 1:
            self.torch_names = ("bias",)
        if self.options.bias_term:
            # C++ Caffe makes a Bias layer of the same name inside, and says so
            context.log("layer_factory.hpp:77", f"Creating layer {context.layer_name}")

    def parameters(self, bottom_shapes: Sequence[Shape]) -> list[ParameterSpec]:
        """Declare the operand, unless it is bottom 1, and the bias."""
        specs = super().parameters(bottom_shapes)
        if self.options.bias_term:
            shape = specs[0].shape if specs else self._span(bottom_shapes)
            specs.append(ParameterSpec(shape, self.options.bias_filler))
        return specs

    def _filler(self) -> Any:
        if self.options.HasField("filler"):
            return self.options.filler
        return caffe_pb2.FillerParameter(type="constant", value=1)

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Multiply, and add, into new memory."""
        x, scale, *biases = (*bottoms, *params)
        if biases and scale.dim() == 1 and self._axis(x.shape, scale.shape) == 1:
            return [_scale_channels(x, scale, biases[0])]
        top = x * self._aligned(x, scale)
        for bias in biases:
            top = top.add_(self._aligned(x, bias))
        return [top]

    def forward_in_place(
        self, bottom: torch.Tensor, params: Tensors, context: Context
    ) -> torch.Tensor:
        """Overwrite the bottom, unless the gradient of the scale needs it."""
        scale, *biases = params
        if torch.is_grad_enabled() and scale.requires_grad:
            return self.forward([bottom], params, context)[0]
        top = bottom.mul_(self._aligned(bottom, scale))
        for bias in biases:
            top = top.add_(self._aligned(bottom, bias))
        return top

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Mul, and Add of the bias."""
        operand, shape = forms.operand(layer)
        name = layer.add("Mul", layer.bottom, operand)
        if layer.param.scale_param.bias_term:
            name = layer.add("Add", name, layer.blob(len(layer.blobs) - 1, shape))
        return [layer.top(name)]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        bias = layer.param.scale_param.bias_term
        x, *operands = code.inputs(layer)
        if not operands:
            shape, behind = (
                layer.blobs[0].shape,
                code_of.behind(layer, layer.blobs[0].ndim),
            )
            part = code.part(parts.Scale)
            call = code.module(layer, f"{part}({shape}, {behind}, bias={bias})")
            code.assign(layer, f"{call}({x})")
            return
        product = f"{x} * {code_of.aligned(layer, operands[0])}"
        if bias:
            product = f"{code_of.bias_module(layer, code)}({product})"
        code.assign(layer, product)


def _scale_channels(
    x: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """Scale and shift in one pass forward, and in one backward.

    It is what a batch normalisation does whose statistics are mean 0, variance 1.
    """
    mean, variance = torch.zeros_like(scale), torch.ones_like(scale)
    return torch.batch_norm(x, scale, bias, mean, variance, False, 0.0, 0.0, False)


def _check_channels(shape: Shape, count: int | None, what: str) -> None:
    """Refuse a bottom without axis 1, or of another size there than `count`."""
    if len(shape) < 2:
        raise CheckError(
            f"bottom 0 {text(shape)} has {len(shape)} axes: expected 2 or more"
        )
    if count not in {None, shape[1]}:
        raise CheckError(
            f"bottom 0 {text(shape)} has {shape[1]} channels: {what} for {count}"
        )


@register("PReLU")
class PReLULayer(Operator):
    """Rectified linear unit with a learned slope a: ``max(0, x) + a * min(0, x)``.

    Options (``prelu_param``)
        filler : FillerParameter, default constant 0.25.
        channel_shared : bool, default false. One slope for all channels.

    Bottoms and tops
        (N, C, ...)

    Blobs
        0 : (C,), or () if shared.

    The gradient at 0 is the slope.
    """

    torch_names = ("weight", "bias")
    pointwise = True
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Read whether the channels share a slope."""
        self.shared = bool(param.prelu_param.channel_shared)
        self.channels: int | None = None

    def parameters(self, bottom_shapes: Sequence[Shape]) -> list[ParameterSpec]:
        """Declare the slopes."""
        options = self.param.prelu_param
        filler = (
            options.filler
            if options.HasField("filler")
            else caffe_pb2.FillerParameter(type="constant", value=0.25)
        )
        if self.shared:
            return [ParameterSpec((), filler)]
        _check_channels(bottom_shapes[0], None, "")
        self.channels = bottom_shapes[0][1]
        return [ParameterSpec((self.channels,), filler)]

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of the bottom, which must have channels."""
        _check_channels(bottom_shapes[0], self.channels, "the slopes are")
        return list(bottom_shapes)

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Rectify."""
        return [_PReLU.apply(bottoms[0], params[0])]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give PRelu."""
        behind = len(layer.bottom.shape) - 2
        shape = () if self.shared else (-1, *[1] * behind)
        slope = layer.values(0).reshape(shape)
        return [
            layer.top(layer.add("PRelu", layer.bottom, layer.floats(slope, "slope")))
        ]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        (x,) = code.inputs(layer)
        call = code.module(layer, f"nn.PReLU({layer.blobs[0].size})")
        code.assign(layer, f"{call}({x})")

    def to_torch_blobs(self, blobs: Sequence[Array]) -> list[Array]:
        """Give the slopes an axis, also if there is but one."""
        return [blobs[0].reshape(-1)]


class _PReLU(torch.autograd.Function):
    """PReLU, with a backward that takes no mask: torch.where on one is slow."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, slope)
        return functional.prelu(x, slope)

    @staticmethod
    def backward(
        ctx: Any, grad: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        x, slope = ctx.saved_tensors
        x_grad = slope_grad = None
        if ctx.needs_input_grad[0]:
            factor = slope.reshape(-1, *[1] * (x.dim() - 2))
            # the gradient where x is above 0; `where` is slow on a random mask
            above = torch.ops.aten.threshold_backward(grad, x, 0)
            x_grad = (grad - above).mul_(factor).add_(above)
        if ctx.needs_input_grad[1]:
            axes = [i for i in range(x.dim()) if i != 1 or slope.dim() == 0]
            slope_grad = x.clamp(max=0).mul_(grad).sum(axes)
        return x_grad, slope_grad
