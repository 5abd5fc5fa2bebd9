"""Freiburg's layer that shifts and scales grey values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from caffe.engine.catalogue import register
from caffe.engine.layer import Array, Context, Operator, Shape, Tensors
from caffe.engine.layers.shared import text
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.torch_code import parts
from caffe.engine.torch_code.code import Code, affine, number
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError
from caffe.proto import caffe_pb2


@register("ValueTransformation")
class ValueTransformationLayer(Operator):
    """Shift, then scale, each channel: ``scale * (x + offset)``.

    Options (``value_transformation_param``)
        offset : VectorFloat of no (0), 1 or C values.
        scale : VectorFloat of no (1), 1 or C values.

    Bottoms and tops
        (N, C, ...)
    """

    pointwise = True
    capturable = True
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Read the values."""
        options = param.value_transformation_param
        self.offset = list(options.offset.v) or [0.0]
        self.scale = list(options.scale.v) or [1.0]

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of the bottom, whose channels must be as many as the values."""
        (shape,) = bottom_shapes
        if len(shape) < 2:
            raise CheckError(
                f"bottom 0 {text(shape)} has {len(shape)} axes: expected 2 or more"
            )
        for name, values in (("offset", self.offset), ("scale", self.scale)):
            if len(values) not in {1, shape[1]}:
                raise CheckError(
                    f"{name} has {len(values)} values: expected 0, 1 or "
                    f"{shape[1]}, as bottom 0 {text(shape)} has {shape[1]} channels"
                )
        return [shape]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Map into new memory."""
        (x,) = bottoms
        return [(x + _per_channel(self.offset, x)).mul_(_per_channel(self.scale, x))]

    def forward_in_place(
        self, bottom: torch.Tensor, params: Tensors, context: Context
    ) -> torch.Tensor:
        """Map, and overwrite the bottom."""
        offset = _per_channel(self.offset, bottom)
        return bottom.add_(offset).mul_(_per_channel(self.scale, bottom))

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Add, then Mul."""
        shape = (-1, *[1] * (len(layer.bottom.shape) - 2))
        offset = np.reshape(self.offset, shape)
        factor = np.reshape(self.scale, shape)
        shifted = layer.add("Add", layer.bottom, layer.floats(offset, "offset"))
        return [layer.top(layer.add("Mul", shifted, layer.floats(factor, "scale")))]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        options = layer.param.value_transformation_param
        (x,) = code.inputs(layer)
        offset, scale = list(options.offset.v) or [0.0], list(options.scale.v) or [1.0]
        if len(offset) == len(scale) == 1:
            moved = affine(x, 1, offset[0])
            code.assign(
                layer, moved if scale[0] == 1 else f"({moved}) * {number(scale[0])}"
            )
            return
        words = ", ".join(
            f"[{', '.join(map(number, values))}]" for values in (offset, scale)
        )
        behind = len(layer.shapes[0]) - 2
        part = code.part(parts.Transformation)
        call = code.module(layer, f"{part}({words}, {behind})")
        code.assign(layer, f"{call}({x})")

    def to_bvlc(self, layer: TorchLayer) -> Iterator[tuple[Any, Sequence[Array]]]:
        """``scale * (x + offset)``, by one number or by one a channel."""
        options = layer.param.value_transformation_param
        offset = np.array(list(options.offset.v) or [0], np.float32)
        scale = np.array(list(options.scale.v) or [1], np.float32)
        message = caffe_pb2.LayerParameter(name=layer.name)
        message.bottom[:], message.top[:] = layer.bottoms, layer.tops
        if offset.size == scale.size == 1:
            message.type = "Power"
            message.power_param.scale = scale[0]
            message.power_param.shift = scale[0] * offset[0]
            yield message, ()
            return
        message.type = "Scale"
        message.scale_param.bias_term = True
        channels = layer.shapes[0][1]
        scale = np.broadcast_to(scale, channels)
        yield message, (scale.copy(), scale * offset)


def _per_channel(values: list[float], x: torch.Tensor) -> torch.Tensor:
    """Values that broadcast along axis 1 of x."""
    # made on the device: a CUDA graph takes no copy from the host
    made = torch.cat([x.new_full((1,), value) for value in values])
    return made.view(-1, *[1] * (x.dim() - 2))
