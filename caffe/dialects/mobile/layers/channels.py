"""Layers that move, weigh and mirror channels."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Half, Operator, Shape, Tensors
from caffe.engine.layers.shared import pixel_shape, text
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.torch_code.code import Code
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError

_LEADING = 2  # axes of samples and channels


@register("ShuffleChannel")
class ShuffleChannelLayer(Operator):
    """Take the channels of all groups in turn (farmingyard/ShuffleNet).

    Options (``shuffle_channel_param``)
        group : int, default 1. Must divide the channels.

    Bottoms and tops
        (N, C, ...); channel ``i + j group`` of the top is channel ``j + i C / group``.
    """

    pointwise = True
    capturable = True
    half = Half.PASSES
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Read the number of groups."""
        self.group = int(param.shuffle_channel_param.group)
        if self.group == 0:
            raise CheckError("group is 0: expected a number above 0")

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of the bottom, whose channels the groups divide."""
        (shape,) = bottom_shapes
        if len(shape) < _LEADING or shape[1] % self.group:
            raise CheckError(
                f"bottom 0 is {text(shape)}: expected a multiple of group "
                f"{self.group} channels"
            )
        return [shape]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Transpose groups and their channels."""
        (x,) = bottoms
        return [x.unflatten(1, (self.group, -1)).transpose(1, 2).flatten(1, 2)]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Gather of the channels."""
        x = layer.bottom
        (channels,) = x.fixed([1])
        order = torch.arange(channels).view(self.group, -1).t().flatten()
        index = layer.ints(order.numpy(), "order")
        return [layer.top(layer.add("Gather", x, index, axis=1), x.pattern)]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        (x,) = code.inputs(layer)
        groups = f"{x}.unflatten(1, ({self.group}, -1))"
        code.assign(layer, f"{groups}.transpose(1, 2).flatten(1, 2)")


@register("Axpy")
class AxpyLayer(Operator):
    """Weigh channels and add: ``scale x + y`` (hujie-frank/SENet).

    Bottoms
        0 : (N, C) or (N, C, 1, 1), scale.
        1, 2 : (N, C, ...), x and y.

    Tops
        0 : (N, C, ...)
    """

    bottoms = (3, 3)
    pointwise = True
    capturable = True
    backward_needs_top = False

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of x, which is that of y."""
        scale, x, y = bottom_shapes
        if scale[:_LEADING] != x[:_LEADING] or any(n != 1 for n in scale[_LEADING:]):
            raise CheckError(
                f"bottom 0 (scale) is {text(scale)}, bottom 1 {text(x)}: expected a "
                f"number for each channel, {text(x[:_LEADING])}"
            )
        if x != y:
            raise CheckError(
                f"bottom 2 is {text(y)}, bottom 1 {text(x)}: expected equal shapes"
            )
        return [x]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Multiply and add."""
        scale, x, y = bottoms
        spread = scale.reshape(*x.shape[:_LEADING], *[1] * (x.dim() - _LEADING))
        return [torch.addcmul(y, spread.expand_as(x), x)]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Mul and Add."""
        scale, x, y = layer.bottoms
        missing = range(len(scale.shape), len(x.shape))
        spread = layer.unsqueezed(scale, missing) if missing else scale
        product = layer.add("Mul", x, spread)
        return [layer.top(layer.add("Add", product, y), x.pattern)]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        scale, x, y = code.inputs(layer)
        spread = scale + "[..., None]" * (len(layer.shapes[1]) - len(layer.shapes[0]))
        code.assign(layer, f"{spread} * {x} + {y}")


@register("Flip")
class FlipLayer(Operator):
    """Mirror images (happynear's; unproven: no answer of the fork is stored).

    Options (``flip_param``)
        flip_width : bool, default true. Columns in reverse.
        flip_height : bool, default false. Rows in reverse.

    Bottoms and tops
        (N, C, Y, X)
    """

    capturable = True
    half = Half.PASSES
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Read which axes to turn."""
        options = param.flip_param
        flags = ((2, options.flip_height), (3, options.flip_width))
        self.axes = [axis for axis, flag in flags if flag]

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of the bottom."""
        (shape,) = bottom_shapes
        if len(shape) != 4:
            raise CheckError(f"bottom 0 is {text(shape)}: expected 4 axes")
        return [shape]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Turn round."""
        return [bottoms[0].flip(self.axes)]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        (x,) = code.inputs(layer)
        code.assign(layer, f"{x}.flip({self.axes})")


@register("ChannelScale")
class ChannelScaleLayer(Operator):
    """Multiply all channels by one number a pixel (happynear's; unproven).

    Options (``channel_scale_param``)
        do_forward : bool, default true. False: the top is bottom 0.
        do_backward_feature, do_backward_scale : bool, default true. False: bottom 0,
            or bottom 1, gets no gradient.
        global_scale : false. Learning one number for all is refused.

    Bottoms
        0 : (N, C, ...)
        1 : (N, 1, ...), or so many numbers in another shape.

    Tops
        0 : (N, C, ...)
    """

    bottoms = (2, 2)
    pointwise = True
    capturable = True
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Read what is multiplied, and what gets a gradient."""
        options = param.channel_scale_param
        if options.global_scale:
            raise CheckError("global_scale is true: expected false, which is built")
        self.scales = bool(options.do_forward)
        self.passes = (options.do_backward_feature, options.do_backward_scale)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of bottom 0."""
        x, scale = bottom_shapes
        if prod(scale) != prod(x[:1]) * prod(x[_LEADING:]):
            raise CheckError(
                f"bottom 1 (scale) is {text(scale)}: expected a number for each pixel "
                f"of bottom 0 {text(x)}, {text(pixel_shape(x, 1))}"
            )
        return [x]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Multiply."""
        x, scale = (
            bottom if passes else bottom.detach()
            for bottom, passes in zip(bottoms, self.passes, strict=True)
        )
        return [x * scale.reshape(pixel_shape(x.shape, 1)) if self.scales else x * 1]
