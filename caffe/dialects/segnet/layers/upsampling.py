"""Planes that become larger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.layers.shared import check_equal_shapes, text
from caffe.engine.torch_code.code import Code
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError

_BOTTOMS = 2


@register("Upsample")
class UpsampleLayer(Operator):
    """Put values back where they were the largest (SegNet).

    Options (``upsample_param``)
        scale : int, default 2, or scale_h and scale_w. The top is so much larger.
        pad_out_h, pad_out_w : bool, default false. One row, one column less; with
            scale 2 only.
        upsample_h, upsample_w : int. Size of the top, instead of a scale.

    Bottoms
        0 : (N, C, Y, X), values.
        1 : the same shape, where in the plane of the top each belongs, as Pooling's
            second top says it. No gradient.

    Tops
        0 : (N, C, Y', X'), 0 where nothing is put; of several values in one place the
            last stays, and all get its gradient.
    """

    bottoms = (2, 2)
    differentiable_bottoms = (0,)
    backward_needs_top = False

    @classmethod
    def claims(cls, param: Any, blobs: int | None) -> bool | None:
        """With one bottom it is YOLO's."""
        return len(param.bottom) == _BOTTOMS

    def setup(self, param: Any, context: Context) -> None:
        """Check the options."""
        options = param.upsample_param
        for one, other in (("scale_h", "scale_w"), ("upsample_h", "upsample_w")):
            if options.HasField(one) != options.HasField(other):
                raise CheckError(f"{one} and {other} must be given together")
        self._scales = (options.scale_h, options.scale_w)
        if not options.HasField("scale_h"):
            self._scales = (options.scale, options.scale)
        self._lack = (int(options.pad_out_h), int(options.pad_out_w))
        if min(self._scales) < 1:
            raise CheckError(f"scale is {text(self._scales)}: expected above 0")
        for scale, lack in zip(self._scales, self._lack, strict=True):
            if lack and scale != 2:
                raise CheckError(
                    f"pad_out_h or pad_out_w is given with scale {scale}: expected 2"
                )

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Enlarge the plane."""
        check_equal_shapes(bottom_shapes)
        shape, options = bottom_shapes[0], self.param.upsample_param
        if len(shape) != 4:
            raise CheckError(f"bottom 0 is {text(shape)}: expected 4 axes (N, C, Y, X)")
        if options.HasField("upsample_h"):
            return [(*shape[:2], options.upsample_h, options.upsample_w)]
        rows = zip(shape[2:], self._scales, self._lack, strict=True)
        return [(*shape[:2], *(n * scale - lack for n, scale, lack in rows))]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Scatter each plane."""
        x, places = bottoms[0], bottoms[1].detach().flatten(2).long()
        ((*outer, height, width),) = self.shapes([tuple(x.shape)])
        if places.numel():
            low, high = (int(value) for value in places.aminmax())
            if low < 0 or high >= height * width:
                raise CheckError(
                    f"bottom 1 holds place {low if low < 0 else high}: expected 0 to "
                    f"{height * width - 1}, as the top has {height} x {width} pixels"
                )
        top = x.new_zeros(*outer, height * width).scatter(2, places, x.flatten(2))
        return [top.view(*outer, height, width)]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        x, places = code.inputs(layer)
        height, width = layer.top_shapes[0][2:]
        zeros = f"{x}.new_zeros(*{x}.shape[:2], {height * width})"
        values = f"{places}.flatten(2).long(), {x}.flatten(2)"
        code.assign(
            layer, f"{zeros}.scatter(2, {values}).unflatten(2, ({height}, {width}))"
        )
