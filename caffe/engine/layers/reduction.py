"""Layers that sum up or pick along axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch

from caffe.engine.catalogue import register
from caffe.engine.layer import (
    Arity,
    Context,
    Operator,
    Shape,
    Tensors,
    canonical_axis,
)
from caffe.engine.layers.shared import text
from caffe.engine.onnx import reduction as forms
from caffe.engine.onnx.graph import BOOL, VALUES, Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.spans import SpanRule, across
from caffe.engine.torch_code import parts
from caffe.engine.torch_code.code import Code, affine
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError


@register("Reduction")
class ReductionLayer(Operator):
    """Make one number of each vector that the last axes hold.

    Options (``reduction_param``)
        operation : SUM (default), ASUM (of absolute values), SUMSQ (of squares) or
            MEAN.
        axis : int, default 0. First axis that is summed up; all behind it are too.
        coeff : float, default 1. Factor of the result.

    Bottoms and tops
        (N..., K...) to (N...), where K... are the axes from ``axis`` on.

    The gradient of ASUM at 0 is 0.
    """

    backward_needs_top = False

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Axes before ``axis``."""
        shape = bottom_shapes[0]
        return [shape[: canonical_axis(self.param.reduction_param.axis, len(shape))]]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Sum up."""
        options = self.param.reduction_param
        axis = canonical_axis(options.axis, bottoms[0].dim())
        x = bottoms[0].flatten(axis)
        if options.operation == options.ASUM:
            x = x.abs()
        elif options.operation == options.SUMSQ:
            x = x.square()
        top = x.mean(-1) if options.operation == options.MEAN else x.sum(-1)
        return [top * options.coeff]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give one of the reductions, and its factor."""
        options = layer.param.reduction_param
        x = layer.bottom
        first = options.axis % len(x.shape)
        name = x.name
        if options.operation == options.ASUM:
            name = layer.add("Abs", x)
        elif options.operation == options.SUMSQ:
            name = layer.add("Mul", x, x)
        kind = "ReduceMean" if options.operation == options.MEAN else "ReduceSum"
        name = layer.reduce(kind, name, range(first, len(x.shape)), keep=False)
        return [layer.top(layer.scaled(name, options.coeff), x.pattern[:first])]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        options = layer.param.reduction_param
        (x,) = code.inputs(layer)
        element = {options.ASUM: f"{x}.abs()", options.SUMSQ: f"{x}.square()"}
        axis = layer.axis(options.axis)
        flat = element.get(options.operation, x)
        flat += f".flatten({axis})" if axis < len(layer.shapes[0]) - 1 else ""
        method = "mean" if options.operation == options.MEAN else "sum"
        reduced = f"{flat}.{method}(-1)"
        code.assign(layer, affine(reduced, options.coeff, 0))


@register("ArgMax")
class ArgMaxLayer(Operator):
    """Find the greatest values of each sample, or along one axis.

    Options (``argmax_param``)
        out_max_val : bool, default false. Give the values: with ``axis`` instead of
            their indices, without it beside them.
        top_k : int, default 1. How many.
        axis : int. None: over all axes but the first.

    Bottoms
        0 : (N, ...)

    Tops
        0 : with ``axis``, the shape of the bottom with ``top_k`` elements there.
            Without it (N, 1, top_k), or (N, 2, top_k) of indices and values, with axes
            of one element behind it up to the number of axes of the bottom.

    Of equal values that with the higher index comes first. There is no gradient.
    """

    capturable = True
    differentiable_bottoms = ()

    @classmethod
    def span_rule(cls, param: Any, axis: int, ndim: int) -> SpanRule:
        """Keep positions where the maximum is sought along another axis."""
        options = param.argmax_param
        own = canonical_axis(options.axis, ndim) if options.HasField("axis") else axis
        return across(own, axis)

    def setup(self, param: Any, context: Context) -> None:
        """Read the options."""
        options = param.argmax_param
        self.top_k = int(options.top_k)
        self.axis = int(options.axis) if options.HasField("axis") else None

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Sizes of what is found."""
        shape = bottom_shapes[0]
        if self.axis is None:
            among = prod(shape[1:])
            planes = 2 if self.param.argmax_param.out_max_val else 1
            more = (1,) * (len(shape) - 3)
            top = (*shape[:1], planes, self.top_k, *more)
        else:
            axis = canonical_axis(self.axis, len(shape))
            among = shape[axis]
            top = (*shape[:axis], self.top_k, *shape[axis + 1 :])
        if not 1 <= self.top_k <= among:
            raise CheckError(
                f"top_k is {self.top_k}: expected 1 to {among}, as bottom 0 is "
                f"{text(shape)}"
            )
        return [top]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Sort, with the last of equal values first."""
        (x,) = bottoms
        axis = 1 if self.axis is None else canonical_axis(self.axis, x.dim())
        if self.axis is None:
            x = x.reshape(x.shape[0], -1)
        values, indices = _greatest(x.flip(axis), axis, self.top_k)
        indices = (x.shape[axis] - 1 - indices).to(x.dtype)
        both = self.param.argmax_param.out_max_val
        if self.axis is not None:
            return [values if both else indices]
        top = torch.stack([indices, values] if both else [indices], 1)
        return [top.reshape(self.shapes([tuple(bottoms[0].shape)])[0])]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give ArgMax for one index, else TopK from the end."""
        x = layer.bottom
        axis = self.axis
        both = bool(layer.param.argmax_param.out_max_val)
        if axis is not None:
            axis %= len(x.shape)
            indices, values = forms.greatest(
                layer, x, axis, indices=not both, values=both
            )
            pattern = (*x.pattern[:axis], None, *x.pattern[axis + 1 :])
            return [layer.top(values if both else indices, pattern)]
        flat = Value(
            layer.add("Flatten", x, axis=1),
            (x.shape[0], int(np.prod(x.shape[1:]))),
            (x.pattern[0], next(filter(None, x.pattern[1:]), None)),
        )
        indices, values = forms.greatest(layer, flat, 1, indices=True, values=both)
        name = layer.add("Concat", indices, values, axis=1) if both else indices
        name = layer.reshaped(name, (0, *layer.top_shapes[0][1:]))
        ones = (None,) * (len(layer.top_shapes[0]) - 1)
        return [layer.top(name, (x.pattern[0], *ones))]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        options = layer.param.argmax_param
        (x,) = code.inputs(layer)
        (y,) = code.outputs(layer)
        part = code.part(parts.greatest)
        if options.HasField("axis"):
            words = f"{x}, {options.top_k}, {layer.axis(options.axis)}"
            code.lines.append(f"values, places = {part}({words})")
            code.assign(layer, "values" if options.out_max_val else "places")
            return
        flat = f"{x}.flatten(1)" if len(layer.shapes[0]) > 1 else f"{x}[:, None]"
        code.lines.append(f"values, places = {part}({flat}, {options.top_k}, 1)")
        both = "places, values" if options.out_max_val else "places"
        behind = len(layer.top_shapes[0]) - 3
        ones = f"[(..., {'None, ' * behind})]" if behind else ""
        code.lines.append(f"{y} = torch.stack([{both}], 1){ones}")


def _greatest(
    x: torch.Tensor, axis: int, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Greatest values along an axis, and their indices: the first of equal ones."""
    if count == 1:  # as often as not, and much faster than to sort
        indices = x.argmax(axis, keepdim=True)
        return x.gather(axis, indices), indices
    order = torch.sort(x, dim=axis, descending=True, stable=True)
    return (
        order.values.narrow(axis, 0, count),
        order.indices.narrow(axis, 0, count),
    )


@register("BatchReindex")
class BatchReindexLayer(Operator):
    """Pick items of a batch: reorder, repeat or drop them.

    Bottoms
        0 : (N, ...)
        1 : (M,), numbers of items, 0 to N - 1.

    Tops
        0 : (M, ...), item i is item number ``bottom 1 [i]``.

    The gradients of repeated items add up.
    """

    bottoms = (2, 2)
    pointwise = True
    differentiable_bottoms = (0,)
    backward_needs_top = False

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """As many items as there are numbers."""
        data, numbers = bottom_shapes
        if len(numbers) != 1:
            raise CheckError(
                f"bottom 1 {text(numbers)} has {len(numbers)} axes: expected 1"
            )
        if not data:
            raise CheckError("bottom 0 has 0 axes: expected 1 or more")
        return [(*numbers, *data[1:])]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Pick."""
        data, numbers = bottoms
        if numbers.numel():
            low, high = (float(value) for value in numbers.detach().aminmax())
            if not (low >= 0 and high < len(data)):
                raise CheckError(
                    f"bottom 1 holds numbers from {low:g} to {high:g}: expected 0 to "
                    f"{len(data) - 1}, as bottom 0 is "
                    f"{text(data.shape)}"
                )
        return [data.index_select(0, numbers.detach().long())]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Gather."""
        x, numbers = layer.bottoms
        name = layer.add("Gather", x, layer.to_int(numbers), axis=0)
        return [layer.top(name, (*numbers.pattern, *x.pattern[1:]))]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        x, index = code.inputs(layer)
        code.assign(layer, f"{x}.index_select(0, {index}.long())")


@register("Filter")
class FilterLayer(Operator):
    """Pass some items of a batch on and drop the others.

    Bottoms
        0, 1, ... : (N, ...)
        last : selector, (N, 1, ...); items where it is not 0 are passed on.

    Tops
        One for each bottom but the selector: (M, ...), M items in their order. M may be
        0, and is known after a forward only; until then it is taken to be N.

    Dropped items have the gradient 0, the selector has none.
    """

    bottoms = (2, None)
    tops = (1, None)
    pointwise = True
    backward_needs_top = False

    @classmethod
    def arity(cls, param: Any) -> tuple[Arity, Arity]:
        """As many tops as bottoms, less the selector."""
        tops = max(len(param.bottom) - 1, 1)
        return cls.bottoms, (tops, tops)

    def setup(self, param: Any, context: Context) -> None:
        """All bottoms but the selector may have a gradient."""
        self.differentiable_bottoms = tuple(range(len(param.bottom) - 1))  # type: ignore[misc]

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shapes of the bottoms, as if all items were passed on."""
        *data, selector = bottom_shapes
        if not selector or prod(selector[1:]) != 1:
            raise CheckError(
                f"bottom {len(data)} (selector) is {text(selector)}: "
                "expected axes of 1 element behind the first"
            )
        for i, shape in enumerate(data):
            if shape[:1] != selector[:1]:
                raise CheckError(
                    f"bottom {i} is {text(shape)}: expected {selector[0]} items, "
                    f"as in bottom {len(data)} (selector) {text(selector)}"
                )
        return data

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Pass on what is selected."""
        *data, selector = bottoms
        chosen = selector.detach().flatten().nonzero()[:, 0]
        return [x.index_select(0, chosen) for x in data]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Compress."""
        *data, selector = layer.bottoms
        flat = layer.reshaped(selector, [-1])
        chosen = layer.add("Cast", flat, to=BOOL)
        return [
            layer.top(
                layer.add("Compress", x, chosen, axis=0),
                (VALUES, *x.pattern[1:]),
                index,
            )
            for index, x in enumerate(data)
        ]
