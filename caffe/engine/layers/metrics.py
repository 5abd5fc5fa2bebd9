"""Layers that measure; none has a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray

from caffe.engine.catalogue import register
from caffe.engine.layer import (
    Context,
    Operator,
    Shape,
    Tensors,
    canonical_axis,
)
from caffe.engine.layers.shared import (
    as_labels,
    check_per_pixel,
    ignored_label,
    pixel_shape,
    text,
)
from caffe.errors import CheckError

Array = NDArray[Any]
_FAR = 1e300


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
        0 : (), the share; 0 if no pixel counts. A score that is NaN is never higher
            than another, so that it counts as right, as in C++ Caffe, with a warning.
        1 : optional, (K,), the share for each true class; 0 for one that is absent.
    """

    bottoms = (2, 2)
    tops = (1, 2)
    differentiable_bottoms = ()

    def setup(self, param: Any, context: Context) -> None:
        """Read what to ignore."""
        self.ignored = ignored_label(param.accuracy_param)
        self._warned = False

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number, and one for each class."""
        scores = bottom_shapes[0]
        options = self.param.accuracy_param
        axis = canonical_axis(options.axis, len(scores))
        check_per_pixel(bottom_shapes, axis, ("labels",))
        if not 0 <= options.top_k <= scores[axis]:
            raise CheckError(
                f"top_k is {options.top_k}: expected 0 to {scores[axis]}, "
                f"as bottom 0 {text(scores)} has {scores[axis]} classes"
            )
        return [(), (scores[axis],)][: len(self.param.top)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Count."""
        scores = bottoms[0].detach()
        options = self.param.accuracy_param
        axis = canonical_axis(options.axis, scores.dim())
        classes = scores.shape[axis]
        labels = as_labels(bottoms[1]).reshape(pixel_shape(scores.shape, axis))
        known = (labels >= 0) & (labels < classes)
        counted = (
            torch.ones_like(known) if self.ignored is None else (labels != self.ignored)
        )
        self._warn_of_nan(scores, context)
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

    def _warn_of_nan(self, scores: torch.Tensor, context: Context) -> None:
        if self._warned or context.captured or not scores.isnan().any():
            return
        self._warned = True
        text = "scores are NaN: they count as right, as in C++ Caffe, and mean nothing"
        context.log(
            "accuracy_layer.cpp:80", f"layer '{context.layer_name}': {text}", "W"
        )


def _share(part: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """Quotient in float32; 0 where the whole is 0."""
    return part.float() / whole.clamp(min=1)
