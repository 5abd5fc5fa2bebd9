"""Layers that move elements and compute nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch

from caffe.engine.catalogue import register
from caffe.engine.layer import (
    Array,
    Context,
    Half,
    Operator,
    Shape,
    Tensors,
    canonical_axis,
)
from caffe.engine.layers.shared import cut, legacy_axis, text
from caffe.engine.onnx import shape as forms
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.spans import SpanRule, across
from caffe.engine.torch_code import parts
from caffe.engine.torch_code.code import Code
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError
from caffe.proto import caffe_pb2


@register("Concat")
class ConcatLayer(Operator):
    """Join bottoms along one axis, cutting larger ones to the centre.

    Options (``concat_param``)
        axis : int, default 1. The older name is ``concat_dim``.

    Bottoms
        0 : gives the sizes of the other axes.
        1, 2, ... : as large or larger there, by an even number.

    Tops
        0 : sizes of bottom 0, the sum of all along ``axis``. The memory of bottom 0 if
            there is no other.

    Bottoms that are larger are cut to their centre (caffe_unet; C++ Caffe refuses
    them); their gradient is zero outside the cut.
    """

    capturable = True
    bottoms = (1, None)
    half = Half.PASSES

    @classmethod
    def aliases(cls, param: Any) -> bool:
        """One bottom: nothing is joined."""
        return len(param.bottom) == 1

    @classmethod
    def span_rule(cls, param: Any, axis: int, ndim: int) -> SpanRule:
        """Cut to the centre, except along the axis of the join."""
        own = canonical_axis(legacy_axis(param.concat_param, "concat_dim"), ndim)
        join = across(own, axis)
        return lambda bottoms: join([x.centre(bottoms[0].size) for x in bottoms])

    def setup(self, param: Any, context: Context) -> None:
        """Read the axis."""
        self.axis = legacy_axis(param.concat_param, "concat_dim")
        self._log = context.log
        self._logged: list[Shape] = []

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Sizes of bottom 0, and the sum along the axis."""
        first = bottom_shapes[0]
        axis = canonical_axis(self.axis, len(first))
        cuts = [self._check(i, shape, first) for i, shape in enumerate(bottom_shapes)]
        if list(bottom_shapes) != self._logged:
            self._logged = list(bottom_shapes)
            for i, (cut, shape) in enumerate(zip(cuts, bottom_shapes, strict=True)):
                if cut != shape:
                    self._log(
                        "concat_layer.cpp:67",
                        f"bottom blob {i} {text(shape)} will be cropped to {text(cut)}",
                    )
        total = sum(shape[axis] for shape in bottom_shapes)
        return [(*first[:axis], total, *first[axis + 1 :])]

    def _check(self, i: int, shape: Shape, first: Shape) -> Shape:
        """Shape of bottom i after the cut."""
        if len(shape) != len(first):
            raise CheckError(
                f"bottom {i} {text(shape)} has {len(shape)} axes: "
                f"expected {len(first)}, as in bottom 0 {text(first)}"
            )
        axis = canonical_axis(self.axis, len(first))
        for k, (size, wanted) in enumerate(zip(shape, first, strict=True)):
            if k != axis and (size < wanted or (size - wanted) % 2):
                raise CheckError(
                    f"bottom {i} {text(shape)} has {size} elements along axis {k}: "
                    f"expected {wanted} as in bottom 0 {text(first)}, or more by "
                    "an even number"
                )
        return (*first[:axis], shape[axis], *first[axis + 1 :])

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Cut and join."""
        first = bottoms[0]
        if len(bottoms) == 1:
            return [first]
        axis = canonical_axis(self.axis, first.dim())
        parts = []
        for x in bottoms:
            sizes = [*first.shape[:axis], x.shape[axis], *first.shape[axis + 1 :]]
            pairs = zip(x.shape, sizes, strict=True)
            parts.append(cut(x, [(a - b) // 2 for a, b in pairs], sizes))
        return [torch.cat(parts, axis)]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Concat of the bottoms, cut to the centre where they are larger."""
        first = layer.bottom
        if len(layer.bottoms) == 1:
            return [first]
        axis = self.axis % len(first.shape)
        parts = []
        for x in layer.bottoms:
            larger = [
                i
                for i, size in enumerate(x.shape)
                if i != axis and size != first.shape[i]
            ]
            parts.append(
                forms.cut(layer, x, first, larger, None).name if larger else x.name
            )
        along = next((x.pattern[axis] for x in layer.bottoms if x.pattern[axis]), None)
        pattern = (*first.pattern[:axis], along, *first.pattern[axis + 1 :])
        return [layer.top(layer.add("Concat", *parts, axis=axis), pattern)]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        inputs = code.inputs(layer)
        axis = layer.axis(legacy_axis(layer.param.concat_param, "concat_dim"))
        first = layer.shapes[0]
        for index, shape in enumerate(layer.shapes):
            pairs = zip(shape, first, strict=True)
            if any(a != b for i, (a, b) in enumerate(pairs) if i != axis):
                part = code.part(parts.centre)
                inputs[index] = f"{part}({inputs[index]}, {inputs[0]}, {axis})"
        if len(inputs) == 1:
            code.assign(layer, inputs[0])
        else:
            code.assign(layer, f"torch.cat([{', '.join(inputs)}], {axis})")

    def to_bvlc(self, layer: TorchLayer) -> Iterator[tuple[Any, Sequence[Array]]]:
        """Cut larger bottoms to their centre by layers of their own."""
        message = layer.message()
        axis = layer.axis(self.axis)
        first = layer.shapes[0]
        for index, shape in enumerate(layer.shapes[1:], 1):
            offsets = [(a - b) // 2 for a, b in zip(shape, first, strict=True)]
            offsets[axis] = 0
            larger = [i for i, o in enumerate(offsets) if o]
            if not larger:
                continue
            crop = caffe_pb2.LayerParameter(
                name=f"{layer.name}_crop{index}", type="Crop"
            )
            crop.bottom[:] = layer.bottoms[index], layer.bottoms[0]
            crop.top[:] = [crop.name]
            start = larger[0]
            if axis >= start:
                raise layer.refuse(
                    "Caffe", f"Crop would cut the axis {axis} that is joined"
                )
            crop.crop_param.axis = start
            crop.crop_param.offset[:] = offsets[start:]
            message.bottom[index] = crop.name
            yield crop, ()
        yield message, ()


@register("Slice")
class SliceLayer(Operator):
    """Cut the bottom into pieces along one axis.

    Options (``slice_param``)
        axis : int, default 1. The older name is ``slice_dim``.
        slice_point : repeated int. Where pieces begin, one less than there are tops;
            none: pieces of equal size.

    Tops
        One or more. The memory of the bottom if there is only one.
    """

    capturable = True
    tops = (1, None)

    @classmethod
    def aliases(cls, param: Any) -> bool:
        """One top: nothing is cut."""
        return len(param.top) == 1

    @classmethod
    def span_rule(cls, param: Any, axis: int, ndim: int) -> SpanRule:
        """Keep positions along all axes but that of the pieces."""
        own = canonical_axis(legacy_axis(param.slice_param, "slice_dim"), ndim)
        return across(own, axis)

    def setup(self, param: Any, context: Context) -> None:
        """Check the number of points."""
        self.axis = legacy_axis(param.slice_param, "slice_dim")
        self.points = list(param.slice_param.slice_point)
        if self.points and len(self.points) != len(param.top) - 1:
            raise CheckError(
                f"{len(self.points)} values of slice_point for {len(param.top)} tops: "
                f"expected none or {len(param.top) - 1}"
            )

    def _sizes(self, shape: Shape) -> list[int]:
        size = shape[canonical_axis(self.axis, len(shape))]
        tops = len(self.param.top)
        if self.points:
            sizes = [b - a for a, b in pairwise([0, *self.points, size])]
            if min(sizes) < 1:
                raise CheckError(
                    f"slice_point is {text(self.points)}: "
                    f"expected rising values between 0 and {size}, "
                    f"as bottom 0 is {text(shape)}"
                )
            return sizes
        if size % tops:
            raise CheckError(
                f"bottom 0 {text(shape)} has {size} elements along axis {self.axis}: "
                f"expected a multiple of {tops} tops, or slice_point"
            )
        return [size // tops] * tops

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Sizes of the pieces."""
        (shape,) = bottom_shapes
        sizes = self._sizes(shape)
        axis = canonical_axis(self.axis, len(shape))
        return [(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Cut."""
        sizes = self._sizes(tuple(bottoms[0].shape))
        return list(bottoms[0].split(sizes, self.axis))

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give a Slice for every top."""
        x = layer.bottom
        axis = self.axis % len(x.shape)
        x.fixed([axis])
        sizes = [shape[axis] for shape in layer.top_shapes]
        ends = list(accumulate(sizes))
        return [
            layer.top(layer.sliced(x, [axis], [end - size], [end]), index=index)
            for index, (size, end) in enumerate(zip(sizes, ends, strict=True))
        ]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        options = layer.param.slice_param
        (x,) = code.inputs(layer)
        axis = layer.axis(legacy_axis(options, "slice_dim"))
        where = list(options.slice_point) or len(layer.tops)
        tops = ", ".join(code.outputs(layer))
        comma = "," if len(layer.tops) == 1 else ""
        code.lines.append(f"{tops}{comma} = {x}.tensor_split({where}, {axis})")


@register("Split")
class SplitLayer(Operator):
    """Give one blob several names, so that the gradients of all uses add up.

    Tops
        One or more, each the memory of the bottom.
    """

    capturable = True
    tops = (1, None)
    pointwise = True
    aliases_bottom = True
    adds_gradients = True
    half = Half.PASSES

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of the bottom, for every top."""
        return [bottom_shapes[0]] * len(self.param.top)

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Give the bottom to all."""
        return [bottoms[0]] * len(self.param.top)

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give the bottom to all."""
        return [layer.bottom] * len(layer.tops)

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        (x,) = code.inputs(layer)
        code.lines.append(f"{' = '.join(code.outputs(layer))} = {x}")


@register("Crop")
class CropLayer(Operator):
    """Cut the first bottom to the sizes of the second.

    Options (``crop_param``)
        axis : int, default 2. First axis that is cut; negative counts from the end.
        offset : repeated int, default 0. One value for all cut axes, or one for each.

    Bottoms
        0 : any number of axes.
        1 : as many axes or more; gives the sizes, values are not used.

    Tops
        0 : sizes of bottom 0 before ``axis``, of bottom 1 from there on; a view.

    The gradient is zero outside the cut; bottom 1 receives none.
    """

    capturable = True
    bottoms = (2, 2)
    differentiable_bottoms = (0,)
    backward_needs_top = True  # a view: no layer behind it may overwrite it
    half = Half.PASSES

    @classmethod
    def span_rule(cls, param: Any, axis: int, ndim: int) -> SpanRule:
        """Cut bottom 0 to the size of bottom 1."""
        first = canonical_axis(param.crop_param.axis, ndim)
        if axis < first:
            return lambda bottoms: bottoms[0]
        offsets = list(param.crop_param.offset) or [0]
        start = offsets[axis - first if len(offsets) > 1 else 0]
        return lambda bottoms: bottoms[0].cut(start, bottoms[-1].size)

    def _box(self, shape: Shape, reference: Shape) -> tuple[list[int], list[int]]:
        """Find start and size of the cut along every axis."""
        options = self.param.crop_param
        if len(reference) < len(shape):
            raise CheckError(
                f"bottom 1 {text(reference)} has {len(reference)} axes: "
                f"expected {len(shape)}, as in bottom 0 {text(shape)}"
            )
        axis = canonical_axis(options.axis, len(shape))
        cut = len(shape) - axis
        offsets = list(options.offset) or [0]
        if len(offsets) not in {1, cut}:
            raise CheckError(
                f"offset has {len(offsets)} values: expected 1 or {cut}, "
                f"as axis {axis} of {len(shape)} is the first that is cut"
            )
        if len(offsets) != cut:
            offsets *= cut
        return [0] * axis + offsets, [*shape[:axis], *reference[axis : len(shape)]]

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Sizes of the cut, which must lie inside bottom 0."""
        shape, reference = bottom_shapes
        starts, sizes = self._box(shape, reference)
        for axis, (start, size) in enumerate(zip(starts, sizes, strict=True)):
            if start + size > shape[axis]:
                raise CheckError(
                    f"bottom 0 {text(shape)} has {shape[axis]} elements along axis "
                    f"{axis}, the cut needs {start + size} (offset {start} + {size} "
                    f"of bottom 1 {text(reference)})"
                )
        return [tuple(sizes)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """View of the cut."""
        data, reference = bottoms
        return [cut(data, *self._box(tuple(data.shape), tuple(reference.shape)))]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Slice; its ends are computed where the sizes may change."""
        x, reference = layer.bottoms
        offsets, _ = self._box(x.shape, reference.shape)
        axis = layer.param.crop_param.axis % len(x.shape)
        axes = range(axis, len(x.shape))
        value = forms.cut(layer, x, reference, axes, offsets[axis:])
        return [layer.top(value.name, value.pattern)]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        options = layer.param.crop_param
        x, like = code.inputs(layer)
        axis = layer.axis(options.axis)
        axes = len(layer.shapes[0]) - axis
        offsets = list(options.offset) or [0]
        offsets *= axes if len(offsets) == 1 else 1
        cuts = [":"] * axis
        for index, offset in enumerate(offsets, axis):
            size = f"{like}.shape[{index}]"
            cuts.append(f"{offset} : {offset} + {size}" if offset else f": {size}")
        code.assign(layer, f"{x}[{', '.join(cuts)}]")
