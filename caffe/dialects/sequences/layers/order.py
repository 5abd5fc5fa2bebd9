"""Layers that put numbers in another order."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Half, Operator, Shape, Tensors
from caffe.engine.layers.shared import text
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.torch_code.code import Code
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError


@register("Transpose")
class TransposeLayer(Operator):
    """Put the axes in another order (senlinuc/caffe_ocr).

    Options (``transpose_param``)
        dim : repeated int. All axes of the bottom, in the order of the top.
    """

    capturable = True
    half = Half.PASSES
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Read the order."""
        self.order = list(param.transpose_param.dim)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Sizes in the new order."""
        (shape,) = bottom_shapes
        if sorted(self.order) != list(range(len(shape))):
            raise CheckError(
                f"dim is {text(self.order)}: expected each of the {len(shape)} axes "
                f"of bottom 0 {text(shape)} once, from 0"
            )
        return [tuple(shape[axis] for axis in self.order)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Permute into new memory."""
        return [bottoms[0].permute(self.order).contiguous()]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Transpose."""
        x = layer.bottom
        name = layer.add("Transpose", x, perm=self.order)
        return [layer.top(name, tuple(x.pattern[axis] for axis in self.order))]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        (x,) = code.inputs(layer)
        code.assign(layer, f"{x}.permute({', '.join(map(str, self.order))})")


@register("Reverse")
class ReverseLayer(Operator):
    """Turn an axis round (ChWick, senlinuc).

    Options (``reverse_param``)
        axis : int, default 0. A negative one counts from the end; ChWick's refuses it.
    """

    capturable = True
    half = Half.PASSES
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Read the axis."""
        self.axis = int(param.reverse_param.axis)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of the bottom."""
        (shape,) = bottom_shapes
        if not -len(shape) <= self.axis < len(shape):
            raise CheckError(
                f"axis is {self.axis}: expected one of the {len(shape)} axes of bottom "
                f"0 {text(shape)}"
            )
        return [shape]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Flip."""
        return [bottoms[0].flip(self.axis)]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Slice with a step of -1."""
        ends = (-1, -(2**31), self.axis, -1)
        starts, stops, axes, steps = (layer.ints([value], "span") for value in ends)
        x = layer.bottom
        name = layer.add("Slice", x, starts, stops, axes, steps)
        return [layer.top(name, x.pattern)]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        (x,) = code.inputs(layer)
        code.assign(layer, f"{x}.flip({self.axis})")


@register("ReverseTime")
class ReverseTimeLayer(Operator):
    """Turn the first steps of each sequence round (senlinuc/caffe_ocr).

    Options (``reverse_time_param``)
        copy_remaining : bool, default false. The steps behind stay; else they are 0.

    Bottoms
        0 : (T, N, ...). 1 : N lengths, 0 to T.
    """

    bottoms = (2, 2)
    differentiable_bottoms = (0,)
    backward_needs_top = False
    half = Half.PASSES

    def setup(self, param: Any, context: Context) -> None:
        """Read what becomes of the rest."""
        self.copy = bool(param.reverse_time_param.copy_remaining)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of bottom 0."""
        x, lengths = bottom_shapes
        if len(x) < 2 or prod(lengths) != x[1]:
            raise CheckError(
                f"bottom 1 (lengths) is {text(lengths)}: expected one for each "
                f"sequence of bottom 0 {text(x)}, along axis 1"
            )
        return [x]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Gather."""
        x, lengths = bottoms[0], bottoms[1].detach().reshape(-1).long()
        if ((lengths < 0) | (lengths > len(x))).any():
            raise CheckError(
                f"bottom 1 holds length {int(lengths.min())} or "
                f"{int(lengths.max())}: expected 0 to {len(x)}"
            )
        steps = torch.arange(len(x), device=x.device)[:, None]
        inside = steps < lengths
        places = torch.where(inside, lengths - 1 - steps, steps)
        behind = [1] * (x.dim() - 2)
        top = x.gather(0, places.view(*places.shape, *behind).expand_as(x))
        if not self.copy:
            top = top * inside.view(*inside.shape, *behind)
        return [top]
