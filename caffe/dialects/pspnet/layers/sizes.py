"""Layers that change the size of a plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.layers.shared import cut, text
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.torch_code.code import Code
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError


@register("Interp")
class InterpLayer(Operator):
    """Bilinear interpolation that keeps the corners where they are (DeepLab).

    Options (``interp_param``)
        shrink_factor, zoom_factor : int. Of n pixels ``(n - 1) / shrink + 1`` (without
            the rest) are left, then ``n + (n - 1) (zoom - 1)`` are made.
        height, width : int. Size of the top, without factors.
        pad_beg, pad_end : int of 0 or less, default 0. So much is first cut off along
            both axes.

    Bottoms
        0 : (N, C, Y, X)
        1 : optional, (..., Y', X'), whose size the top shall have, whatever the options
            say. No gradient.

    Tops
        0 : (N, C, Y', X'), read at ``i (n - 1) / (n' - 1)``, of one pixel at 0.
    """

    bottoms = (1, 2)
    differentiable_bottoms = (0,)
    backward_needs_top = False
    capturable = True

    def setup(self, param: Any, context: Context) -> None:
        """Check that there is a size."""
        options = param.interp_param
        self._start, self._end = -options.pad_beg, -options.pad_end
        for name in ("pad_beg", "pad_end"):
            if getattr(options, name) > 0:
                raise CheckError(
                    f"{name} is {getattr(options, name)}: expected 0 or less"
                )
        for name in ("shrink_factor", "zoom_factor"):
            if getattr(options, name) < 1:
                raise CheckError(
                    f"{name} is {getattr(options, name)}: expected a number above 0"
                )
        names = [field.name for field, _ in options.ListFields()]
        self._by_factors = "shrink_factor" in names or "zoom_factor" in names
        by_size = options.height > 0 and options.width > 0
        if len(param.bottom) < 2 and not (self._by_factors or by_size):
            raise CheckError(
                "expected shrink_factor, zoom_factor, or height and width above 0"
            )

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Channels of the bottom, in the size asked for."""
        shape = bottom_shapes[0]
        if any(len(shape) != 4 for shape in bottom_shapes):
            shown = ", ".join(text(shape) for shape in bottom_shapes)
            raise CheckError(f"bottoms are {shown}: expected 4 axes (N, C, Y, X)")
        kept = [extent - self._start - self._end for extent in shape[2:]]
        if min(kept) < 1:
            raise CheckError(
                f"bottom 0 is {text(shape)}, of which pad_beg and pad_end leave nothing"
            )
        if len(bottom_shapes) > 1:
            return [(*shape[:2], *bottom_shapes[1][2:])]
        return [(*shape[:2], *self._size(kept))]

    def _size(self, kept: Sequence[int]) -> Shape:
        options = self.param.interp_param
        if not self._by_factors:
            return options.height, options.width
        shrunk = [(n - 1) // options.shrink_factor + 1 for n in kept]
        return tuple(n + (n - 1) * (options.zoom_factor - 1) for n in shrunk)

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Cut off and interpolate."""
        x = bottoms[0]
        ((*_, height, width),) = self.shapes([tuple(b.shape) for b in bottoms])
        starts = [0, 0, self._start, self._start]
        sizes = [*x.shape[:2], *(n - self._start - self._end for n in x.shape[2:])]
        part = cut(x, starts, sizes)
        return [_interpolated(part, (height, width))]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Slice and Resize."""
        x = layer.bottoms[0]
        x.fixed([2, 3])
        name = x.name
        if self._start or self._end:
            ends = [n - self._end for n in x.shape[2:]]
            name = layer.add(
                "Slice",
                x,
                layer.ints([self._start] * 2),
                layer.ints(ends),
                layer.ints([2, 3]),
            )
        name = layer.add(
            "Resize",
            name,
            "",
            "",
            layer.ints(layer.top_shapes[0]),
            mode="linear",
            coordinate_transformation_mode="align_corners",
        )
        return [layer.top(name)]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        x = code.inputs(layer)[0]
        if self._start or self._end:
            ends = [n - self._end for n in layer.shapes[0][2:]]
            x += f"[:, :, {self._start}:{ends[0]}, {self._start}:{ends[1]}]"
        size = layer.top_shapes[0][2:]
        words = f'{size}, mode="bilinear", align_corners=True'
        code.assign(layer, f"F.interpolate({x}, {words})")


def _interpolated(x: torch.Tensor, size: Shape) -> torch.Tensor:
    if tuple(x.shape[2:]) == size:
        return x.clone()
    return functional.interpolate(x, size, mode="bilinear", align_corners=True)


@register("Padding")
class PaddingLayer(Operator):
    """Put zeros around a plane, or cut its margins off (DeepLab v1).

    Options (``padding_param``)
        pad_beg, pad_end : int, default 0. Rows above and columns to the left, rows
            below and columns to the right; below 0 so many are cut off.

    Bottoms
        0 : (N, C, Y, X)

    Tops
        0 : (N, C, Y + pad_beg + pad_end, X + pad_beg + pad_end)

    No answer of a fork's is stored for it.
    """

    backward_needs_top = False
    capturable = True

    def setup(self, param: Any, context: Context) -> None:
        """Read the widths."""
        options = param.padding_param
        self._margins = [options.pad_beg, options.pad_end] * 2

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Both margins more, or less."""
        (shape,) = bottom_shapes
        if len(shape) != 4:
            raise CheckError(f"bottom 0 is {text(shape)}: expected 4 axes (N, C, Y, X)")
        more = sum(self._margins[:2])
        size = [extent + more for extent in shape[2:]]
        cut_off = max(-min(self._margins), 0)
        if min(size) < 1 or min(shape[2:]) <= cut_off:
            raise CheckError(
                f"bottom 0 is {text(shape)}, of which pad_beg and pad_end leave nothing"
            )
        return [(*shape[:2], *size)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Pad."""
        return [functional.pad(bottoms[0], self._margins)]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Pad."""
        first, last = self._margins[:2]
        widths = layer.ints([0, 0, first, first, 0, 0, last, last])
        return [layer.top(layer.add("Pad", layer.bottom, widths))]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        (x,) = code.inputs(layer)
        code.assign(layer, f"F.pad({x}, {tuple(self._margins)})")
