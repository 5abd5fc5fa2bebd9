"""Layers that measure; none has a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from caffe.engine.layer import (
    Context,
    Operator,
    Shape,
    Tensors,
    canonical_axis,
    register,
)
from caffe.engine.layers.shared import check_per_pixel, pixel_shape, text
from caffe.errors import CheckError


@register("Accuracy")
class AccuracyLayer(Operator):
    """Share of pixels whose true class is among the highest scores.

    Options (``accuracy_param``)
        top_k : int, default 1. Among so many; an equal score counts as higher.
        axis : int, default 1. Axis of the classes.
        ignore_label : int. Pixels of this label do not count.

    Bottoms
        0 : (N, K, ...), scores of K classes.
        1 : labels 0 .. K - 1, one a pixel.

    Tops
        0 : (), the share; 0 if no pixel counts.
        1 : optional, (K,), the share for each true class; 0 for one that is absent.
    """

    bottoms = (2, 2)
    tops = (1, 2)
    differentiable_bottoms = ()

    def setup(self, param: Any, context: Context) -> None:
        """Read what to ignore."""
        options = param.accuracy_param
        self.ignored = (
            options.ignore_label if options.HasField("ignore_label") else None
        )

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number, and one for each class."""
        scores = bottom_shapes[0]
        options = self.param.accuracy_param
        axis = canonical_axis(options.axis, len(scores))
        check_per_pixel(bottom_shapes, axis, ("labels",))
        if not 1 <= options.top_k <= scores[axis]:
            raise CheckError(
                f"top_k is {options.top_k}: 1 to {scores[axis]} is accepted, "
                f"as bottom 0 {text(scores)} has {scores[axis]} classes"
            )
        return [(), (scores[axis],)][: len(self.param.top)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Count."""
        scores = bottoms[0].detach()
        options = self.param.accuracy_param
        axis = canonical_axis(options.axis, scores.dim())
        classes = scores.shape[axis]
        labels = bottoms[1].detach().reshape(pixel_shape(scores.shape, axis)).long()
        known = (labels >= 0) & (labels < classes)
        counted = (
            torch.ones_like(known) if self.ignored is None else (labels != self.ignored)
        )
        truth = scores.gather(axis, labels.where(known, 0))
        higher = (scores >= truth).sum(axis, keepdim=True) - 1
        right = (higher < options.top_k) & known & counted
        tops = [_share(right.sum(), counted.sum())]
        if len(self.param.top) > 1:
            found = labels[right].bincount(minlength=classes)
            tops.append(
                _share(found, labels[counted & known].bincount(minlength=classes))
            )
        return tops


def _share(part: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """Quotient in float32; 0 where the whole is 0."""
    return part.float() / whole.clamp(min=1)


@register("IoU")
class IoULayer(Operator):
    """Intersection over union of each class but the background.

    Options
        iou_param.axis : int, default 1. Axis of the classes.
        iou_param.background_label : int, default 0. The class that is left out.
        loss_param.ignore_label : int. Pixels of this label do not count.

    Bottoms
        0 : (N, K, ...), scores of K classes; the highest one, the first of equal ones,
            is the prediction.
        1 : labels, one a pixel.
        2 : optional weights, one a pixel; those of weight 0 do not count.

    Tops
        0 : (K - 1,), pixels that truth and prediction share over pixels that either
            has, of all samples together; 0 for a class that is nowhere.

    Each forward logs two lines, which the Fiji plugin reads.
    """

    bottoms = (2, 3)
    side_effects = True
    differentiable_bottoms = ()

    def setup(self, param: Any, context: Context) -> None:
        """Read what to leave out."""
        options = param.loss_param
        self.ignored = (
            options.ignore_label if options.HasField("ignore_label") else None
        )
        self.background = int(param.iou_param.background_label)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """One number for each class but the background."""
        scores = bottom_shapes[0]
        axis = canonical_axis(self.param.iou_param.axis, len(scores))
        check_per_pixel(bottom_shapes, axis, ("labels", "weights"))
        if not 0 <= self.background < scores[axis]:
            raise CheckError(
                f"background_label is {self.background}: 0 to {scores[axis] - 1} is "
                f"accepted, as bottom 0 {text(scores)} has {scores[axis]} classes"
            )
        return [(scores[axis] - 1,)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Count, log and divide."""
        scores = bottoms[0].detach()
        axis = canonical_axis(self.param.iou_param.axis, scores.dim())
        classes = scores.shape[axis]
        labels = bottoms[1].detach().reshape(-1).long()
        prediction = scores.argmax(axis).reshape(-1)
        counted = torch.ones_like(labels, dtype=torch.bool)
        if self.ignored is not None:
            counted &= labels != self.ignored
        if len(bottoms) == 3:
            counted &= bottoms[2].detach().reshape(-1) != 0
        labels, prediction = labels[counted], prediction[counted]
        known = labels[(labels >= 0) & (labels < classes)]
        both = labels[labels == prediction].bincount(minlength=classes)
        either = (
            known.bincount(minlength=classes)
            + prediction.bincount(minlength=classes)
            - both
        )
        keep = [c for c in range(classes) if c != self.background]
        both, either = both[keep], either[keep]
        self._log(context, 104, "intersection", both)
        self._log(context, 106, "union", either)
        return [_share(both, either)]

    @staticmethod
    def _log(context: Context, line: int, what: str, counts: torch.Tensor) -> None:
        values = "".join(f"{float(count):g} " for count in counts)
        context.log(
            f"iou_layer.cpp:{line}",
            f"    {context.layer_name} - Per class {what}: {values}",
        )
