"""Scores of classes of which the true one is made harder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from math import pi, prod
from typing import Any

import torch

from caffe.engine.catalogue import register
from caffe.engine.layer import (
    Context,
    Operator,
    ParameterSpec,
    Shape,
    Tensors,
    canonical_axis,
)
from caffe.engine.layers.shared import as_labels, check_labels, text
from caffe.errors import CheckError

_TINY = 1e-9
# cos(m a) by powers of cos(a), the highest first
_CHEBYSHEV = {2: (2, 0, -1), 3: (4, 0, -3, 0), 4: (8, 0, -8, 0, 1)}


def _margin(cosine: torch.Tensor, times: int) -> tuple[torch.Tensor, torch.Tensor]:
    """``(-1)^k cos(m a) - 2 k`` of angles a from k pi / m on, and its derivative.

    It falls with the angle all the way; the derivative is that by the cosine.
    """
    with torch.no_grad():
        angle = cosine.clamp(-1, 1).acos()
        k = (angle * (times / pi)).floor().clamp(max=times - 1)
    value, slope = torch.zeros_like(cosine), torch.zeros_like(cosine)
    for factor in _CHEBYSHEV[times]:
        slope = slope * cosine + value
        value = value * cosine + factor
    sign = 1 - 2 * (k % 2)
    return sign * value - 2 * k, sign * slope


class _Margin(Operator):
    """Options, shapes and lambda of both layers."""

    bottoms = (2, 2)
    tops = (1, 2)
    differentiable_bottoms = (0,)
    backward_needs_top = False
    remembers = True
    options: Any

    def _read(self, options: Any) -> None:
        self.options = options
        self.classes = int(options.num_output)
        self.times = int(options.type) + 1
        self.inputs: int | None = None
        if self.classes == 0:
            raise CheckError("num_output is 0: expected a number above 0")

    def _split(self, shape: Shape) -> tuple[int, int]:
        axis = canonical_axis(self.options.axis, len(shape))
        return prod(shape[:axis]), prod(shape[axis:])

    def parameters(self, bottom_shapes: Sequence[Shape]) -> list[ParameterSpec]:
        """Declare the weights, a row a class."""
        _, self.inputs = self._split(bottom_shapes[0])
        return [ParameterSpec((self.classes, self.inputs), self.options.weight_filler)]

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Scores of all classes, and lambda."""
        count, inputs = self._split(bottom_shapes[0])
        if self.inputs not in {None, inputs}:
            raise CheckError(
                f"bottom 0 {text(bottom_shapes[0])} has {inputs} inputs a sample: the "
                f"weights are for {self.inputs}"
            )
        if prod(bottom_shapes[1]) != count:
            raise CheckError(
                f"bottom 1 (labels) is {text(bottom_shapes[1])}: expected {count}, one "
                "for each sample"
            )
        return [(count, self.classes), (1,)][: len(self.param.top)]

    def multiply_adds(
        self,
        bottoms: Sequence[Shape],
        tops: Sequence[Shape],
        params: Sequence[Shape],
    ) -> int:
        """Count the weights once a sample."""
        return self._split(bottoms[0])[0] * prod(params[0])

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Multiply, and mix in what is harder."""
        labels = as_labels(bottoms[1]).reshape(-1)
        check_labels(labels, self.classes)
        x = bottoms[0].reshape(len(labels), -1)
        easiness = self._easiness(context)
        top = self._scores(x, params[0], labels, easiness)
        return [top, x.new_full((1,), easiness)][: len(self.param.top)]

    def _easiness(self, context: Context) -> float:
        """Lambda of this forward."""
        options, done = self.options, context.state.get("forwards", 0)
        if not context.recomputing:
            done += 1
            context.state["forwards"] = done
        falling = 1 + options.gamma * (options.iteration + done)
        return float(max(options.base * falling**-options.power, options.lambda_min))

    @abstractmethod
    def _scores(
        self, x: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, easy: float
    ) -> torch.Tensor:
        """Scores of all classes; `easy` is lambda."""


@register("LargeMarginInnerProduct")
class LargeMarginInnerProductLayer(_Margin):
    """Inner product with a margin between classes (wy1iu/LargeMargin_Softmax_Loss).

    Options (``largemargin_inner_product_param``)
        num_output : int. Classes.
        type : SINGLE (default), no margin; DOUBLE, TRIPLE, QUADRUPLE, m = 2, 3, 4.
        base, gamma, power, lambda_min : float, default 1, 0, 1, 0. ``iteration`` : int,
            default 0. Lambda is ``base (1 + gamma i)^-power``, at least lambda_min, in
            forward i, counted on from iteration, in both phases.
        axis : int, default 1. From here on the bottom is one vector.
        weight_filler : FillerParameter, default constant 0.

    Bottoms
        0 : (M, ...), vectors. 1 : M labels.

    Tops
        0 : (M, num_output), ``w x``; of the true class
            ``(lambda w x + |w| |x| psi) / (1 + lambda)``, where psi is
            ``(-1)^k cos(m a) - 2 k`` of the angle a from k pi / m on.
        1 : optional, (1,), lambda.

    Blobs
        0 : (num_output, K)

    1e-9 is added to ``|w| |x|``. The gradients are the derivatives.
    """

    def setup(self, param: Any, context: Context) -> None:
        """Read the options."""
        self._read(param.largemargin_inner_product_param)

    def _scores(
        self, x: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, easy: float
    ) -> torch.Tensor:
        top = x @ weight.t()
        if self.times == 1:
            return top
        true = top.gather(1, labels[:, None])
        length = (x.norm(dim=1) * weight.norm(dim=1)[labels] + _TINY)[:, None]
        hard = length * _margin(true / length, self.times)[0]
        return top.scatter(1, labels[:, None], (easy * true + hard) / (1 + easy))


@register("MarginInnerProduct")
class MarginInnerProductLayer(_Margin):
    """Inner product by weights of length 1 with an angular margin (wy1iu/sphereface).

    Options (``margin_inner_product_param``), bottoms, tops and blobs are those of
    `LargeMarginInnerProductLayer`; ``|w|`` is 1: the rows of the stored weights are
    divided by their lengths in each forward.

    As in the fork the gradient of the weights is that of ``w x`` alone, and in that of
    x the direction of the hard score counts, not its length.
    """

    def setup(self, param: Any, context: Context) -> None:
        """Read the options."""
        self._read(param.margin_inner_product_param)

    def _scores(
        self, x: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, easy: float
    ) -> torch.Tensor:
        with torch.no_grad():
            weight.div_(weight.norm(dim=1, keepdim=True))
        top: torch.Tensor = _Angular.apply(x, weight, labels, self.times, easy)
        return top


class _Angular(torch.autograd.Function):
    """Scores by weights of length 1; the gradients are the fork's, not derivatives."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        labels: torch.Tensor,
        times: int,
        easy: float,
    ) -> torch.Tensor:
        top = x @ weight.t()
        ctx.save_for_backward(x, weight.clone(), labels, top)
        ctx.times, ctx.easy = times, easy
        if times == 1:
            return top.clone()
        true, length = top.gather(1, labels[:, None]), x.norm(dim=1, keepdim=True)
        psi, _ = _margin(true / length, times)
        mixed = (easy * true + length * psi) / (1 + easy)
        return top.scatter(1, labels[:, None], mixed)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (grad,) = grads
        x, weight, labels, top = ctx.saved_tensors
        to_x = grad @ weight
        if ctx.times > 1:
            length = x.norm(dim=1, keepdim=True)
            cosine = top.gather(1, labels[:, None]) / length
            psi, slope = _margin(cosine, ctx.times)
            along_x = (psi - cosine * slope) / length
            hard = slope * weight[labels] + along_x * x
            hard = hard / torch.hypot(slope, along_x)
            share = grad.gather(1, labels[:, None]) / (1 + ctx.easy)
            to_x = to_x + share * (hard - weight[labels])
        return to_x, grad.t() @ x, None, None, None
