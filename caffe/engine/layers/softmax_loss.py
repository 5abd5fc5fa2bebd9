"""Losses of the softmax of scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from caffe.engine.catalogue import register
from caffe.engine.layer import (
    Context,
    Shape,
    Tensors,
    canonical_axis,
)
from caffe.engine.layers.shared import (
    LossLayer,
    Normalizer,
    as_floats,
    as_labels,
    check_labels,
    check_per_pixel,
    number_counted,
    pixel_shape,
    text,
)
from caffe.errors import CheckError
from caffe.proto import blobs

_LOG_SMALLEST = math.log(torch.finfo(torch.float32).tiny)
_LOG_THRESHOLD = math.log(1e-20)


def _read_labels(
    bottoms: Tensors, axis: int, normalizer: Normalizer, *, check: bool = True
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Labels, with class 0 where they are ignored, and the mask of those that count."""
    scores = bottoms[0]
    labels = as_labels(bottoms[1]).reshape(pixel_shape(scores.shape, axis))
    counted = normalizer.counted(labels)
    if counted is not None:
        labels = labels.where(counted, 0)
    if check:
        check_labels(labels, scores.shape[axis])
    return labels, counted


class _SoftmaxLossLayer(LossLayer):
    """A loss that may show the softmax as a second top."""

    bottoms = (2, 3)
    tops = (1, 2)

    def setup(self, param: Any, context: Context) -> None:
        """Read what to ignore and what to divide by."""
        # C++ Caffe makes a Softmax layer of the same name inside, and says so
        context.log("layer_factory.hpp:77", f"Creating layer {context.layer_name}")
        options = param.loss_param
        self._normalizer = Normalizer(options, options.VALID)


@register("SoftmaxWithLoss")
class SoftmaxWithLossLayer(_SoftmaxLossLayer):
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
        2 : optional weights, one a pixel.

    Tops
        0 : (), the loss.
        1 : optional, shape of the scores, their softmax.

    A probability below the smallest normal float32 counts as that one. Without weights
    the gradient is ``(p - onehot) / divisor``. With weights and their sum W over pixels
    that count, the loss is ``sum(-w log p) / divisor``, where VALID divides by the
    integer part of W, and 0 if W is; the gradient is ``w (p - onehot)`` divided on a
    CPU by W itself whatever the normalization, on a GPU by the divisor. A GPU takes
    weights below 0 for their amount, but not in the gradient. So does caffe_unet, whose
    second top stays empty on a CPU; here it is filled.
    """

    capturable = True
    label_bottom = 1

    def _axis(self, ndim: int) -> int:
        return canonical_axis(self.param.softmax_param.axis, ndim)

    def look_ahead(self, labels: torch.Tensor, scores: Shape) -> None:
        """Refuse labels that are no classes."""
        counted = self._normalizer.counted(labels)
        labels = labels if counted is None else labels.where(counted, 0)
        check_labels(labels, scores[self._axis(len(scores))])

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number, and the shape of the scores."""
        scores = bottom_shapes[0]
        tops = super().shapes(bottom_shapes)
        check_per_pixel(bottom_shapes, self._axis(len(scores)), ("labels", "weights"))
        return [*tops, scores][: len(self.param.top)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Softmax, logarithm, weighted mean."""
        x = as_floats(bottoms[0])
        axis = self._axis(x.dim())
        labels, counted = _read_labels(
            bottoms, axis, self._normalizer, check=not context.captured
        )
        scale: torch.Tensor | None
        if len(bottoms) == 2:
            weights = amounts = None if counted is None else counted.to(x.dtype)
            valid = number_counted(x, labels.shape, counted)
            divisor = self._normalizer.divisor(valid, labels.shape, axis)
            scale = 1 / divisor
        else:
            weights = bottoms[2].detach().reshape(labels.shape).to(x.dtype)
            weights = weights if counted is None else weights.where(counted, 0)
            amounts = weights.abs() if context.gpu else weights
            divisor = self._normalizer.divisor(amounts.sum(), labels.shape, axis)
            divisor, scale = self._weighted_factors(amounts.sum(), divisor, context)
        loss = _SoftmaxLoss.apply(x, labels, weights, amounts, divisor, scale, axis)
        return [loss, functional.softmax(x.detach(), axis)][: len(self.param.top)]

    @staticmethod
    def _weighted_factors(
        total: torch.Tensor, divisor: torch.Tensor, context: Context
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Divisor of the loss, factor of the gradient; None: not even the top's."""
        divisor = divisor.where(total != 0, torch.inf)
        if context.gpu:
            return divisor, 1 / divisor
        if total == 0:
            context.log(
                "softmax_loss_layer.cpp:118",
                "SoftmaxWithLoss warning: sum of pixel wise loss weights is zero!",
            )
            return divisor, None
        return divisor, 1 / total


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
        amounts: torch.Tensor | None,
        divisor: torch.Tensor,
        scale: torch.Tensor | None,
        axis: int,
    ) -> torch.Tensor:
        log_p = functional.log_softmax(scores, axis)
        picked = log_p.gather(axis, labels).clamp(min=_LOG_SMALLEST)
        ctx.axis = axis
        ctx.save_for_backward(log_p, labels, weights, scale)
        total = (picked if amounts is None else picked * amounts).sum() / divisor
        return 0 - total  # of no labels 0, not -0

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        log_p, labels, weights, scale = ctx.saved_tensors
        result = log_p.exp()
        result.scatter_add_(
            ctx.axis, labels, -torch.ones_like(labels, dtype=grad.dtype)
        )
        factor = torch.ones_like(grad) if scale is None else grad * scale
        result *= factor if weights is None else factor * weights
        return result, None, None, None, None, None, None


@register("InfogainLoss")
class InfogainLossLayer(_SoftmaxLossLayer):
    """Logarithm of the softmax, weighted by a matrix H of information gains.

    The loss is ``-sum_l H[label, l] log p_l`` over pixels, divided; with the identity
    for H it is that of SoftmaxWithLoss.

    Options
        infogain_loss_param.axis : int, default 1. Axis of the classes.
        infogain_loss_param.source : str. Binary BlobProto of H, where there is no
            bottom 2.
        loss_param.ignore_label, loss_param.normalization : as SoftmaxWithLoss. The
            older ``normalize`` is refused.

    Bottoms
        0 : (N, K, ...), scores of K classes.
        1 : labels 0 .. K - 1, one a pixel.
        2 : optional, H: K * K numbers, a row for each label.

    Tops
        0 : (), the loss.
        1 : optional, shape of the scores, their softmax.

    A probability below 1e-20 counts as 1e-20. The gradient is
    ``(p_l sum(H[label]) - H[label, l]) / divisor``, also for such probabilities.
    """

    def setup(self, param: Any, context: Context) -> None:
        """Read the options, and H if it is in a file."""
        super().setup(param, context)
        if param.loss_param.HasField("normalize"):
            raise CheckError(
                "loss_param has normalize, which is deprecated: expected normalization"
            )
        self._gains: torch.Tensor | None = None
        if len(param.bottom) < len(("scores", "labels", "H")):
            if not param.infogain_loss_param.HasField("source"):
                raise CheckError(
                    "Infogain matrix source must be specified: infogain_loss_param "
                    "has none, and there is no bottom 2"
                )
            gains = blobs.read(param.infogain_loss_param.source, "an infogain matrix")
            self._gains = torch.from_numpy(gains)

    def _axis(self, ndim: int) -> int:
        return canonical_axis(self.param.infogain_loss_param.axis, ndim)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number, and the shape of the scores."""
        scores = bottom_shapes[0]
        axis = self._axis(len(scores))
        tops = super().shapes(bottom_shapes)
        check_per_pixel(bottom_shapes[:2], axis, ("labels",))
        gains = bottom_shapes[2] if self._gains is None else tuple(self._gains.shape)
        wanted = scores[axis] ** 2
        if math.prod(gains) != wanted:
            where = (
                "bottom 2"
                if self._gains is None
                else f"{self.param.infogain_loss_param.source}: H"
            )
            raise CheckError(
                f"{where} is {text(gains)}, which is {math.prod(gains)} values: "
                f"expected {wanted}, as bottom 0 has {scores[axis]} classes"
            )
        return [*tops, scores][: len(self.param.top)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Softmax, logarithm, mean weighted by the rows of H."""
        x = as_floats(bottoms[0])
        axis = self._axis(x.dim())
        labels, counted = _read_labels(bottoms, axis, self._normalizer)
        gains = bottoms[2].detach() if self._gains is None else self._gains
        gains = gains.to(x).reshape(x.shape[axis], x.shape[axis])
        rows = gains[labels.squeeze(axis)].movedim(-1, axis)
        if counted is not None:
            rows = rows.where(counted, 0)
        valid = number_counted(x, labels.shape, counted)
        divisor = self._normalizer.divisor(valid, labels.shape, axis)
        loss = _InfogainLoss.apply(x, rows, axis) / divisor
        return [loss, functional.softmax(x.detach(), axis)][: len(self.param.top)]


class _InfogainLoss(torch.autograd.Function):
    """Sum of -H log p.

    Not autograd's derivative: a probability that was too small for the logarithm
    still gets a gradient in Caffe.
    """

    @staticmethod
    def forward(
        ctx: Any, scores: torch.Tensor, rows: torch.Tensor, axis: int
    ) -> torch.Tensor:
        log_p = functional.log_softmax(scores, axis)
        ctx.axis = axis
        ctx.save_for_backward(log_p, rows)
        return 0 - (log_p.clamp(min=_LOG_THRESHOLD) * rows).sum()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        log_p, rows = ctx.saved_tensors
        slope = log_p.exp() * rows.sum(ctx.axis, keepdim=True) - rows
        return grad * slope, None, None
