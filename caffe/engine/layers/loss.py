"""Losses of probabilities, margins and distances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Shape, Tensors
from caffe.engine.layers.shared import (
    LossLayer,
    Normalizer,
    as_floats,
    as_labels,
    check_labels,
    number_counted,
    text,
)
from caffe.errors import CheckError

_SMALLEST = 1e-20
_CONTRASTIVE_EPS = 1e-4


def _check_per_sample(bottom_shapes: Sequence[Shape]) -> None:
    scores, labels = bottom_shapes
    if math.prod(labels) != scores[0]:
        raise CheckError(
            f"bottom 1 (labels) is {text(labels)}, which is {math.prod(labels)} "
            f"values: expected {scores[0]}, one for each sample of bottom 0 "
            f"{text(scores)}"
        )


def _per_sample(bottoms: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores as (N, K), and labels, one a sample, as (N, 1)."""
    shape = bottoms[0].shape
    x = as_floats(bottoms[0]).reshape(shape[0], math.prod(shape[1:]))
    labels = as_labels(bottoms[1]).reshape(-1)[: len(x), None]
    check_labels(labels, x.shape[1])
    return x, labels


@register("MultinomialLogisticLoss")
class MultinomialLogisticLossLayer(LossLayer):
    """Negative logarithm of the probability of the true class, mean over samples.

    Bottoms
        0 : (N, K), probabilities of K classes, as Softmax makes them; further axes
            count as classes too.
        1 : (N,), labels 0 .. K - 1.

    Tops
        0 : (), the loss.

    A probability below 1e-20 counts as 1e-20, also in the gradient
    ``-1 / (N p_label)``.
    """

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number."""
        tops = super().shapes(bottom_shapes)
        _check_per_sample(bottom_shapes)
        return tops

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Pick, logarithm, mean."""
        x, labels = _per_sample(bottoms)
        return [_NegativeLog.apply(x.gather(1, labels)) / len(x)]


class _NegativeLog(torch.autograd.Function):
    """Sum of -log p.

    Not autograd's derivative: where Caffe lifts p to 1e-20 the gradient is that of the
    lifted one, not 0.
    """

    @staticmethod
    def forward(ctx: Any, p: torch.Tensor) -> torch.Tensor:
        lifted = p.clamp(min=_SMALLEST)
        ctx.save_for_backward(lifted)
        return -lifted.log().sum()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        (lifted,) = ctx.saved_tensors
        return torch.div(-grad, lifted)


@register("HingeLoss")
class HingeLossLayer(LossLayer):
    """One class against all others: sum of ``max(0, 1 - t x)``, mean over samples.

    t is 1 for the true class and -1 for the others.

    Options (``hinge_loss_param``)
        norm : L1 (default) or L2, which adds the squares.

    Bottoms
        0 : (N, K), scores of K classes; further axes count as classes too.
        1 : labels 0 .. K - 1; the first N numbers of it.

    Tops
        0 : (), the loss.
    """

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number."""
        tops = super().shapes(bottom_shapes)
        if math.prod(bottom_shapes[1]) < bottom_shapes[0][0]:
            _check_per_sample(bottom_shapes)
        return tops

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Turn the true class round, cut at 0, add."""
        x, labels = _per_sample(bottoms)
        truth = torch.zeros_like(x, dtype=torch.bool).scatter(1, labels, value=True)
        margins = functional.relu(1 + torch.where(truth, -x, x))
        if self.param.hinge_loss_param.norm == self.param.hinge_loss_param.L2:
            margins = margins.square()
        return [margins.sum() / len(x)]


@register("SigmoidCrossEntropyLoss")
class SigmoidCrossEntropyLossLayer(LossLayer):
    """Cross entropy of the sigmoid of scores and target probabilities.

    Options (``loss_param``)
        ignore_label : int. Targets whose integer part this is do not count.
        normalization : what the sum is divided by, at least 1. BATCH_SIZE (default):
            samples; VALID: targets that count; FULL: all targets; NONE: 1. The older
            ``normalize: true`` means VALID, ``false`` BATCH_SIZE.

    Bottoms
        0 : (N, ...), scores.
        1 : as many targets, 0 .. 1.

    Tops
        0 : (), the loss.
    """

    def setup(self, param: Any, context: Context) -> None:
        """Read what to ignore and what to divide by."""
        options = param.loss_param
        self._normalizer = Normalizer(options, options.BATCH_SIZE)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number."""
        tops = super().shapes(bottom_shapes)
        _check_counts(bottom_shapes, 0)
        return tops

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Add what counts."""
        x = as_floats(bottoms[0])
        targets = bottoms[1].detach().reshape(x.shape)
        losses = functional.binary_cross_entropy_with_logits(
            x, targets.to(x.dtype), reduction="none"
        )
        counted = self._normalizer.counted(targets.long())
        if counted is not None:
            losses = losses.where(counted, 0)
        valid = number_counted(x, x.shape, counted)
        divisor = self._normalizer.divisor(valid, x.shape)
        return [losses.sum() / divisor]


def _check_counts(bottom_shapes: Sequence[Shape], start: int) -> None:
    """Refuse bottoms 0 and 1 of different counts from an axis on."""
    first, second = bottom_shapes[:2]
    if math.prod(first[start:]) != math.prod(second[start:]):
        raise CheckError(
            f"bottom 0 is {text(first)}, bottom 1 {text(second)}: expected "
            f"the same number of values{' of a sample' if start else ''}"
        )


@register("EuclideanLoss")
class EuclideanLossLayer(LossLayer):
    """Half the squared distance of two blobs, mean over samples.

    Bottoms
        0, 1 : (N, C, ...), of the same number of values a sample.
        2 : optional weights, (N, 1, ...), one a pixel of bottom 0 (caffe_unet).

    Tops
        0 : (), the loss ``sum d^2 / (2 N)``, with weights
            ``sum w d^2 / (2 C max(1, sum |w|))``.
    """

    capturable = True
    bottoms = (2, 3)
    differentiable_bottoms = (0, 1)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number."""
        tops = super().shapes(bottom_shapes)
        _check_counts(bottom_shapes, 1)
        if len(bottom_shapes) > len(("first", "second")):
            values, weights = bottom_shapes[0], bottom_shapes[2]
            same = weights[:1] == values[:1] and weights[1:2] == (1,)
            if not same or math.prod(weights[2:]) != math.prod(values[2:]):
                raise CheckError(
                    f"bottom 2 (weights) is {text(weights)}: "
                    f"expected {text((*values[:1], 1, *values[2:]))}, as bottom 0 "
                    f"is {text(values)}"
                )
        return tops

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Subtract, square, add."""
        first = as_floats(bottoms[0])
        squares = (first - bottoms[1].reshape(first.shape)).square()
        if len(bottoms) == 2:
            return [squares.sum() / (2 * len(first))]
        weights = bottoms[2].detach().to(first.dtype)
        pixels = squares.reshape(
            len(first), first.shape[1], math.prod(weights.shape[2:])
        )
        total = (pixels * weights.reshape(len(first), 1, pixels.shape[2])).sum()
        return [total / (2 * first.shape[1] * weights.abs().sum().clamp(min=1))]


@register("ContrastiveLoss")
class ContrastiveLossLayer(LossLayer):
    """Squared distance of pairs that are alike, closeness of those that are not.

    Options (``contrastive_loss_param``)
        margin : float, default 1. How far apart pairs that differ shall be.
        legacy_version : bool, default false. Cut ``margin - d^2`` at 0 instead of
            squaring ``margin - d`` cut at 0.

    Bottoms
        0, 1 : (N, C), or with further axes of length 1.
        2 : N numbers: 0, or what has the integer part 0, for pairs that differ.

    Tops
        0 : (), the sum over pairs divided by 2 N.

    The gradient of ``(margin - d)^2`` is Caffe's, which divides by ``d + 1e-4``.
    """

    bottoms = (3, 3)
    differentiable_bottoms = (0, 1)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number."""
        tops = super().shapes(bottom_shapes)
        first, second, similar = bottom_shapes
        _check_counts(bottom_shapes, 1)
        for i, shape in enumerate((first, second)):
            if any(extent != 1 for extent in shape[2:]):
                raise CheckError(
                    f"bottom {i} is {text(shape)}: axes beyond 1 must have length 1"
                )
        if math.prod(similar) != first[0] or similar[:1] != first[:1]:
            raise CheckError(
                f"bottom 2 is {text(similar)}: expected ({first[0]}), one for each pair"
            )
        return tops

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Distances, and what each costs."""
        options = self.param.contrastive_loss_param
        first = as_floats(bottoms[0])
        difference = first - bottoms[1].reshape(first.shape)
        difference = difference.reshape(len(first), math.prod(first.shape[1:]))
        alike = bottoms[2].detach().reshape(-1).long() != 0
        distance = _Distance.apply(difference)
        margin = float(options.margin)
        squares = difference.square().sum(1)
        if options.legacy_version:
            apart = functional.relu(margin - squares)
        else:
            apart = functional.relu(margin - distance).square()
        return [torch.where(alike, squares, apart).sum() / (2 * len(first))]


class _Distance(torch.autograd.Function):
    """Euclidean length of rows.

    Not autograd's derivative, which has none at 0: Caffe divides by length + 1e-4.
    """

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor) -> torch.Tensor:
        length = rows.square().sum(1).sqrt()
        ctx.save_for_backward(rows, length)
        return length

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        rows, length = ctx.saved_tensors
        return torch.mul(rows, (grad / (length + _CONTRASTIVE_EPS))[:, None])
