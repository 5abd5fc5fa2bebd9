"""Freiburg's layers that measure; none has a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from caffe.dialects.freiburg import munkres
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
    check_labels,
    check_per_pixel,
    ignored_label,
    text,
)
from caffe.errors import CheckError

Array = NDArray[Any]
_FAR = 1e300


class PerClassLayer(Operator):
    """A number for each class but the background, with lines for the Fiji plugin."""

    bottoms = (2, 3)
    side_effects = True
    differentiable_bottoms = ()
    background: int

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """One number for each class but the background."""
        scores = bottom_shapes[0]
        axis = self._axis(len(scores))
        check_per_pixel(bottom_shapes, axis, ("labels", "weights"))
        if not 0 <= self.background < scores[axis]:
            raise CheckError(
                f"background_label is {self.background}: expected "
                f"0 to {scores[axis] - 1}, as bottom 0 {text(scores)} has "
                f"{scores[axis]} classes"
            )
        return [(scores[axis] - 1,)]

    def _axis(self, ndim: int) -> int:
        return canonical_axis(self.param.iou_param.axis, ndim)

    @staticmethod
    def _log(context: Context, source: str, what: str, values: Sequence[Any]) -> None:
        """Write a line that the Fiji plugin reads: a blank after each value."""
        line = "".join(f"{value} " for value in values)
        context.log(source, f"    {context.layer_name} - Per class {what}: {line}")


@register("IoU")
class IoULayer(PerClassLayer):
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

    def setup(self, param: Any, context: Context) -> None:
        """Read what to leave out."""
        self.ignored = ignored_label(param.loss_param)
        self.background = int(param.iou_param.background_label)

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Count, log and divide."""
        scores = bottoms[0].detach()
        axis = self._axis(scores.dim())
        classes = scores.shape[axis]
        labels = as_labels(bottoms[1]).reshape(-1)
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
        self._log(
            context, "iou_layer.cpp:104", "intersection", [f"{v:g}" for v in both]
        )
        self._log(context, "iou_layer.cpp:106", "union", [f"{v:g}" for v in either])
        return [both.float() / either.clamp(min=1)]


@register("F1")
class F1Layer(PerClassLayer):
    """F1 score of finding objects, for each class but the background.

    Objects are connected pixels of one class, touching at faces. Those of truth and
    prediction are matched one to one at the least sum of distances, and are found
    where both have the same class.

    Options
        f1_param.background_label : int, default 0. The class that has no objects.
        f1_param.distance_mode : IOU (default), 1 - intersection over union; or
            EUCLIDEAN, pixels between the centre of the true object and that of the
            predicted one, weighted by its probability.
        f1_param.distance_threshold : float, default 0.5. Objects that are not so near
            to any other are not matched; matched ones may be farther apart.
        iou_param.axis : int, default 1. Axis of the classes; ``f1_param.axis`` is not
            looked at. Both as in caffe_unet.
        loss_param.ignore_label : int. Pixels of this label are background of the truth.

    Bottoms
        0 : (N, K, ...), scores of K classes; the highest one, the first of equal ones,
            is the prediction.
        1 : labels, one a pixel.
        2 : optional weights, one a pixel; the truth is background where they are 0.

    Tops
        0 : (K - 1,), of all samples together; 0 for a class without a found object.

    A sample without any true or any predicted object does not count at all. Each
    forward logs three lines, which the Fiji plugin reads.
    """

    def setup(self, param: Any, context: Context) -> None:
        """Read what to leave out and how near is near."""
        self._ignored = ignored_label(param.loss_param)
        self.background = int(param.f1_param.background_label)
        self._overlap = param.f1_param.distance_mode == param.f1_param.IOU
        self._threshold = float(param.f1_param.distance_threshold)

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Find objects, match them, count, log and divide."""
        scores = bottoms[0].detach()
        axis = self._axis(scores.dim())
        classes = scores.shape[axis]
        predicted = scores.argmax(axis).cpu().numpy()
        weights = functional.softmax(scores.float(), axis).amax(axis).cpu().numpy()
        truth = self._truth(bottoms, predicted.shape, classes)
        pixels = predicted.shape[axis:]
        found, guesses, objects = np.zeros((3, classes), np.int64)
        for samples in zip(
            *(v.reshape(-1, *pixels) for v in (truth, predicted, weights)), strict=True
        ):
            true, guessed = (_Objects(v, self.background) for v in samples[:2])
            if len(true.classes) and len(guessed.classes):
                objects += np.bincount(true.classes, minlength=classes)
                guesses += np.bincount(guessed.classes, minlength=classes)
                matched = self._match(true, guessed, samples[2])
                found += np.bincount(matched, minlength=classes)
        counts = np.delete(np.stack([found, guesses, objects]), self.background, 1)
        self._log(context, "f1_layer.cpp:241", "true positive count", counts[0])
        self._log(context, "f1_layer.cpp:243", "prediction count", counts[1])
        self._log(context, "f1_layer.cpp:245", "object count", counts[2])
        # 2 p r / (p + r) of precision p and recall r
        total = (counts[1] + counts[2]).clip(min=1)
        f1 = torch.from_numpy((2 * counts[0] / total).astype(np.float32))
        return [f1.to(scores.device)]

    def _truth(self, bottoms: Tensors, shape: Shape, classes: int) -> Array:
        """Labels, with the background where they do not count."""
        labels = as_labels(bottoms[1]).cpu().numpy().reshape(shape)
        counted = np.ones(shape, np.bool_)
        if self._ignored is not None:
            counted &= labels != self._ignored
        if len(bottoms) == 3:
            counted &= bottoms[2].detach().cpu().numpy().reshape(shape) != 0
        labels = np.where(counted, labels, self.background)
        check_labels(torch.from_numpy(labels), classes)
        return labels

    def _match(self, true: _Objects, guessed: _Objects, weights: Array) -> Array:
        """Classes of the objects that are found."""
        if self._overlap:
            distances = _overlap_distances(true, guessed)
        else:
            distances = _centre_distances(true, guessed, weights)
        near = distances <= self._threshold
        rows, columns = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
        partners = munkres.assign(distances[np.ix_(rows, columns)])
        rows, columns = rows[partners >= 0], columns[partners[partners >= 0]]
        classes: Array = true.classes[rows]
        same: Array = classes == guessed.classes[columns]
        return classes[same]


class _Objects:
    """Connected pixels of one class, numbered from 1 in the order of first pixels."""

    def __init__(self, labels: Array, background: int) -> None:
        from scipy import ndimage  # a sixth of a second, which only F1 shall cost

        self.shape = labels.shape
        parts = np.zeros(labels.shape, np.int64)
        for value in np.unique(labels[labels != background]):
            numbers, _ = ndimage.label(labels == value)
            parts[numbers > 0] = numbers[numbers > 0] + parts.max()
        flat = parts.reshape(-1)
        names, first = np.unique(flat, return_index=True)
        names, first = names[names > 0], first[names > 0]
        order = np.argsort(first)
        ranks = np.zeros(int(flat.max(initial=0)) + 1, np.int64)
        ranks[names[order]] = np.arange(1, len(names) + 1)
        self.numbers = ranks[flat]
        self.classes = labels.reshape(-1)[first[order]]

    def centres(self, weights: Array) -> Array:
        """Mean place of each object, one a row."""
        count = len(self.classes) + 1
        total = np.bincount(self.numbers, weights, count)
        places = np.indices(self.shape).reshape(len(self.shape), -1)
        sums = [np.bincount(self.numbers, weights * axis, count) for axis in places]
        result: Array = (np.stack(sums, 1) / total[:, None])[1:]
        return result


def _overlap_distances(true: _Objects, guessed: _Objects) -> Array:
    rows, columns = len(true.classes) + 1, len(guessed.classes) + 1
    pairs = np.bincount(true.numbers * columns + guessed.numbers, None, rows * columns)
    pairs = pairs.reshape(rows, columns)
    sizes, guessed_sizes = pairs.sum(1)[1:, None], pairs.sum(0)[1:]
    both = pairs[1:, 1:]
    result: Array = 1 - both / (sizes + guessed_sizes - both)
    return result


def _centre_distances(true: _Objects, guessed: _Objects, weights: Array) -> Array:
    a = true.centres(np.ones(weights.size))
    b = guessed.centres(weights.reshape(-1).astype(np.float64))
    result: Array = np.linalg.norm(a[:, None] - b, axis=2)
    # scores that are no numbers make centres that are none: far from everything
    np.nan_to_num(result, copy=False, nan=_FAR, posinf=_FAR)
    return result
