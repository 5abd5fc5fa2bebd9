"""Layers that measure segmentations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.layers.shared import as_labels, check_labels, check_per_pixel, text
from caffe.errors import CheckError


@register("SegAccuracy")
class SegAccuracyLayer(Operator):
    """Pixel accuracy, mean recall, and mean intersection over union (DeepLab).

    Options (``seg_accuracy_param``)
        ignore_label : repeated int. Pixels of these labels do not count.
        reset : bool, default true. Count each forward by itself, not all together.
        metric : without effect, as in DeepLab.

    Bottoms
        0 : (N, K, Y, X), scores of K classes; of equal scores the last class wins.
        1 : (N, 1, Y, X), labels 0 .. K - 1.

    Tops
        0 : (1, 1, 1, 3): share of right pixels; recall, mean over classes that occur in
            the truth; intersection over union, mean over all classes, of which those
            that are nowhere have 1.

    State: the counts of true by found classes, where they are not reset.
    """

    bottoms = (2, 2)
    differentiable_bottoms = ()

    def setup(self, param: Any, context: Context) -> None:
        """Start with nothing counted."""
        options = param.seg_accuracy_param
        self._ignored = list(options.ignore_label)
        self.remembers = not options.reset

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer three numbers."""
        scores = bottom_shapes[0]
        if len(scores) < 2 or not scores[1]:
            raise CheckError(f"bottom 0 is {text(scores)}: expected (N, K, Y, X)")
        check_per_pixel(bottom_shapes, 1, ("labels",))
        return [(1, 1, 1, 3)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Count the classes, and take shares."""
        scores, classes = bottoms[0].detach(), bottoms[0].shape[1]
        labels = as_labels(bottoms[1]).flatten()
        found = classes - 1 - scores.flip(1).argmax(1).flatten()
        counted = torch.ones_like(labels, dtype=torch.bool)
        for ignored in self._ignored:
            counted &= labels != ignored
        labels = labels[counted]
        check_labels(labels, classes)
        pairs = (labels * classes + found[counted]).bincount(minlength=classes**2)
        counts = pairs.cpu().numpy().reshape(classes, classes)
        if self.remembers:
            counts = counts + context.state.get("counts", 0)
            if not context.recomputing:
                context.state["counts"] = counts
        shares = torch.tensor(_shares(counts), dtype=torch.float32)
        return [shares.view(1, 1, 1, 3).to(bottoms[0].device)]


def _shares(counts: Any) -> list[float]:
    """Accuracy, recall and intersection over union of counts, true by found."""
    right, true = np.diagonal(counts), counts.sum(1)
    union = true + counts.sum(0) - right
    occurs = true > 0
    recall = right[occurs] / true[occurs]
    overlap = np.where(right == union, 1, right / np.maximum(union, 1))
    return [
        float(right.sum() / max(true.sum(), 1)),
        float(recall.mean()) if recall.size else 0.0,
        float(overlap.mean()),
    ]
