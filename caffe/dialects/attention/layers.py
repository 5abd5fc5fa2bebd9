"""Products of two blobs."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.layers.shared import text
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.torch_code.code import Code
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError


@register("MatMul")
class MatMulLayer(Operator):
    """Matrix product of two blobs, for each item (axis 0).

    The matrix of an item has a row for each channel (axis 1) and a column for each
    position along all further axes. The top keeps the axes that its rows and columns
    come from, so that no Reshape has to know the size of an image: with
    ``transpose_a``, (N, C, K) and (N, C, Y, X) give (N, K, Y, X).

    Options (``matmul_param``)
        transpose_a, transpose_b : bool, default false. Take that matrix transposed.
        scale : float, default 1. Factor of the product.

    Bottoms
        0, 1 : (N, C, ...)

    Tops
        0 : (N, rows of the first, columns of the second)
    """

    bottoms = (2, 2)
    backward_needs_top = False
    capturable = True

    def setup(self, param: Any, context: Context) -> None:
        """Read the options."""
        options = param.matmul_param
        self._transposed = options.transpose_a, options.transpose_b
        self._scale = options.scale

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Rows of the first and columns of the second bottom."""
        first, second = bottom_shapes
        if len(first) < 2 or len(second) < 2 or first[0] != second[0]:
            raise CheckError(
                f"bottoms are {text(first)} and {text(second)}: expected 2 or more "
                "axes each, and as many items in both"
            )
        rows, inner = self._split(first, transposed=self._transposed[0])
        across, columns = self._split(second, transposed=self._transposed[1])
        if prod(inner) != prod(across):
            raise CheckError(
                f"matrices of {prod(rows)} x {prod(inner)} and of {prod(across)} x "
                f"{prod(columns)} have no product"
            )
        return [(first[0], *rows, *columns)]

    def _split(self, shape: Shape, *, transposed: bool) -> tuple[Shape, Shape]:
        """Axes of the rows and of the columns."""
        rows, columns = shape[1:2], shape[2:]
        return (columns, rows) if transposed else (rows, columns)

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Multiply."""
        (shape,) = self.shapes([tuple(bottom.shape) for bottom in bottoms])
        matrices = [bottom.reshape(*bottom.shape[:2], -1) for bottom in bottoms]
        first, second = (
            matrix.transpose(1, 2) if transposed else matrix
            for matrix, transposed in zip(matrices, self._transposed, strict=True)
        )
        return [(first @ second).mul_(self._scale).reshape(shape)]

    def multiply_adds(
        self,
        bottoms: Sequence[Shape],
        tops: Sequence[Shape],
        params: Sequence[Shape],
    ) -> int:
        """Count one for each value of the top and each term of its sum."""
        _, inner = self._split(bottoms[0], transposed=self._transposed[0])
        return prod(tops[0]) * prod(inner)

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give MatMul, between a Reshape of each matrix and one of the product."""
        operands = []
        for bottom, transposed in zip(layer.bottoms, self._transposed, strict=True):
            bottom.fixed(list(range(1, len(bottom.shape))))
            name = layer.reshaped(bottom, [0, bottom.shape[1], prod(bottom.shape[2:])])
            operands.append(
                layer.add("Transpose", name, perm=[0, 2, 1]) if transposed else name
            )
        product = layer.scaled(layer.add("MatMul", *operands), self._scale)
        kept = layer.top_shapes[0][1:]
        pattern = (layer.bottoms[0].pattern[0], *[None for _ in kept])
        return [layer.top(layer.reshaped(product, [0, *kept]), pattern)]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write it with the operator ``@``."""
        operands = [
            f"{name}.flatten(2)" if axes > 2 else f"{name}.reshape(*{name}.shape, 1)"
            for name, axes in zip(
                code.inputs(layer), map(len, layer.shapes), strict=True
            )
        ]
        first, second = (
            f"{name}.transpose(1, 2)" if transposed else name
            for name, transposed in zip(operands, self._transposed, strict=True)
        )
        shape = (-1, *layer.top_shapes[0][1:])
        code.assign(layer, f"({first} @ {second} * {self._scale!r}).reshape({shape})")
