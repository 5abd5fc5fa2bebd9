"""SSD's layer that tells which detections are true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from caffe.dialects.ssd.matching import Truths
from caffe.dialects.ssd.pixels import read_sizes, to_pixels
from caffe.engine.boxes import overlaps
from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.layers.shared import text
from caffe.errors import CheckError

_NOTHING = -1  # in the place of a label, and of numbers that a row has not


@register("DetectionEvaluate")
class DetectionEvaluateLayer(Operator):
    """Tell for each detection whether it is true, and count the true boxes.

    A detection is true if the true box of its image and class that it overlaps with
    most, by the threshold at least, is not taken by a better one.

    Options (``detection_evaluate_param``)
        num_classes : int.
        background_label_id : int, default 0.
        overlap_threshold : float, default 0.5.
        evaluate_difficult_gt : bool, default true. Otherwise difficult boxes are not
            counted, and who finds them is neither true nor false.
        name_size_file : str. Name, height and width of an image a line, in the order of
            the images that have detections: boxes are cut to the image and compared in
            its pixels, of which one more is counted along each side.
        resize_param : how images were resized, if not to a fixed size.

    Bottoms
        0 : (1, 1, D, 7), detections as DetectionOutput makes them; label -1: none.
        1 : (1, 1, G, 8), true boxes as for MultiBoxLoss.

    Tops
        0 : (1, 1, K - 1 + D, 5). A row for each of the K classes but the background:
            -1, label, number of true boxes, -1, -1; then one for each detection: image,
            label, score, 1 if it is true, 1 if it is false. They are sorted by image,
            label and falling score, the last only where the image has true boxes of
            the label.
    """

    bottoms = (2, 2)
    differentiable_bottoms = ()

    def setup(self, param: Any, context: Context) -> None:
        """Read and check the options."""
        options = self.options = param.detection_evaluate_param
        self._sizes: list[tuple[str, int, int]] = []
        if not options.num_classes or options.overlap_threshold <= 0:
            raise CheckError(
                f"num_classes is {options.num_classes}, overlap_threshold "
                f"{options.overlap_threshold:g}: expected more than 0"
            )

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """As many rows as classes and detections, before the first forward."""
        for i, (shape, size) in enumerate(zip(bottom_shapes, (7, 8), strict=True)):
            if not shape or shape[-1] != size:
                raise CheckError(
                    f"bottom {i} is {text(shape)}: expected {size} numbers a row"
                )
        rows = len(self._labels())
        return [(1, 1, rows + bottom_shapes[0][-2], 5)]

    def _labels(self) -> list[int]:
        background = self.options.background_label_id
        return [c for c in range(self.options.num_classes) if c != background]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Count, compare and list."""
        found = bottoms[0].detach().reshape(-1, 7)
        found = found[(found[:, 0] != _NOTHING) & (found[:, 1] != _NOTHING)]
        rows = bottoms[1].detach().reshape(-1, 8)
        background = int(self.options.background_label_id)
        truths = Truths.read(rows, difficult=True, background=background)
        if (found[:, 1] == background).any():
            raise CheckError(
                f"a detection has label {background}: expected another one, as this is "
                "the background"
            )
        counted = torch.ones_like(truths.labels, dtype=torch.bool)
        if not self.options.evaluate_difficult_gt:
            counted = rows[rows[:, 0] != _NOTHING][:, 7] == 0
        labels = torch.tensor(self._labels(), device=found.device)
        numbers = (truths.labels[counted] == labels[:, None]).sum(1)
        head = found.new_full((len(labels), 5), _NOTHING)
        head[:, 1], head[:, 2] = labels, numbers
        if self.options.name_size_file:
            found, truths = self._in_pixels(found, truths, context.state)
        return [torch.cat([head, self._judged(found, truths, counted)])[None, None]]

    def _in_pixels(
        self, found: torch.Tensor, truths: Truths, state: dict[str, Any]
    ) -> tuple[torch.Tensor, Truths]:
        """Scale boxes to the images, the next ones of the file."""
        if not self._sizes:
            self._sizes = read_sizes(self.options.name_size_file)
        resize = self.options.resize_param
        given = resize if self.options.HasField("resize_param") else None
        found, boxes = found.clone(), truths.boxes.clone()
        place = int(state.get("image", 0))
        for image in found[:, 0].unique().tolist():
            _, height, width = self._sizes[place % len(self._sizes)]
            place += 1
            for rows, of in ((found[:, 3:], found[:, 0]), (boxes, truths.images)):
                rows[of == image] = to_pixels(rows[of == image], height, width, given)
        state["image"] = place % len(self._sizes)
        return found, replace(truths, boxes=boxes)

    def _judged(
        self, found: torch.Tensor, truths: Truths, counted: torch.Tensor
    ) -> torch.Tensor:
        """Rows (D, 5) of detections (D, 7)."""
        image, label, score = found[:, :3].unbind(1)
        same = (image[:, None] == truths.images) & (label[:, None] == truths.labels)
        # where there is nothing to find the order of detections stays
        rank = torch.where(same.any(1), score, 0)
        order = rank.argsort(stable=True, descending=True)
        for key in (label, image):
            order = order[key[order].argsort(stable=True)]
        judged = found.new_zeros(len(found), 5)
        judged[:, :3] = found[order, :3]
        judged[:, 4] = 1
        if not len(truths.labels):
            return judged
        pixel = 1 if self.options.name_size_file else 0
        shared = overlaps(found[order, 3:], truths.boxes, pixel)
        most, which = torch.where(same[order], shared, _NOTHING).max(1)
        hits = most >= self.options.overlap_threshold
        places = torch.arange(len(found), device=found.device)
        first = torch.full_like(truths.labels, len(found))
        first = first.scatter_reduce(0, which[hits], places[hits], "amin")
        judged[:, 3] = hits & counted[which] & (first[which] == places)
        judged[:, 4] = ~(judged[:, 3] > 0) & ~(hits & ~counted[which])
        return judged
