"""The loss of YOLO 2."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch.nn import functional

from caffe.dialects.yolo import boxes
from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Shape, Tensors
from caffe.engine.layers.shared import LossLayer, as_floats, text, with_gradients
from caffe.errors import CheckError

_TRUTH = 5  # numbers of a true box: class, x, y, w, h
_OBJECT, _CLASSES = 4, slice(5, None)


@register("RegionLoss")
class RegionLossLayer(LossLayer):
    """Loss of YOLO 2 (eric612, gklz1982, intel).

    Options (``region_loss_param``)
        num_class : int, default 20. ``num`` : int, default 5, boxes a cell.
        biases : float. Width and height of each anchor, in cells.
        object_scale, class_scale : float, default 1. ``noobject_scale`` : default 0.5.
            ``coord_scale`` : default 5. Weights of the parts.
        thresh : float, default 0.2. A box that overlaps with a true one by more is not
            taught to be none.
        bias_match : int, default 1. Anchors are held against a true box; 0: boxes.
        rescore : int, default 1. The certainty of an object is to be the overlap, and
            coordinates weigh the same in all boxes; 0: it is to be 1, and they weigh
            ``2 - w h`` times as much.

    Bottoms
        0 : (N, num * (5 + num_class), Y, X); of a box x, y, w, h, object, classes.
        1 : (N, ...), rows of class, x, y, w, h, in parts of the image; the first one
            with x (w) 0 ends those that are looked at for ``thresh`` (as targets).

    Tops
        0 : (), sum of the squares of the gradients, divided by N.

    The gradients are those of squared differences of x, y and object, all through the
    sigmoid, of w and h, and of the cross entropy of the classes; divided by N. They
    are not the derivative of the top. ``softmax``, ``jitter``, ``absolute``,
    ``random``, ``side`` and the names of files have no effect.
    """

    def setup(self, param: Any, context: Context) -> None:
        """Read the options."""
        self.options = options = param.region_loss_param
        if options.coords != 4:
            raise CheckError(f"coords is {options.coords}: expected 4")
        self._count = int(options.num)
        if options.biases:
            boxes.read_anchors(options.biases, self._count)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number."""
        tops = super().shapes(bottom_shapes)
        scores, labels = bottom_shapes
        channels = self._count * (_TRUTH + self.options.num_class)
        if len(scores) != 4 or scores[1] != channels:
            raise CheckError(
                f"bottom 0 is {text(scores)}: expected {channels} channels, num "
                f"{self._count} times num_class {self.options.num_class} and {_TRUTH}"
            )
        if prod(labels[1:]) % _TRUTH:
            raise CheckError(
                f"bottom 1 (labels) is {text(labels)}: expected rows of {_TRUTH} "
                "numbers for each image"
            )
        return tops

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Find the gradients of all images; their squares are the loss."""
        x = as_floats(bottoms[0])
        n, _, height, width = x.shape
        values = x.detach().reshape(n, self._count, -1, height, width)
        values = values.permute(0, 3, 4, 1, 2)  # image, row, column, box, number
        labels = bottoms[1].detach().to(x).reshape(n, -1, _TRUTH)
        places = boxes.places(height, width, x)[:, :, None]
        sizes = boxes.read_anchors(self.options.biases, self._count)
        anchors = x.new_tensor(sizes) / x.new_tensor([width, height])
        gradients = torch.stack(
            [
                self._gradients(*image, places, anchors)
                for image in zip(values, labels, strict=True)
            ]
        )
        loss = gradients.square().sum() / n
        gradients = gradients.permute(0, 3, 4, 1, 2).reshape(x.shape) / n
        return [with_gradients(loss, (x, gradients))]

    def _gradients(
        self,
        values: torch.Tensor,
        labels: torch.Tensor,
        places: torch.Tensor,
        anchors: torch.Tensor,
    ) -> torch.Tensor:
        """Gradients (Y, X, boxes, numbers) of one image."""
        options = self.options
        grid = values.new_tensor([values.shape[1], values.shape[0]])
        active = torch.cat(
            [
                values[..., :2].sigmoid(),
                values[..., 2:4],
                values[..., 4:5].sigmoid(),
                values[..., _CLASSES].softmax(-1),
            ],
            -1,
        )
        sizes = values[..., 2:4].exp() * anchors
        found = torch.cat([(places + active[..., :2]) / grid, sizes], -1)
        result = torch.zeros_like(values)
        certain = active[..., _OBJECT]
        seen = boxes.overlaps(found[..., None, :], _until_zero(labels, 1)[:, 1:])
        near = (seen > max(options.thresh, 0)).any(-1)
        taught = options.noobject_scale * certain * _slope(certain)
        result[..., _OBJECT] = taught.masked_fill(near, 0)
        truths = _until_zero(labels, 3)
        cells = truths[:, 1:3] * grid
        self._check(truths, cells, grid)
        column, row = cells.long().t()
        box = self._responsible(found[row, column], truths, anchors)
        last = _last_ones((row * values.shape[1] + column) * self._count + box)
        place = row[last], column[last], box[last]
        result[place] = self._taught(
            active[place], found[place], truths[last], cells[last], anchors[box[last]]
        )
        return result

    def _check(
        self, truths: torch.Tensor, cells: torch.Tensor, grid: torch.Tensor
    ) -> None:
        """Refuse classes that are none, and centres outside the image."""
        classes = self.options.num_class
        wrong = (truths[:, 0] < 0) | (truths[:, 0] >= classes)
        if wrong.any():
            raise CheckError(
                f"bottom 1 holds class {float(truths[wrong][0, 0]):g}: expected 0 to "
                f"{classes - 1}"
            )
        outside = ((cells < 0) | (cells >= grid)).any(1)
        if outside.any():
            x, y = truths[outside][0, 1:3].tolist()
            raise CheckError(
                f"bottom 1 holds a box at ({x:g}, {y:g}): expected a centre from 0 to "
                "below 1"
            )

    def _responsible(
        self, found: torch.Tensor, truths: torch.Tensor, anchors: torch.Tensor
    ) -> torch.Tensor:
        """Box of its cell that fits each true one best, both about one centre."""
        sizes = anchors if self.options.bias_match else found[..., 2:]
        shapes = torch.cat([torch.zeros_like(sizes), sizes], -1)
        true = torch.cat([torch.zeros_like(truths[:, 3:]), truths[:, 3:]], -1)
        return boxes.overlaps(shapes, true[:, None]).argmax(1)

    def _taught(
        self,
        active: torch.Tensor,
        found: torch.Tensor,
        truths: torch.Tensor,
        cells: torch.Tensor,
        anchors: torch.Tensor,
    ) -> torch.Tensor:
        """Gradients of the boxes that are responsible for true ones, a row each."""
        options = self.options
        result = torch.empty_like(active)
        true = truths[:, 1:]
        centre, size, certain = active[:, :2], active[:, 2:4], active[:, _OBJECT]
        weight = active.new_full((), options.coord_scale)
        goal = active.new_ones(())
        if options.rescore:
            goal = boxes.overlaps(found, true)
        else:
            weight = weight * (2 - true[:, 2:].prod(1, keepdim=True))
        result[:, :2] = weight * (centre - cells.frac()) * _slope(centre)
        result[:, 2:4] = weight * (size - (true[:, 2:] / anchors).log())
        result[:, _OBJECT] = options.object_scale * (certain - goal) * _slope(certain)
        classes = functional.one_hot(truths[:, 0].long(), options.num_class)
        result[:, _CLASSES] = options.class_scale * (active[:, _CLASSES] - classes)
        return result


def _slope(sigmoid: torch.Tensor) -> torch.Tensor:
    """Give the derivative of the sigmoid, from its value."""
    return sigmoid * (1 - sigmoid)


def _until_zero(rows: torch.Tensor, column: int) -> torch.Tensor:
    """Rows before the first with 0 in a column."""
    return rows[(rows[:, column] != 0).cumprod(0) > 0]


def _last_ones(keys: torch.Tensor) -> torch.Tensor:
    """Mask of the numbers that do not come again."""
    return ~(keys == keys[:, None]).triu(1).any(1)
