"""YOLO's layers that turn blobs into boxes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch

from caffe.dialects.yolo import boxes
from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.layers.shared import text
from caffe.errors import CheckError

_BOX = 5  # numbers of a box before those of its classes: x, y, w, h, object


class _Output(Operator):
    """Boxes of all images together, the most certain first, that don't overlap much."""

    bottoms = (1, None)
    differentiable_bottoms = ()
    options: Any
    boxes_per_cell: int

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a table whose length the numbers decide."""
        channels = self.boxes_per_cell * (_BOX + self.options.num_classes)
        for i, shape in enumerate(bottom_shapes):
            if len(shape) != 4 or shape[1] != channels:
                raise CheckError(
                    f"bottom {i} is {text(shape)}: expected {channels} channels, "
                    f"num_box {self.boxes_per_cell} times num_classes "
                    f"{self.options.num_classes} and {_BOX}"
                )
        return [(1, 1, bottom_shapes[0][0], 7)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Decode, sort, suppress."""
        found = [self._rows(i, x.detach().float()) for i, x in enumerate(bottoms)]
        rows = torch.cat(found)
        rows = rows[rows[:, 1].argsort(descending=True, stable=True)]
        rows = rows[boxes.best_ones(rows[:, 2:], self.options.nms_threshold)]
        label, score, centre, size = rows.tensor_split((1, 2, 4), 1)
        corners = (centre - size / 2, centre + size / 2)
        top = torch.cat([torch.zeros_like(label), label, score, *corners], 1)
        if not len(top):
            top = label.new_full((len(bottoms[0]), 7), -1)
            top[:, 0] = torch.arange(len(top))
        return [top[None, None]]

    @abstractmethod
    def _rows(self, number: int, x: torch.Tensor) -> torch.Tensor:
        """Label, score and box (cx, cy, w, h) of all that is certain enough."""

    def _decode(
        self, x: torch.Tensor, anchors: Sequence[tuple[float, float]], scale: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Boxes, certainty of an object, and numbers of the classes, a row each.

        `anchors` are in cells, times `scale`. In the order of images, cells and boxes.
        """
        n, _, height, width = x.shape
        x = x.reshape(n, len(anchors), -1, height, width).permute(0, 3, 4, 1, 2)
        grid = x.new_tensor([width, height])
        cells = boxes.places(height, width, x)[:, :, None]
        centres = (cells + x[..., :2].sigmoid()) / grid
        sizes = x[..., 2:4].exp() * x.new_tensor(anchors) / (grid * scale)
        found = torch.cat([centres, sizes], -1)
        rows = x[..., 4].sigmoid(), x[..., _BOX:].flatten(0, 3)
        return found.reshape(-1, 4), rows[0].reshape(-1), rows[1]


@register("YoloDetectionOutput")
class YoloDetectionOutputLayer(_Output):
    """Boxes of YOLO 2 (eric612).

    Options (``yolo_detection_output_param``)
        num_classes : int, default 20. ``num_box`` : int, default 5.
        biases : float. Width and height of each anchor, in cells.
        confidence_threshold : float, default 0.01. Least score of a box.
        nms_threshold : float, default 0.45. A box that overlaps with a better one by
            so much is left out, whatever their classes and images.

    Bottoms
        (N, num_box * (5 + num_classes), Y, X); of a box x, y, w, h, object, classes.

    Tops
        0 : (1, 1, n, 7): 0, label from 1, score, xmin, ymin, xmax, ymax, in parts of
            the image. Nothing found: (1, 1, N, 7) of the image's number and -1.

    A box is ``(column + sigmoid x) / X``, ``anchor exp(w) / X``; its score is the
    sigmoid of object times the largest probability, of the softmax, of a class.
    ``side`` and ``coords`` have no effect. All images are in one list, as image 0.
    """

    def setup(self, param: Any, context: Context) -> None:
        """Read the anchors."""
        self.options = param.yolo_detection_output_param
        self.boxes_per_cell = int(self.options.num_box)
        self._anchors = boxes.read_anchors(self.options.biases, self.boxes_per_cell)

    def _rows(self, number: int, x: torch.Tensor) -> torch.Tensor:
        found, certain, classes = self._decode(x, self._anchors, 1)
        probability, label = classes.softmax(-1).max(-1)
        scores = certain * probability
        rows = torch.cat([label[:, None] + 1, scores[:, None], found], 1)
        return rows[scores >= self.options.confidence_threshold]


@register("Yolov3DetectionOutput")
class Yolov3DetectionOutputLayer(_Output):
    """Boxes of YOLO 3 (eric612).

    Options (``yolov3_detection_output_param``)
        num_classes : int, default 20. ``num_box`` : int, default 3.
        biases : float. Width and height of each anchor, in pixels.
        mask : int. Anchors of the bottoms, ``num_box`` for each.
        anchors_scale : int. Pixels of a cell of each bottom.
        confidence_threshold : float, default 0.01. Scores are above it.
        nms_threshold : float, default 0.45. A box that overlaps with a better one by
            so much is left out, whatever their classes and images.

    Bottoms
        One or more, (N, num_box * (5 + num_classes), Y, X); of a box x, y, w, h,
        object, classes.

    Tops
        0 : as of `YoloDetectionOutputLayer`.

    The score of each class is its sigmoid times that of object; a box may come with
    several. ``gaussian_box`` is refused, ``mask_group_num`` has no effect.
    """

    def setup(self, param: Any, context: Context) -> None:
        """Read anchors and masks."""
        self.options = options = param.yolov3_detection_output_param
        if options.gaussian_box:
            raise CheckError("gaussian_box is true: expected false, which is built")
        self.boxes_per_cell = count = int(options.num_box)
        bottoms = len(param.bottom)
        if len(options.mask) < count * bottoms:
            raise CheckError(
                f"mask has {len(options.mask)} values: expected {count * bottoms}, "
                f"num_box {count} for each of {bottoms} bottoms"
            )
        if len(options.anchors_scale) < bottoms:
            raise CheckError(
                f"anchors_scale has {len(options.anchors_scale)} values: expected "
                f"{bottoms}, one for each bottom"
            )
        anchors = boxes.read_anchors(options.biases, max(options.mask) + 1)
        chosen = [anchors[number] for number in options.mask]
        self._anchors = [
            chosen[i : i + count] for i in range(0, count * bottoms, count)
        ]

    def _rows(self, number: int, x: torch.Tensor) -> torch.Tensor:
        scale = self.options.anchors_scale[number]
        found, certain, classes = self._decode(x, self._anchors[number], scale)
        scores = classes.sigmoid() * certain[:, None]
        row, label = (scores > self.options.confidence_threshold).nonzero().t()
        parts = (label[:, None] + 1, scores[row, label][:, None], found[row])
        return torch.cat(parts, 1)
