"""SSD's layer that moves elements and computes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Half, Operator, Shape, Tensors
from caffe.engine.layers.shared import text
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.torch_code.code import Code
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError


@register("Permute")
class PermuteLayer(Operator):
    """Give the axes of the bottom another order.

    Options (``permute_param``)
        order : repeated int. Axes of the bottom in the order of the top; those that are
            not named follow as they stand.

    Bottoms and tops
        Any shape to the same sizes in another order.
    """

    capturable = True
    half = Half.PASSES
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Refuse an axis that is named twice."""
        self.named = list(param.permute_param.order)
        if len(set(self.named)) != len(self.named):
            raise CheckError(
                f"order is {text(self.named)}: expected every axis at most once"
            )

    def _order(self, ndim: int) -> list[int]:
        if max(self.named, default=0) >= max(ndim, 1):
            raise CheckError(
                f"order is {text(self.named)}: expected axes below {ndim}, as bottom 0 "
                f"has {ndim}"
            )
        return self.named + [axis for axis in range(ndim) if axis not in self.named]

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Sizes in the new order."""
        (shape,) = bottom_shapes
        return [tuple(shape[axis] for axis in self._order(len(shape)))]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Move the axes."""
        (x,) = bottoms
        return [x.permute(self._order(x.dim())).contiguous()]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Transpose."""
        order = self._order(len(layer.bottom.shape))
        name = layer.add("Transpose", layer.bottom, perm=order)
        return [layer.top(name, tuple(layer.bottom.pattern[axis] for axis in order))]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        (x,) = code.inputs(layer)
        order = self._order(len(layer.shapes[0]))
        code.assign(layer, f"{x}.permute({', '.join(map(str, order))})")
