"""Losses of boxes and classes of regions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from caffe.engine.catalogue import register
from caffe.engine.layer import Arity, Context, Operator, Shape, Tensors
from caffe.engine.layers.shared import (
    Normalizer,
    as_floats,
    as_labels,
    check_equal_shapes,
    pixel_shape,
    text,
)
from caffe.engine.layers.softmax_loss import SoftmaxWithLossLayer
from caffe.errors import CheckError

_PAIR, _WITH_WEIGHTS, _WITH_BOTH_WEIGHTS = 2, 3, 4  # numbers of bottoms
_LOG_SMALLEST = math.log(torch.finfo(torch.float32).tiny)


def _smooth(x: torch.Tensor, end: float = 1) -> torch.Tensor:
    """``x^2 / (2 end)`` up to `end`, ``|x| - end / 2`` beyond."""
    zero = torch.zeros((), dtype=x.dtype, device=x.device).expand_as(x)
    return functional.smooth_l1_loss(x, zero, reduction="none", beta=end)


@register("SmoothL1LossOHEM")
class SmoothL1LossOHEMLayer(Operator):
    """Sum of smooth distances, and what each region adds to it (R-FCN).

    With ``x = w (a - b)`` an element adds ``x^2 / 2`` where ``|x| < 1``,
    ``|x| - 1 / 2`` beyond.

    Options (``loss_param``)
        normalization : what the sum is divided by, at least 1. VALID (default) and
            FULL: N times the positions; BATCH_SIZE: N; PRE_FIXED:
            ``pre_fixed_normalizer``; NONE: 1.

    Bottoms
        0, 1 : (N, C, ...), values and targets.
        2 : optional weights of the same shape.

    Tops
        0 : (), the loss. It counts with its ``loss_weight``, by default not at all.
        1 : optional, (N, 1, ...), sums over channels, not divided. No gradient.

    The gradient is that of the smooth distance at x: it is not multiplied by the
    weights.
    """

    bottoms = (2, 3)
    tops = (1, 2)
    differentiable_bottoms = (0, 1)

    def setup(self, param: Any, context: Context) -> None:
        """Read what to divide by."""
        self._normalizer = Normalizer(param.loss_param, param.loss_param.VALID)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number, and one for each position."""
        check_equal_shapes(bottom_shapes)
        shape = bottom_shapes[0]
        if len(shape) < 2:
            raise CheckError(f"bottom 0 is {text(shape)}: expected 2 axes or more")
        positions = (shape[0], 1, *shape[2:], *[1] * (4 - len(shape)))
        return [(), positions][: len(self.param.top)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Weight, sum, divide."""
        difference = as_floats(bottoms[0]) - bottoms[1]
        if len(bottoms) == _WITH_WEIGHTS:
            difference = _Weighted.apply(difference, bottoms[2].detach())
        losses = _smooth(difference).sum(1, keepdim=True)
        valid = losses.new_full((), losses.numel())
        tops = [losses.sum() / self._normalizer.divisor(valid, losses.shape)]
        if len(self.param.top) > 1:
            shape = self.shapes([tuple(bottoms[0].shape)])[1]
            tops.append(losses.detach().reshape(shape))
        return tops


class _Weighted(torch.autograd.Function):
    """Product with weights that the gradient passes by."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return x * weights

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grads[0], None


@register("SmoothL1Loss")
class SmoothL1LossLayer(SmoothL1LossOHEMLayer):
    """Sum of smooth distances of boxes, mean over samples (Faster R-CNN).

    With ``x = inside (a - b)`` an element adds ``outside sigma^2 x^2 / 2`` where
    ``|x| < 1 / sigma^2``, ``outside (|x| - 1 / (2 sigma^2))`` beyond.

    Options
        smooth_l1_loss_param.sigma : float above 0, default 1.

    Bottoms
        0, 1 : (N, ...), values and targets.
        2, 3 : weights inside and outside, of the same shape; both or none.

    Tops
        0 : (), the sum divided by N. It counts with its ``loss_weight``, by default
            not at all.

    With three bottoms, or two tops, the layer is R-FCN's SmoothL1LossOHEM, which had
    this name at first. A layer of two bottoms and no options is SSD's, which differs in
    its ``loss_weight`` of 1.
    """

    bottoms = (2, 4)

    @classmethod
    def claims(cls, param: Any, blobs: int | None) -> bool | None:
        """Two bottoms without options are SSD's."""
        return (
            param.HasField("smooth_l1_loss_param")
            or len(param.bottom) > _PAIR
            or len(param.top) > 1
        )

    @classmethod
    def arity(cls, param: Any) -> tuple[Arity, Arity]:
        """Only the form of R-FCN has a second top."""
        early = len(param.bottom) != _WITH_BOTH_WEIGHTS
        return cls.bottoms, (1, 2) if early else (1, 1)

    def setup(self, param: Any, context: Context) -> None:
        """Check sigma."""
        self._early = len(param.bottom) == _WITH_WEIGHTS or len(param.top) > 1
        super().setup(param, context)
        sigma = float(param.smooth_l1_loss_param.sigma)
        if not sigma > 0:
            raise CheckError(f"sigma is {sigma:g}: expected a number above 0")
        self._end = 1 / sigma**2

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number, in R-FCN's form also one for each position."""
        if self._early:
            return super().shapes(bottom_shapes)
        check_equal_shapes(bottom_shapes)
        if not bottom_shapes[0]:
            raise CheckError("bottom 0 is (): expected 1 axis or more")
        return [()]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Weight, sum, divide."""
        if self._early:
            return super().forward(bottoms, params, context)
        difference = as_floats(bottoms[0]) - bottoms[1]
        weights = [w.detach() for w in bottoms[2:]]
        if weights:
            difference = difference * weights[0]
        losses = _smooth(difference, self._end)
        if weights:
            losses = losses * weights[1]
        return [losses.sum() / len(difference)]


@register("SoftmaxWithLossOHEM")
class SoftmaxWithLossOHEMLayer(SoftmaxWithLossLayer):
    """SoftmaxWithLoss that also shows the loss of each position (R-FCN).

    Options, bottoms and gradient
        As SoftmaxWithLoss, without weights.

    Tops
        0 : (), the loss.
        1 : optional, shape of the scores, their softmax.
        2 : optional, shape of the labels, what each position adds to the loss before
            it is divided; 0 where its label is ignored. No gradient.
    """

    bottoms = (2, 2)
    tops = (1, 3)

    def setup(self, param: Any, context: Context) -> None:
        """Read what to divide by, which is no number of the net."""
        super().setup(param, context)
        options = param.loss_param
        if options.normalization == options.PRE_FIXED:
            raise CheckError(
                "normalization is PRE_FIXED: expected one of FULL, VALID, BATCH_SIZE, "
                "NONE"
            )

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number, and the shapes of scores and labels."""
        return [*super().shapes(bottom_shapes), bottom_shapes[1]][: len(self.param.top)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Show the losses behind the loss and the softmax."""
        tops = super().forward(bottoms, params, context)
        if len(self.param.top) <= len(tops):
            return tops
        scores, labels = as_floats(bottoms[0]).detach(), as_labels(bottoms[1])
        axis = self._axis(scores.dim())
        counted = self._normalizer.counted(labels)
        known = labels if counted is None else labels.where(counted, 0)
        log_p = functional.log_softmax(scores, axis)
        picked = log_p.gather(axis, known.reshape(pixel_shape(scores.shape, axis)))
        losses = -picked.clamp(min=_LOG_SMALLEST).reshape(labels.shape)
        return [*tops, losses if counted is None else losses.where(counted, 0)]


@register("SoftmaxWithLoss")
class EarlySoftmaxWithLossOHEMLayer(SoftmaxWithLossOHEMLayer):
    """R-FCN's SoftmaxWithLossOHEM under its first name, told by its third top."""

    @classmethod
    def claims(cls, param: Any, blobs: int | None) -> bool | None:
        """BVLC's layer has no third top."""
        return len(param.top) > len(("loss", "softmax"))
