"""Element-wise sums and the like, softmax, copies, layers without mathematics."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce as fold
from typing import Any

import torch
from torch.nn import functional

from caffe.engine.catalogue import register
from caffe.engine.layer import (
    Context,
    Operator,
    ParameterSpec,
    Shape,
    Tensors,
    canonical_axis,
)
from caffe.engine.layers.shared import check_equal_shapes, text
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.spans import SpanRule, across
from caffe.engine.torch_code.code import Code, affine
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError
from caffe.proto import caffe_pb2


@register("Eltwise")
class EltwiseLayer(Operator):
    """Combine bottoms of one shape element by element.

    Options (``eltwise_param``)
        operation : SUM (default), PROD or MAX.
        coeff : repeated float, default 1. Factors of the bottoms; SUM takes them, MAX
            ignores them, PROD refuses them.
        stable_prod_grad : accepted; the gradient is always the stable one.

    Bottoms and tops
        Two or more bottoms of one shape, one top.

    Where bottoms 0 and 1 are equal, the gradient of MAX goes to bottom 1, as in C++
    Caffe; a later bottom must be greater to get it.
    """

    capturable = True
    bottoms = (2, None)
    pointwise = True
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Check the factors."""
        options = param.eltwise_param
        self.coefficients = list(options.coeff)
        if not self.coefficients:
            return
        if len(self.coefficients) != len(param.bottom):
            raise CheckError(
                f"{len(self.coefficients)} values of coeff for {len(param.bottom)} "
                "bottoms: expected none or one for each"
            )
        if options.operation == options.PROD:
            raise CheckError("coeff is given: operation PROD takes none")

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of every bottom."""
        check_equal_shapes(bottom_shapes)
        return [bottom_shapes[0]]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Combine from left to right."""
        options = self.param.eltwise_param
        top = bottoms[0]
        if options.operation == options.SUM:
            factors = self.coefficients or [1.0] * len(bottoms)
            top = top if factors[0] == 1 else top * factors[0]
            for x, factor in zip(bottoms[1:], factors[1:], strict=True):
                top = torch.add(top, x, alpha=factor)
        elif options.operation == options.PROD:
            for x in bottoms[1:]:
                top = top * x
        else:
            top = torch.where(top > bottoms[1], top, bottoms[1])
            for x in bottoms[2:]:
                top = torch.where(x > top, x, top)
        return [top]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give a chain of Add, Mul or Max."""
        options = layer.param.eltwise_param
        names = [x.name for x in layer.bottoms]
        if options.operation == options.SUM:
            factors = self.coefficients or [1.0] * len(names)
            names = [
                layer.scaled(name, factor)
                for name, factor in zip(names, factors, strict=True)
            ]
        kind = {options.SUM: "Add", options.PROD: "Mul", options.MAX: "Max"}
        operator = kind[options.operation]
        return [layer.top(fold(lambda a, b: layer.add(operator, a, b), names))]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        options = layer.param.eltwise_param
        inputs = code.inputs(layer)
        if options.operation == options.SUM:
            factors = list(options.coeff) or [1.0] * len(inputs)
            expression = affine(inputs[0], factors[0], 0)
            for x, factor in zip(inputs[1:], factors[1:], strict=True):
                sign = "-" if factor < 0 else "+"
                expression += f" {sign} {affine(x, abs(factor), 0)}"
        elif options.operation == options.PROD:
            expression = " * ".join(inputs)
        else:
            expression = inputs[0]
            for x in inputs[1:]:
                expression = f"torch.maximum({expression}, {x})"
        code.assign(layer, expression)


@register("Softmax")
class SoftmaxLayer(Operator):
    """Turn scores into probabilities: ``exp(x_k) / sum_j exp(x_j)``.

    Options (``softmax_param``)
        axis : int, default 1. Axis of the classes.

    Bottoms and tops
        Any shape.
    """

    probabilities = True
    capturable = True

    @classmethod
    def span_rule(cls, param: Any, axis: int, ndim: int) -> SpanRule:
        """Keep positions along all axes but that of the classes."""
        own = canonical_axis(param.softmax_param.axis, ndim)
        return across(own, axis)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of the bottom."""
        canonical_axis(self.param.softmax_param.axis, len(bottom_shapes[0]))
        return list(bottom_shapes)

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Normalise the exponentials."""
        return [functional.softmax(bottoms[0], self.param.softmax_param.axis)]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Softmax."""
        axis = layer.param.softmax_param.axis
        return [layer.top(layer.add("Softmax", layer.bottom, axis=axis))]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        (x,) = code.inputs(layer)
        code.assign(layer, f"{x}.softmax({layer.param.softmax_param.axis})")


@register("Silence")
class SilenceLayer(Operator):
    """Take bottoms so that they are no outputs of the net; their gradient is zero."""

    capturable = True
    bottoms = (1, None)
    tops = (0, 0)
    differentiable_bottoms = ()

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """No tops."""
        return []

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Do nothing."""
        return []

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give nothing."""
        return []

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""


@register("Parameter")
class ParameterLayer(Operator):
    """Give a learnable blob to the layers behind.

    Options (``parameter_param``)
        shape : BlobShape.

    Tops
        0 : ``shape``, the memory of blob 0.

    Blobs
        0 : ``shape``; zeros at first, as there is no filler.
    """

    bottoms = (0, 0)
    aliases_parameter = True

    def setup(self, param: Any, context: Context) -> None:
        """Check the sizes."""
        self.shape = tuple(param.parameter_param.shape.dim)
        if min(self.shape, default=0) < 0:
            raise CheckError(f"shape is {text(self.shape)}: expected sizes from 0 on")

    def parameters(self, bottom_shapes: Sequence[Shape]) -> list[ParameterSpec]:
        """Declare the blob."""
        return [ParameterSpec(self.shape, caffe_pb2.FillerParameter())]

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of the blob."""
        return [self.shape]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Give the blob itself."""
        return [params[0]]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give the blob as a constant."""
        return [layer.top(layer.blob(0), (None,) * len(layer.top_shapes[0]))]


@register("Tile")
class TileLayer(Operator):
    """Repeat the bottom along one axis.

    Options (``tile_param``)
        axis : int, default 1.
        tiles : int. How many copies.

    Bottoms and tops
        (N, C, ...) to (N, tiles C, ...); the gradients of the copies add up.
    """

    backward_needs_top = False

    @classmethod
    def span_rule(cls, param: Any, axis: int, ndim: int) -> SpanRule:
        """Keep positions along all axes but that of the copies."""
        return across(canonical_axis(param.tile_param.axis, ndim), axis)

    def setup(self, param: Any, context: Context) -> None:
        """Check the number of copies."""
        self.tiles = int(param.tile_param.tiles)
        if self.tiles < 1:
            raise CheckError(f"tiles is {self.tiles}: expected a number above 0")

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Multiply the size of the axis."""
        shape = list(bottom_shapes[0])
        shape[canonical_axis(self.param.tile_param.axis, len(shape))] *= self.tiles
        return [tuple(shape)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Repeat."""
        axis = canonical_axis(self.param.tile_param.axis, bottoms[0].dim())
        return [torch.cat([bottoms[0]] * self.tiles, axis)]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Tile."""
        x = layer.bottom
        repeats = [1] * len(x.shape)
        repeats[layer.param.tile_param.axis % len(x.shape)] = self.tiles
        return [layer.top(layer.add("Tile", x, layer.ints(repeats, "repeats")))]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        options = layer.param.tile_param
        (x,) = code.inputs(layer)
        axis = layer.axis(options.axis)
        code.assign(layer, f"torch.cat([{x}] * {options.tiles}, {axis})")
