"""Losses: what training makes small."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

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

_LOG_SMALLEST = math.log(torch.finfo(torch.float32).tiny)


class LossLayer(Operator):
    """Scores and their labels in, one number out, of loss weight 1 by default."""

    bottoms = (2, 2)
    loss = True
    differentiable_bottoms = (0,)


def _check_batch(bottom_shapes: Sequence[Shape]) -> None:
    scores, labels = bottom_shapes[:2]
    if scores[:1] != labels[:1]:
        raise CheckError(
            f"bottom 0 is {text(scores)}, bottom 1 (labels) {text(labels)}: "
            "the same size of axis 0 is accepted"
        )


@register("SoftmaxWithLoss")
class SoftmaxWithLossLayer(LossLayer):
    """Negative logarithm of the softmax probability of the true class.

    Options
        softmax_param.axis : int, default 1. Axis of the classes.
        loss_param.ignore_label : int. Pixels of this label do not count.
        loss_param.normalization : what the sum is divided by, at least 1. VALID
            (default): pixels that count; FULL: all pixels; BATCH_SIZE: samples (axes
            before the classes); NONE: 1. The older ``normalize: true`` means VALID,
            ``false`` BATCH_SIZE.

    Bottoms
        0 : (N, K, ...), scores of K classes.
        1 : labels 0 .. K - 1, one a pixel: (N, 1, ...) or another shape of that count.
        2 : optional weights, 0 or more, one a pixel.

    Tops
        0 : (), the loss.
        1 : optional, shape of the scores, their softmax.

    A probability below the smallest normal float32 counts as that one. Without weights
    the gradient is ``(p - onehot) / divisor``. With weights and their sum W over pixels
    that count, the loss is ``sum(-w log p) / divisor``, where VALID divides by the
    integer part of W; the gradient is ``w (p - onehot)`` divided on a CPU by W itself
    whatever the normalization, on a GPU by the divisor. So does caffe_unet, whose
    second top stays empty on a CPU; here it is filled.
    """

    bottoms = (2, 3)
    tops = (1, 2)

    def setup(self, param: Any, context: Context) -> None:
        """Read what to ignore and what to divide by."""
        # C++ Caffe makes a Softmax layer of the same name inside, and says so
        context.log("layer_factory.hpp:77", f"Creating layer {context.layer_name}")
        options = param.loss_param
        self.ignored = (
            options.ignore_label if options.HasField("ignore_label") else None
        )
        self.normalization = options.normalization
        if options.HasField("normalize") and not options.HasField("normalization"):
            self.normalization = (
                options.VALID if options.normalize else options.BATCH_SIZE
            )

    def _axis(self, ndim: int) -> int:
        return canonical_axis(self.param.softmax_param.axis, ndim)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number, and the shape of the scores."""
        scores = bottom_shapes[0]
        _check_batch(bottom_shapes)
        check_per_pixel(bottom_shapes, self._axis(len(scores)), ("labels", "weights"))
        return [(), scores][: len(self.param.top)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Softmax, logarithm, weighted mean."""
        scores = bottoms[0]
        axis = self._axis(scores.dim())
        shape = pixel_shape(scores.shape, axis)
        labels = bottoms[1].detach().reshape(shape).long()
        counted = None if self.ignored is None else labels != self.ignored
        if counted is not None:
            labels = labels.where(counted, 0)
        _check_labels(labels, scores.shape[axis])
        x = scores.to(torch.promote_types(scores.dtype, torch.float32))
        if len(bottoms) == 2:
            weights = None if counted is None else counted.to(x.dtype)
        else:
            weights = bottoms[2].detach().reshape(shape).to(x.dtype)
            weights = weights if counted is None else weights * counted
        divisor, scale = self._factors(x, axis, weights, len(bottoms) == 3, context)
        loss = _SoftmaxLoss.apply(x, labels, weights, divisor, scale, axis)
        if len(self.param.top) == 1:
            return [loss]
        return [loss, functional.softmax(x.detach(), axis)]

    def _factors(
        self,
        x: torch.Tensor,
        axis: int,
        weights: torch.Tensor | None,
        weighted: bool,
        context: Context,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Divisor of the loss, factor of the gradient."""
        options = self.param.loss_param
        pixels = x.numel() // x.shape[axis]
        total = x.new_tensor(pixels) if weights is None else weights.sum()
        if self.normalization == options.VALID:
            divisor = total.trunc().clamp(min=1)
        else:
            counts = {
                options.FULL: pixels,
                options.BATCH_SIZE: math.prod(x.shape[:axis]),
                options.NONE: 1,
            }
            divisor = x.new_tensor(max(1, counts[self.normalization]))
        if not weighted or context.gpu:
            return divisor, 1 / divisor
        if total == 0:
            context.log(
                "softmax_loss_layer.cpp:118",
                "SoftmaxWithLoss warning: sum of pixel wise loss weights is zero!",
            )
            return divisor, torch.zeros_like(total)
        return divisor, 1 / total


def _check_labels(labels: torch.Tensor, classes: int) -> None:
    """Refuse labels beyond the classes, which would end a GPU's context."""
    low, high = (int(v) for v in labels.aminmax())
    if low < 0 or high >= classes:
        raise CheckError(
            f"bottom 1 holds label {low if low < 0 else high}: 0 to {classes - 1} are "
            f"accepted, as bottom 0 has {classes} classes, and ignore_label"
        )


class _SoftmaxLoss(torch.autograd.Function):
    """Weighted sum of -log p, with Caffe's own factor for the gradient.

    Not autograd's derivative: with weights Caffe scales it by another number than the
    loss, and a probability that was too small for the logarithm still gets a gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        scores: torch.Tensor,
        labels: torch.Tensor,
        weights: torch.Tensor | None,
        divisor: torch.Tensor,
        scale: torch.Tensor,
        axis: int,
    ) -> torch.Tensor:
        log_p = functional.log_softmax(scores, axis)
        picked = log_p.gather(axis, labels).clamp(min=_LOG_SMALLEST)
        ctx.axis = axis
        ctx.save_for_backward(log_p, labels, weights, scale)
        return -(picked if weights is None else picked * weights).sum() / divisor

    @staticmethod
    def backward(
        ctx: Any, grad: torch.Tensor
    ) -> tuple[torch.Tensor, None, None, None, None, None]:
        log_p, labels, weights, scale = ctx.saved_tensors
        result = log_p.exp()
        result.scatter_add_(
            ctx.axis, labels, -torch.ones_like(labels, dtype=grad.dtype)
        )
        result *= grad * scale if weights is None else grad * scale * weights
        return result, None, None, None, None, None
