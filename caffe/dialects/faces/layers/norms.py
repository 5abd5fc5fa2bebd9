"""Layers that give vectors the length 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.layers.shared import text
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.torch_code.code import Code
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError

_EPS = 1e-7


class _Rows(Operator):
    """Rows, each divided by its L2 norm over all axes but the first."""

    capturable = True
    backward_needs_top = False
    eps: float

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of the bottom."""
        (shape,) = bottom_shapes
        if len(shape) < 2:
            raise CheckError(f"bottom 0 is {text(shape)}: expected 2 axes or more")
        return [shape]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Divide."""
        (x,) = bottoms
        axes = tuple(range(1, x.dim()))
        return [x / (x.square().sum(axes, keepdim=True) + self.eps).sqrt()]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give ReduceL2's parts, and Div."""
        x = layer.bottom
        squares = layer.add("Mul", x, x)
        axes = layer.ints(list(range(1, len(x.shape))))
        total = layer.add("ReduceSum", squares, axes, keepdims=1)
        if self.eps:
            total = layer.add("Add", total, layer.floats(self.eps, "eps"))
        name = layer.add("Div", x, layer.add("Sqrt", total))
        return [layer.top(name, x.pattern)]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        (x,) = code.inputs(layer)
        axes = tuple(range(1, len(layer.shapes[0])))
        eps = f" + {self.eps}" if self.eps else ""
        norm = f"({x}.square().sum({axes}, keepdim=True){eps}).sqrt()"
        code.assign(layer, f"{x} / {norm}")


@register("L2Normalize")
class L2NormalizeLayer(_Rows):
    """Divide each sample by ``sqrt(sum x^2 + 1e-7)`` (C3D 1.1)."""

    eps = _EPS


@register("Normalization")
class NormalizationLayer(_Rows):
    """Divide each sample by its L2 norm (CaffeMex).

    Options (``normalization_param``)
        norm : L2, the default. L1 is refused: the fork's uses the number of samples
            alone.
    """

    eps = 0.0

    def setup(self, param: Any, context: Context) -> None:
        """Refuse L1."""
        options = param.normalization_param
        if options.norm != options.L2:
            raise CheckError("norm is L1: expected L2, which the fork computes right")


@register("Normalize")
class NormalizeLayer(Operator):
    """Divide by the norm over the channels (happynear's; unproven).

    Options (``normalize_param``)
        normalize_type : "L2", the default, or "L1", the sum of magnitudes.
        bp_norm : bool, default false. The second top passes its gradient.
        fix_gradient : false; true is refused.

    Bottoms
        0 : (N, C, ...)

    Tops
        0 : (N, C, ...). 1 : optional, (N, 1, ...), the norms.

    Meant by a net that gives ``normalize_param`` or two tops; others mean SSD's.
    """

    capturable = True
    backward_needs_top = False
    tops = (1, 2)

    @classmethod
    def claims(cls, param: Any, blobs: int | None) -> bool | None:
        """Tell by the options, the tops, and blobs, which this one has not."""
        if param.HasField("norm_param") or blobs:
            return False
        if param.HasField("normalize_param") or len(param.top) > 1:
            return True
        return None

    def setup(self, param: Any, context: Context) -> None:
        """Read which norm."""
        options = param.normalize_param
        orders = {"L2": 2, "L1": 1}
        if options.normalize_type not in orders:
            raise CheckError(
                f"normalize_type is '{options.normalize_type}': expected 'L1' or 'L2'"
            )
        if options.fix_gradient:
            raise CheckError("fix_gradient is true: expected false, which is built")
        self.order = orders[options.normalize_type]
        self.passes_norm = bool(options.bp_norm)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of the bottom, and that of a channel."""
        (shape,) = bottom_shapes
        if len(shape) < 2:
            raise CheckError(f"bottom 0 is {text(shape)}: expected 2 axes or more")
        return [shape, (shape[0], 1, *shape[2:])][: len(self.param.top)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Divide."""
        (x,) = bottoms
        norm = torch.linalg.vector_norm(x, self.order, 1, keepdim=True)
        top = x / norm.clamp(min=torch.finfo(x.dtype).tiny)
        shown = norm if self.passes_norm else norm.detach()
        return [top, shown][: len(self.param.top)]
