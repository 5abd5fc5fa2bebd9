"""The loss of YOLO 1, and which of its boxes are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch.nn import functional

from caffe.dialects.yolo import boxes
from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.layers.shared import LossLayer, as_floats, text, with_gradients
from caffe.errors import CheckError


@dataclass(frozen=True)
class _Cells:
    """Options of both layers, and how their bottoms are laid out."""

    side: int
    classes: int
    count: int
    roots: bool
    relative: bool

    @classmethod
    def read(cls, options: Any) -> _Cells:
        return cls(
            int(options.side),
            int(options.num_class),
            int(options.num_object),
            bool(options.sqrt),
            bool(options.constriant),
        )

    def check(self, bottom_shapes: Sequence[Shape]) -> None:
        """Refuse bottoms of other sizes."""
        cells = self.side**2
        numbers = cells * (self.classes + 5 * self.count), cells * 7
        for i, wanted in enumerate(numbers):
            shape = bottom_shapes[i]
            if prod(shape[1:]) != wanted or shape[:1] != bottom_shapes[0][:1]:
                raise CheckError(
                    f"bottom {i} is {text(shape)}: expected {wanted} numbers for each "
                    f"of {bottom_shapes[0][0]} images, as side is {self.side}, "
                    f"num_class {self.classes} and num_object {self.count}"
                )

    def scores(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Cut: classes (N, K, cells), objects (N, B, cells), boxes (N, B, 4, cells)."""
        cells, n = self.side**2, len(x)
        x = x.reshape(n, -1, cells)
        classes, objects, found = x.tensor_split(
            (self.classes, self.classes + self.count), 1
        )
        return classes, objects, found.unflatten(1, (self.count, 4))

    def truth(self, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Difficult, object and class of each cell (N, cells), boxes (N, cells, 4)."""
        cells, n = self.side**2, len(labels)
        labels = labels.reshape(n, 7 * cells)
        planes, true = labels.tensor_split((3 * cells,), 1)
        difficult, objects, classes = planes.reshape(n, 3, cells).unbind(1)
        wrong = (objects != 0) & ((classes < 0) | (classes >= self.classes))
        if wrong.any():
            raise CheckError(
                f"bottom 1 holds class {float(classes[wrong][0]):g}: expected 0 to "
                f"{self.classes - 1}"
            )
        return difficult != 0, objects != 0, classes.long(), true.reshape(n, cells, 4)

    def places(self, like: torch.Tensor) -> torch.Tensor:
        """Column and row of each cell: (cells, 2)."""
        return boxes.places(self.side, self.side, like).reshape(-1, 2)

    def decode(self, found: torch.Tensor) -> torch.Tensor:
        """Boxes (N, cells, B, 4) in parts of the image, from the bottom's."""
        found = found.permute(0, 3, 1, 2)
        centres, sizes = found[..., :2], found[..., 2:]
        if self.relative:
            centres = (centres + self.places(found)[:, None]) / self.side
        if self.roots:
            sizes = sizes.square()
        return torch.cat([centres, sizes], -1)

    def encode(self, true: torch.Tensor) -> torch.Tensor:
        """Say what the bottom's numbers should be for true boxes (N, cells, 4)."""
        centres, sizes = true[..., :2], true[..., 2:]
        if self.relative:
            centres = centres * self.side - self.places(true)
        return torch.cat([centres, sizes.sqrt() if self.roots else sizes], -1)


@register("DetectionLoss")
class DetectionLossLayer(LossLayer):
    """Loss of YOLO 1 (yeahkun, gklz1982).

    Options (``detection_loss_param``)
        side : int S, default 7. ``num_class`` : K, default 20. ``num_object`` : B,
            default 2, boxes a cell.
        object_scale, class_scale : float, default 1. ``noobject_scale`` : default 0.5.
            ``coord_scale`` : default 5. Weights of the parts.
        sqrt : bool, default true. Boxes are given by roots of width and height.
        constriant : bool, default false. Centres are given by their place in the cell.

    Bottoms
        0 : (N, S S (K + 5 B)), planes of classes, of objects, then x, y, w and h of
            each box.
        1 : (N, 7 S S), planes of difficult, object and class; then x, y, w, h by cells.
        2 : optional, without effect.

    Tops
        0 : (), sums of squared differences: of classes, boxes and objects divided by
            the number of true boxes, of the objects of all other boxes by theirs. No
            true box: NaN.

    Responsible is the box that overlaps most, or the nearest one where none does. As
    in the fork the gradient is not the derivative: it is half, divided by N, and the
    certainty of a responsible box is to be its overlap, not 1.
    """

    bottoms = (2, 3)

    def setup(self, param: Any, context: Context) -> None:
        """Read the options."""
        self.options = param.detection_loss_param
        self.cells = _Cells.read(self.options)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number."""
        self.cells.check(bottom_shapes)
        return [()]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Add up the parts of the value, and write the gradient beside."""
        options, x = self.options, as_floats(bottoms[0])
        gradient = torch.zeros_like(x, memory_format=torch.contiguous_format)
        classes, objects, found = self.cells.scores(x.detach())
        to_classes, to_objects, to_found = self.cells.scores(gradient)
        labels = bottoms[1].detach().to(x)
        _, present, names, true = self.cells.truth(labels)
        image, cell = present.nonzero().t()
        box, overlap = self._responsible(found, image, cell, true)
        one_hot = functional.one_hot(names[image, cell], self.cells.classes)
        off_class = classes[image, :, cell] - one_hot
        off_box = found[image, box, :, cell] - self.cells.encode(true)[image, cell]
        certain = objects[image, box, cell]
        to_objects[:] = options.noobject_scale * objects
        to_objects[image, box, cell] = options.object_scale * (certain - overlap)
        to_classes[image, :, cell] = options.class_scale * off_class
        to_found[image, box, :, cell] = options.coord_scale * off_box
        count = len(image)
        others = objects.square().sum() - certain.square().sum()
        loss = options.class_scale * off_class.square().sum() / count
        loss = loss + options.coord_scale * off_box.square().sum() / count
        loss = loss + options.object_scale * (certain - 1).square().sum() / count
        loss = loss + options.noobject_scale * others / (objects.numel() - count)
        return [with_gradients(loss, (x, gradient / len(x)))]

    def _responsible(
        self,
        found: torch.Tensor,
        image: torch.Tensor,
        cell: torch.Tensor,
        true: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Box for each true one, and how much they overlap."""
        decoded, goals = self.cells.decode(found)[image, cell], true[image, cell, None]
        overlap = boxes.overlaps(decoded, goals)
        far = (decoded - goals).square().sum(-1)
        best, box = overlap.max(1)
        return torch.where(best > 0, box, far.argmin(1)), best


@register("EvalDetection")
class EvalDetectionLayer(Operator):
    """Which boxes of YOLO 1 are right (yeahkun).

    Options (``eval_detection_param``)
        side, num_class, num_object, sqrt : as of `DetectionLossLayer`.
        constriant : bool, default true. As there.
        score_type : what boxes are sorted by: MULTIPLY (default), object times class;
            OBJ; PROB, class.
        nms : float, default -1. Boxes that overlap with a better one by so much are
            left out, whatever their classes; below 0: none is.
        threshold : float, default 0.5. Least overlap of a right box with a true one.

    Bottoms
        0, 1 : as of `DetectionLossLayer`. 2 : optional, without effect.

    Tops
        0 : (N, num_class + 4 S S B): how many true boxes, but for difficult ones, each
            class has; then class, score, 1 for right and 1 for wrong of each box, by
            class and falling score, and 0 for what is left.

    A box that finds a difficult true one is neither; the second one that finds another
    is wrong.
    """

    bottoms = (2, 3)
    differentiable_bottoms = ()

    def setup(self, param: Any, context: Context) -> None:
        """Read the options."""
        self.options = options = param.eval_detection_param
        if options.biases:
            raise CheckError(
                "biases are given, as for boxes of YOLO 2: expected none, for YOLO 1"
            )
        self.cells = _Cells.read(options)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer four numbers a box."""
        self.cells.check(bottom_shapes)
        cells = self.cells
        numbers = cells.classes + 4 * cells.side**2 * cells.count
        return [(bottom_shapes[0][0], numbers)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Match image by image."""
        x = as_floats(bottoms[0]).detach()
        classes, objects, found = self.cells.scores(x)
        truth = self.cells.truth(bottoms[1].detach().to(x))
        (shape,) = self.shapes([tuple(bottom.shape) for bottom in bottoms])
        top = x.new_zeros(shape)
        probability, name = classes.max(1)
        certain = objects.transpose(1, 2)
        probability = probability[..., None].expand_as(certain)
        kinds = self.options
        scores = {
            kinds.MULTIPLY: certain * probability,
            kinds.PROB: probability,
            kinds.OBJ: certain,
        }[kinds.score_type]
        decoded = self.cells.decode(found)
        for i, row in enumerate(top):
            difficult, present, names, true = (part[i] for part in truth)
            counted = names[present & ~difficult]
            row[: classes.shape[1]] = counted.bincount(minlength=classes.shape[1])
            rows = self._judged(
                name[i][:, None].expand_as(scores[i]).flatten(),
                scores[i].flatten(),
                decoded[i].flatten(0, 1),
                (names[present], difficult[present], true[present]),
            )
            row[classes.shape[1] :][: rows.numel()] = rows.flatten()
        return [top]

    def _judged(
        self,
        names: torch.Tensor,
        scores: torch.Tensor,
        found: torch.Tensor,
        truth: tuple[torch.Tensor, ...],
    ) -> torch.Tensor:
        """Rows of class, score, right and wrong of one image."""
        order = scores.argsort(descending=True, stable=True)
        if self.options.nms >= 0:
            order = order[boxes.best_ones(found[order], self.options.nms)]
        order = order[names[order].argsort(stable=True)]
        names, scores, found = names[order], scores[order], found[order]
        classes, difficult, true = truth
        overlap = boxes.overlaps(found[:, None], true)
        overlap = overlap.masked_fill(names[:, None] != classes, -1)
        nobody = overlap.new_full((len(overlap), 1), -1)  # where there are no true ones
        best, partner = torch.cat([overlap, nobody], 1).max(1)
        hit = (best >= self.options.threshold) & (best >= 0)
        again = (partner == partner[:, None]) & hit & hit[:, None]
        again = again.tril(-1).any(1)
        free = torch.cat([difficult, difficult.new_zeros(1)])[partner] & hit
        right, wrong = hit & ~again & ~free, ~(hit & ~again) & ~free
        return torch.stack([names.to(scores), scores, right, wrong], 1)
