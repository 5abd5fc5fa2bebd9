"""YOLO's layers that make pixels of channels and channels of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Half, Operator, Shape, Tensors
from caffe.engine.layers.shared import text
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.spans import SpanRule, across
from caffe.engine.torch_code.code import Code
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError

_IMAGE_AXES = 4


def _check_image(shape: Shape) -> None:
    if len(shape) != _IMAGE_AXES:
        raise CheckError(f"bottom 0 is {text(shape)}: expected 4 axes")


@register("Reorg")
class ReorgLayer(Operator):
    """Pixels become channels, or back, by Darknet's arithmetic (eric612, gklz1982).

    Options (``reorg_param``)
        stride : int s.
        reverse : bool, default false.

    Bottoms and tops
        (N, C, Y, X) to (N, C s s, Y / s, X / s); with ``reverse`` to
        (N, C / s / s, Y s, X s).

    Forwards the memory of the bottom counts as (C / s / s, Y s, X s), the pixels of
    whose blocks become channels, slower than those there are; this is not the usual
    rearrangement. With ``reverse`` channels become the pixels of blocks in this order.
    C must be a multiple of s s in both directions. The gradient is the inverse map;
    the fork's is 0.
    """

    capturable = True
    half = Half.PASSES
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Read the stride."""
        self.stride = int(param.reorg_param.stride)
        self.reverse = bool(param.reorg_param.reverse)
        if self.stride == 0:
            raise CheckError("stride is 0: expected a number above 0")

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Multiply and divide."""
        (shape,) = bottom_shapes
        _check_image(shape)
        n, c, y, x = shape
        s = self.stride
        if c % (s * s):
            raise CheckError(
                f"bottom 0 is {text(shape)}: expected a multiple of stride * stride = "
                f"{s * s} channels"
            )
        if self.reverse:
            return [(n, c // s // s, y * s, x * s)]
        if y % s or x % s:
            raise CheckError(
                f"bottom 0 is {text(shape)}: expected spatial sizes that are multiples "
                f"of stride {s}"
            )
        return [(n, c * s * s, y // s, x // s)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Move the axes of blocks."""
        (x,) = bottoms
        (top,) = self.shapes([tuple(x.shape)])
        return [x.reshape(self._blocks(x.shape)).permute(self._order()).reshape(top)]

    def _blocks(self, shape: Sequence[int]) -> Shape:
        """Shape of the bottom in which the axes of blocks are seen."""
        n, c, y, x = shape
        s = self.stride
        fewer = c // s // s
        return (n, s, s, fewer, y, x) if self.reverse else (n, fewer, y, s, x, s)

    def _order(self) -> Shape:
        return (0, 3, 4, 1, 5, 2) if self.reverse else (0, 3, 5, 1, 2, 4)

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Reshape, Transpose and Reshape."""
        x = layer.bottom
        sizes = x.fixed()
        blocks = layer.reshaped(x, self._blocks(sizes))
        moved = layer.add("Transpose", blocks, perm=list(self._order()))
        return [layer.top(layer.reshaped(moved, layer.top_shapes[0]))]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it, for this size."""
        (x,) = code.inputs(layer)
        moved = f"{x}.reshape{(-1, *self._blocks(layer.shapes[0])[1:])}"
        top = (-1, *layer.top_shapes[0][1:])
        code.assign(layer, f"{moved}.permute{self._order()}.reshape{top}")


@register("Upsample")
class UpsampleLayer(Operator):
    """Make each pixel a block (eric612's; the one of two bottoms is SegNet's).

    Options (``upsample_param``)
        scale : int, default 2. Length of a block.

    Bottoms and tops
        (N, C, Y, X) to (N, C, Y scale, X scale)
    """

    capturable = True
    half = Half.PASSES
    backward_needs_top = False

    @classmethod
    def claims(cls, param: Any, blobs: int | None) -> bool | None:
        """Tell by the number of bottoms."""
        return len(param.bottom) < 2

    @classmethod
    def span_rule(cls, param: Any, axis: int, ndim: int) -> SpanRule:
        """Spread each pixel along the spatial axes."""
        if axis < 2:
            return across(-1, axis)
        scale = int(param.upsample_param.scale)
        return lambda bottoms: bottoms[0].spread(scale, scale, 0)

    def setup(self, param: Any, context: Context) -> None:
        """Read the scale."""
        self.scale = int(param.upsample_param.scale)
        if self.scale == 0:
            raise CheckError("scale is 0: expected a number above 0")

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Multiply the spatial sizes."""
        (shape,) = bottom_shapes
        _check_image(shape)
        return [(*shape[:2], *(n * self.scale for n in shape[2:]))]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Repeat."""
        (x,) = bottoms
        return [torch.nn.functional.interpolate(x, scale_factor=self.scale)]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Resize."""
        scales = layer.floats([1, 1, self.scale, self.scale], "scales")
        options = {"mode": "nearest", "nearest_mode": "floor"}
        options["coordinate_transformation_mode"] = "asymmetric"
        return [layer.top(layer.add("Resize", layer.bottom, "", scales, **options))]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        (x,) = code.inputs(layer)
        code.assign(layer, f"F.interpolate({x}, scale_factor={self.scale})")
