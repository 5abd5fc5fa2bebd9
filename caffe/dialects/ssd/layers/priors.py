"""SSD's layer that places boxes on a grid."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import torch

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.layers.shared import text
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.errors import CheckError

_SAME = 1e-6  # nearer ratios are one


@register("PriorBox")
class PriorBoxLayer(Operator):
    """Boxes of given sizes around every pixel of a grid.

    Options (``prior_box_param``)
        min_size : repeated float. Sides of squares, in pixels of the image; their
            fraction is cut off, as in SSD.
        max_size : repeated float. None, or as many, each larger than its ``min_size``:
            a square of side ``sqrt(min_size * max_size)`` as well.
        aspect_ratio : repeated float. Of further boxes with the area of the first
            square; 1 is always there, ratios within 1e-6 of one before count once.
        flip : bool, default true. Also the inverse of each ratio.
        clip : bool, default false. Cut the boxes to the image.
        variance : 1 or 4 floats, default 0.1. What DetectionOutput and MultiBoxLoss
            multiply offsets by.
        img_size, or img_h and img_w : int. Size of the image, if not bottom 1's.
        step, or step_h and step_w : float. Pixels of the image between those of the
            grid; default: size of the image over size of the grid.
        offset : float, default 0.5. Of a centre, in steps.

    Bottoms
        0 : (N, C, Y, X), whose pixels are the grid.
        1 : (N, C, height, width), the image; values are not used.

    Tops
        0 : (1, 2, 4 Y X B). Row 0: left, top, right, bottom, in parts of the image, of
            the B boxes of each pixel; row 1: their variances.
    """

    bottoms = (2, 2)
    differentiable_bottoms = ()

    def setup(self, param: Any, context: Context) -> None:
        """Check the options; list the sizes of boxes."""
        options = param.prior_box_param
        ratios = _ratios(options)
        self.sizes = [
            size
            for side, larger in _sides(options)
            for size in _sizes(side, larger, ratios)
        ]
        self.variances = _variances(options)
        self.image = _pair(options, "img_size", ("img_h", "img_w"))
        self.steps = _pair(options, "step", ("step_h", "step_w"))
        self.offset = float(options.offset)
        self.clip = bool(options.clip)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Two rows of four numbers a box."""
        for i, shape in enumerate(bottom_shapes):
            if len(shape) != 4:
                raise CheckError(
                    f"bottom {i} {text(shape)} has {len(shape)} axes: expected 4 "
                    "(N, C, Y, X)"
                )
        rows, columns = bottom_shapes[0][2:]
        return [(1, 2, rows * columns * len(self.sizes) * 4)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Place the boxes."""
        grid, image = (tuple(bottom.shape[2:]) for bottom in bottoms)
        return [self.boxes(grid, image, context.device)]

    def boxes(
        self, grid: Sequence[int], image: Sequence[float], device: torch.device
    ) -> torch.Tensor:
        """Top for the sizes (Y, X) of the grid and of the image."""
        image = self.image or image
        steps = self.steps
        if not steps or 0 in steps:
            steps = [size / count for size, count in zip(image, grid, strict=True)]
        centres = [
            (torch.arange(count, device=device) + self.offset) * step
            for count, step in zip(grid, steps, strict=True)
        ]
        y, x = torch.meshgrid(*centres, indexing="ij")
        middle = torch.stack([x, y], -1)[:, :, None]
        half = torch.tensor(self.sizes, device=device) / 2
        boxes = torch.cat([middle - half, middle + half], -1)
        boxes /= boxes.new_tensor([image[1], image[0]] * 2)
        if self.clip:
            boxes.clamp_(0, 1)
        variances = boxes.new_tensor(self.variances).expand_as(boxes)
        return torch.stack([boxes, variances]).view(1, 2, -1)

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give the boxes as constants, for the sizes that the net has."""
        grid, image = (value.fixed((2, 3)) for value in layer.bottoms)
        boxes = self.boxes(grid, image, torch.device("cpu")).numpy()
        return [layer.top(layer.floats(boxes, "boxes"), (None, None, None))]


def _sides(options: Any) -> list[tuple[int, int | None]]:
    """Sides of the first and of the second square, in whole pixels."""
    least, most = list(options.min_size), list(options.max_size)
    if not least or min(least) < 1:
        raise CheckError(f"min_size is {_shown(least)}: expected sizes of 1 or more")
    if most and len(most) != len(least):
        raise CheckError(
            f"max_size has {len(most)} values: expected none or {len(least)}, as "
            "min_size has"
        )
    for a, b in zip(least, most, strict=False):
        if b <= a:
            raise CheckError(f"max_size is {b:g}: expected more than min_size {a:g}")
    return [
        (int(a), int(b) if most else None)
        for a, b in zip(least, most or least, strict=True)
    ]


def _ratios(options: Any) -> list[float]:
    """Ratios of width and height but the first, 1, in SSD's order."""
    found = [1.0]
    for ratio in options.aspect_ratio:
        if ratio <= 0:
            raise CheckError(f"aspect_ratio is {ratio:g}: expected more than 0")
        if all(abs(ratio - other) >= _SAME for other in found):
            found += [ratio, 1 / ratio] if options.flip else [ratio]
    return [ratio for ratio in found if abs(ratio - 1) >= _SAME]


def _sizes(
    side: int, larger: int | None, ratios: Sequence[float]
) -> list[tuple[float, float]]:
    """Width and height of the boxes that belong to one min_size."""
    squares = [float(side)] if larger is None else [float(side), sqrt(side * larger)]
    others = [(side * sqrt(ratio), side / sqrt(ratio)) for ratio in ratios]
    return [(size, size) for size in squares] + others


def _variances(options: Any) -> list[float]:
    values = list(options.variance) or [0.1]
    if len(values) not in (1, 4) or min(values) <= 0:
        raise CheckError(
            f"variance is {_shown(values)}: expected 1 or 4 values above 0"
        )
    return values * (4 // len(values))


def _pair(options: Any, both: str, single: tuple[str, str]) -> list[float] | None:
    """Numbers along Y and X; None: neither field is given."""
    given = [name for name in single if options.HasField(name)]
    names = (both, both) if options.HasField(both) else single
    if options.HasField(both) and given:
        raise CheckError(f"both {both} and {given[0]} are given: give one")
    if not options.HasField(both) and len(given) < 2:
        return None
    values = [float(getattr(options, name)) for name in names]
    if min(values) < 0 or (both == "img_size" and 0 in values):
        raise CheckError(f"{both} is {_shown(values)}: expected more than 0")
    return values


def _shown(values: Sequence[float]) -> str:
    return "(" + ",".join(f"{value:g}" for value in values) + ")"
