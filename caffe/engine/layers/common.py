"""Inner products, tables of vectors, and dropout."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from caffe.engine.catalogue import register
from caffe.engine.layer import (
    Array,
    Context,
    Half,
    Operator,
    ParameterSpec,
    Shape,
    Tensors,
    canonical_axis,
)
from caffe.engine.layers.shared import drawing, text
from caffe.engine.onnx.graph import Value, no_counterpart
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.torch_code import parts
from caffe.engine.torch_code.code import Code, number
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError
from caffe.proto import caffe_pb2


@register("InnerProduct")
class InnerProductLayer(Operator):
    """Multiply by a matrix: every output sees every input of its sample.

    Options (``inner_product_param``)
        num_output : int.
        bias_term : bool, default true.
        axis : int, default 1. From here on the bottom is one vector.
        transpose : bool, default false. Weights are stored (K, num_output).
        weight_filler, bias_filler : FillerParameter, default constant 0.

    Bottoms
        0 : (N..., K...), K... are the axes from ``axis`` on, K their product.

    Tops
        0 : (N..., num_output)

    Blobs
        0 : (num_output, K), 1 : (num_output,)
    """

    torch_names = ("weight", "bias")
    capturable = True
    backward_needs_top = False
    half = Half.COMPUTES

    def setup(self, param: Any, context: Context) -> None:
        """Check the number of outputs."""
        options = param.inner_product_param
        self.num_output = int(options.num_output)
        self.transpose = bool(options.transpose)
        self.inputs: int | None = None
        if self.num_output == 0:
            raise CheckError("num_output is 0: expected a number above 0")

    def _split(self, shape: Shape) -> tuple[Shape, int]:
        axis = canonical_axis(self.param.inner_product_param.axis, len(shape))
        return shape[:axis], prod(shape[axis:])

    def parameters(self, bottom_shapes: Sequence[Shape]) -> list[ParameterSpec]:
        """Declare the matrix, and a bias unless ``bias_term: false``."""
        options = self.param.inner_product_param
        _, self.inputs = self._split(bottom_shapes[0])
        shape = (self.num_output, self.inputs)
        specs = [
            ParameterSpec(
                shape[::-1] if self.transpose else shape, options.weight_filler
            )
        ]
        if options.bias_term:
            specs.append(ParameterSpec((self.num_output,), options.bias_filler))
        return specs

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Axes from ``axis`` on become one of ``num_output``."""
        leading, inputs = self._split(bottom_shapes[0])
        if self.inputs not in {None, inputs}:
            raise CheckError(
                f"bottom 0 {text(bottom_shapes[0])} has {inputs} inputs a sample: "
                f"the weights are for {self.inputs}"
            )
        return [(*leading, self.num_output)]

    def multiply_adds(
        self,
        bottoms: Sequence[Shape],
        tops: Sequence[Shape],
        params: Sequence[Shape],
    ) -> int:
        """Count the matrix once a sample."""
        leading, _ = self._split(bottoms[0])
        return prod(leading) * prod(params[0])

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Flatten and multiply."""
        leading, inputs = self._split(tuple(bottoms[0].shape))
        x = bottoms[0].reshape(*leading, inputs)
        weight, *rest = [_in_type_of(x, p, i, context) for i, p in enumerate(params)]
        matrix = weight.t() if self.transpose else weight
        return [functional.linear(x, matrix, rest[0] if rest else None)]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Gemm of the flattened bottom."""
        x = layer.bottom
        axis = layer.param.inner_product_param.axis % len(x.shape)
        x.fixed(range(axis, len(x.shape)))
        flat = (
            x.name
            if (len(x.shape), axis) == (2, 1)
            else layer.add("Flatten", x, axis=axis)
        )
        weights = [layer.blob(index) for index in range(len(layer.blobs))]
        name = layer.add("Gemm", flat, *weights, transB=int(not self.transpose))
        pattern = (*x.pattern[:axis], None)
        if axis != 1:
            free = [i for i, kind in enumerate(x.pattern[:axis]) if kind is not None]
            x.fixed(free[1:])
            sizes = [-1 if i in free else n for i, n in enumerate(layer.top_shapes[0])]
            name = layer.reshaped(name, sizes)
        return [layer.top(name, pattern)]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        options = layer.param.inner_product_param
        (x,) = code.inputs(layer)
        axis = layer.axis(options.axis)
        inputs = layer.blobs[0].size // options.num_output
        bias = "" if options.bias_term else ", bias=False"
        call = code.module(layer, f"nn.Linear({inputs}, {options.num_output}{bias})")
        flat = x if axis == len(layer.shapes[0]) - 1 else f"{x}.flatten({axis})"
        code.assign(layer, f"{call}({flat})")

    def to_torch_blobs(self, blobs: Sequence[Array]) -> list[Array]:
        """Give the matrix as torch has it, outputs first."""
        matrix, *bias = blobs
        return [np.ascontiguousarray(matrix.T) if self.transpose else matrix, *bias]

    def from_torch_blobs(self, arrays: Sequence[Array]) -> list[Array]:
        """Turn the matrix back."""
        matrix, *bias = arrays
        return [matrix.T if self.transpose else matrix, *bias]


def _in_type_of(
    x: torch.Tensor, param: torch.Tensor, index: int, context: Context
) -> torch.Tensor:
    """Turn a parameter into the type of a bottom; once where no gradient is wanted."""
    if torch.is_grad_enabled() or param.dtype is x.dtype:
        return param.to(x.dtype)
    return context.packing.get(index, "type", x.dtype, lambda: param.to(x.dtype))


@register("Embed")
class EmbedLayer(Operator):
    """Replace every number by the vector of that number.

    Options (``embed_param``)
        num_output : int. Length of a vector.
        input_dim : int. How many vectors there are.
        bias_term : bool, default true. One more vector, added to each.
        weight_filler, bias_filler : FillerParameter, default constant 0.

    Bottoms
        0 : any shape, whole numbers from 0 to ``input_dim`` - 1.

    Tops
        0 : the shape of the bottom, and behind it ``num_output``.

    Blobs
        0 : (input_dim, num_output), 1 : (num_output,)

    The bottom receives no gradient. C++ Caffe checks the numbers in debug builds only.
    """

    torch_names = ("weight", "bias")
    differentiable_bottoms = ()
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Check the sizes."""
        options = param.embed_param
        for name in ("num_output", "input_dim"):
            if getattr(options, name) == 0:
                raise CheckError(f"{name} is 0: expected a number above 0")
        self.num_output = int(options.num_output)
        self.input_dim = int(options.input_dim)

    def parameters(self, bottom_shapes: Sequence[Shape]) -> list[ParameterSpec]:
        """Declare the table, and a bias unless ``bias_term: false``."""
        options = self.param.embed_param
        table = (self.input_dim, self.num_output)
        specs = [ParameterSpec(table, options.weight_filler)]
        if options.bias_term:
            specs.append(ParameterSpec((self.num_output,), options.bias_filler))
        return specs

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """One axis more."""
        return [(*bottom_shapes[0], self.num_output)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Look up."""
        numbers = bottoms[0].detach()
        wrong = (
            (numbers < 0) | (numbers >= self.input_dim) | (numbers != numbers.trunc())
        )
        if wrong.any():
            raise CheckError(
                f"bottom 0 holds {float(numbers[wrong][0]):g}: "
                f"expected whole numbers from 0 to {self.input_dim - 1}"
            )
        top = functional.embedding(numbers.long(), params[0])
        return [top + params[1] if len(params) > 1 else top]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Gather from the table, and Add of the bias."""
        name = layer.add("Gather", layer.blob(0), layer.to_int(layer.bottom), axis=0)
        if len(layer.blobs) > 1:
            name = layer.add("Add", name, layer.blob(1))
        return [layer.top(name, (*layer.bottom.pattern, None))]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        options = layer.param.embed_param
        (x,) = code.inputs(layer)
        sizes = f"{options.input_dim}, {options.num_output}, bias={options.bias_term}"
        call = code.module(layer, f"{code.part(parts.Embed)}({sizes})")
        code.assign(layer, f"{call}({x})")


@register("Dropout")
class DropoutLayer(Operator):
    """In TRAIN, set elements to zero at random and scale the others up.

    Options (``dropout_param``)
        dropout_ratio : float from 0 to 1, default 0.5. Probability of a zero.
        scale_train : bool, default true. False: elements are scaled by
            ``1 - dropout_ratio`` in TEST and not in TRAIN.

    Bottoms and tops
        Any shape; the top is the bottom times a mask of 0 and
        ``1 / (1 - dropout_ratio)``. In TEST the top is the bottom itself. With a ratio
        of 1 all elements become 0 (C++ Caffe makes them NaN).

    The mask is drawn in the order of the axes, whatever the layout of the memory.
    """

    pointwise = True
    capturable = True
    half = Half.PASSES

    def setup(self, param: Any, context: Context) -> None:
        """Check the ratio."""
        self.ratio = float(param.dropout_param.dropout_ratio)
        self.scale_train = bool(param.dropout_param.scale_train)
        if not 0 <= self.ratio <= 1:
            raise CheckError(f"dropout_ratio is {self.ratio:g}: expected 0 to 1")
        if context.train and self.ratio == 1:
            text = "dropout_ratio is 1: all elements become 0, in C++ Caffe NaN"
            context.log("dropout_layer.cpp:15", text, "W")

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of the bottom."""
        return list(bottom_shapes)

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Mask in TRAIN, pass in TEST."""
        (x,) = bottoms
        if not context.train:
            return [x if self.scale_train else x * (1 - self.ratio)]
        mask = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        mask.bernoulli_(1 - self.ratio, generator=drawing(context))
        kept = 1 - self.ratio if self.scale_train else 1
        return [x * (mask.mul_(1 / kept) if kept else mask)]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give the bottom, as in phase TEST."""
        if layer.param.phase == caffe_pb2.TRAIN:
            raise no_counterpart("its phase is TRAIN: it drops at random")
        if not self.scale_train:
            return [layer.top(layer.scaled(layer.bottom, 1 - self.ratio))]
        return [layer.bottom]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        (x,) = code.inputs(layer)
        ratio = number(self.param.dropout_param.dropout_ratio)
        when = "True" if self.param.phase == caffe_pb2.TRAIN else "self.training"
        kept = "" if self.scale_train else f" * (1 - {ratio})"
        code.assign(layer, f"F.dropout({x}, {ratio}, {when}){kept}")
