"""Layers that give the same elements another shape."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from caffe.engine.catalogue import register
from caffe.engine.layer import (
    Context,
    Operator,
    Shape,
    Tensors,
    canonical_axis,
)
from caffe.engine.layers.shared import text
from caffe.engine.onnx.graph import Pattern, Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.torch_code.code import Code
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError


class ReshapingLayer(Operator):
    """One bottom, whose memory the top gives another shape."""

    aliases_bottom = True
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Refuse to work in place."""
        if param.bottom[0] == param.top[0]:
            raise CheckError(
                f"top '{param.top[0]}' is bottom '{param.bottom[0]}': expected "
                "another name, as this layer does not work in place"
            )

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Give the same elements another shape."""
        return [bottoms[0].reshape(self.shapes([tuple(bottoms[0].shape)])[0])]


@register("Flatten")
class FlattenLayer(ReshapingLayer):
    """Make one axis of several.

    Options (``flatten_param``)
        axis : int, default 1. First axis that is joined.
        end_axis : int, default -1. Last axis that is joined.

    Bottoms and tops
        (N, C, Y, X) to (N, C Y X); the top is the memory of the bottom.
    """

    capturable = True

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Join the axes."""
        options = self.param.flatten_param
        shape = bottom_shapes[0]
        first = canonical_axis(options.axis, len(shape))
        last = canonical_axis(options.end_axis, len(shape))
        # one less than the first is Caffe's way to insert an axis of one element
        if last < first - 1:
            raise CheckError(
                f"end_axis {options.end_axis} lies before axis {options.axis} of "
                f"bottom 0 {text(shape)}: expected an axis behind it"
            )
        joined = prod(shape[first : last + 1])
        return [(*shape[:first], joined, *shape[last + 1 :])]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Reshape with the joined axis left open."""
        options = layer.param.flatten_param
        x = layer.bottom
        first = options.axis % len(x.shape)
        last = options.end_axis % len(x.shape)
        joined = x.pattern[first : last + 1]
        kind = next(filter(None, joined), None)
        behind = x.fixed(range(last + 1, len(x.shape)))
        name = layer.reshaped(x, (*[0] * first, -1, *behind))
        pattern = (*x.pattern[:first], kind, *x.pattern[last + 1 :])
        return [layer.top(name, pattern)]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        options = layer.param.flatten_param
        (x,) = code.inputs(layer)
        first, last = layer.axis(options.axis), layer.axis(options.end_axis)
        if last < first:
            code.assign(layer, f"{x}.unsqueeze({first})")
        else:
            code.assign(layer, f"{x}.flatten({first}, {last})")


@register("Reshape")
class ReshapeLayer(ReshapingLayer):
    """Give the same elements another shape.

    Options (``reshape_param``)
        shape : BlobShape. Sizes of the new axes; 0: as the axis of the bottom at this
            place, -1 (once): what is left.
        axis : int, default 0. First axis that is replaced; negative counts from behind
            the last: -1 appends.
        num_axes : int, default -1. How many axes are replaced; -1: all from ``axis``.

    Bottoms and tops
        Any shape to any other of so many elements; the top is the memory of the bottom.
    """

    capturable = True

    def setup(self, param: Any, context: Context) -> None:
        """Check the new sizes."""
        super().setup(param, context)
        self.sizes = list(param.reshape_param.shape.dim)
        if self.sizes.count(-1) > 1 or min(self.sizes, default=0) < -1:
            raise CheckError(
                f"shape is {text(self.sizes)}: expected sizes, 0 and at most one -1"
            )

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Put the new axes in the place of the old ones."""
        shape = bottom_shapes[0]
        start, end = self._replaced(shape)
        middle = [
            self._copied(shape, start + i) if size == 0 else size
            for i, size in enumerate(self.sizes)
        ]
        count = prod(shape)
        others = prod(s for s in middle if s != -1)
        others *= prod(shape[:start]) * prod(shape[end:])
        if -1 in middle:
            if others == 0 or count % others:
                raise CheckError(
                    f"bottom 0 {text(shape)} has {count} elements: "
                    f"expected a multiple of {others}, the product of the other "
                    f"sizes, for -1 in shape {text(self.sizes)}"
                )
            middle[middle.index(-1)] = count // others
            others = count
        top = (*shape[:start], *middle, *shape[end:])
        if others != count:
            raise CheckError(
                f"bottom 0 {text(shape)} has {count} elements, the top {text(top)} "
                f"would have {others}: expected as many"
            )
        return [top]

    def _replaced(self, shape: Shape) -> tuple[int, int]:
        """First axis that is replaced, and the first behind it that is not."""
        options = self.param.reshape_param
        axes = len(shape)
        start = options.axis + (axes + 1 if options.axis < 0 else 0)
        if not 0 <= start <= axes:
            raise CheckError(
                f"axis is {options.axis}: expected {-axes - 1} to {axes}, as "
                f"bottom 0 is {text(shape)}"
            )
        end = axes if options.num_axes == -1 else start + options.num_axes
        if not start <= end <= axes:
            raise CheckError(
                f"num_axes is {options.num_axes}: expected -1 to {axes - start} "
                f"from axis {start} of bottom 0 {text(shape)}"
            )
        return start, end

    @staticmethod
    def _copied(shape: Shape, axis: int) -> int:
        if axis >= len(shape):
            raise CheckError(
                f"shape has a 0 for axis {axis}: bottom 0 {text(shape)} has "
                f"{len(shape)} axes to copy from"
            )
        return shape[axis]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Reshape; sizes that are copied, or left open, may change."""
        x = layer.bottom
        start, end = self._replaced(x.shape)
        middle = self.sizes
        copied = {start + i for i, size in enumerate(middle) if size == 0}
        copied |= set(range(start))
        others = [i for i in range(len(x.shape)) if i not in copied]
        behind = x.fixed(range(end, len(x.shape)))
        kind = next((x.pattern[i] for i in others if x.pattern[i] is not None), None)
        if -1 not in middle:
            x.fixed(others)
        pattern: Pattern = tuple(
            x.pattern[i] if i in copied else None for i in range(start + len(middle))
        )
        pattern += (None,) * len(behind)
        if -1 in middle:
            place = start + list(middle).index(-1)
            pattern = (*pattern[:place], kind, *pattern[place + 1 :])
        name = layer.reshaped(x, (*[0] * start, *middle, *behind))
        return [layer.top(name, pattern)]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        options = layer.param.reshape_param
        (x,) = code.inputs(layer)
        axes = len(layer.shapes[0])
        start = options.axis + (axes + 1 if options.axis < 0 else 0)
        end = axes if options.num_axes == -1 else start + options.num_axes
        sizes = [f"{x}.shape[{i}]" for i in range(start)]
        for index, size in enumerate(options.shape.dim, start):
            sizes.append(f"{x}.shape[{index}]" if size == 0 else str(size))
        sizes += [f"{x}.shape[{i}]" for i in range(end, axes)]
        code.assign(layer, f"{x}.reshape({', '.join(sizes) or '()'})")
