"""Connectionist temporal classification: two losses and a decoder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar

import torch

from caffe.dialects.sequences import alignment
from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.layers.shared import as_floats, as_labels, text
from caffe.errors import CheckError

_WITH_LENGTHS = 4  # bottoms: activations, their lengths, those of labels, labels


class _CTC(Operator):
    """Blank and lengths, as the losses and the decoder read them."""

    differentiable_bottoms: ClassVar[tuple[int, ...]] = (0,)
    options: Any

    def _blank(self, classes: int) -> int:
        blank = int(self.options.blank_index)
        if blank >= classes:
            raise CheckError(
                f"blank_index is {blank}: expected one of the {classes} classes"
            )
        return classes - 1 if blank < 0 else blank

    def _check(self, bottom_shapes: Sequence[Shape], numbers: Sequence[int]) -> None:
        """Refuse bottoms behind the first that do not have so many numbers."""
        first = bottom_shapes[0]
        if len(first) < 3 or any(n != 1 for n in first[3:]):
            raise CheckError(f"bottom 0 is {text(first)}: expected (T, N, classes)")
        for i, count in enumerate(numbers, 1):
            shape = bottom_shapes[i]
            if prod(shape) != count:
                raise CheckError(
                    f"bottom {i} is {text(shape)}: expected {count} numbers, as "
                    f"bottom 0 is {text(first)}"
                )
        self._blank(first[2])


class _Fixed(torch.autograd.Function):
    """A number with a gradient that does not depend on the weight of the loss."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, value: torch.Tensor, gradient: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient, None, None


class _CTCLoss(_CTC):
    """Mean of the costs of all sequences; the gradient is that of their sum."""

    loss = True

    def setup(self, param: Any, context: Context) -> None:
        """Read the options."""
        self.options = param.ctc_loss_param
        self.merge = bool(self.options.ctc_merge_repeated)
        self.delay = max(int(self.options.output_delay), 0)

    @abstractmethod
    def _sequences(
        self, bottoms: Tensors
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Give steps (N,), labels (L, N), and how many of them count (N,)."""

    def _impossible(self, costs: torch.Tensor) -> torch.Tensor:
        """Cost of labels that can't be written in so many steps."""
        return torch.full_like(costs, torch.inf)

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Find the costs, and their gradients at once."""
        x = as_floats(bottoms[0])
        lengths, labels, counts = self._sequences(bottoms)
        blank = self._blank(x.shape[2])
        with torch.enable_grad():
            scores = x.detach().reshape(x.shape[:3]).requires_grad_()
            usable = (lengths - self.delay).clamp(min=1)
            costs = alignment.costs(
                scores[self.delay :], usable, labels, counts, blank, merge=self.merge
            )
            possible = costs < -alignment.NEVER / 2
            total = costs.where(possible, 0).sum()
            (gradient,) = torch.autograd.grad(total, scores)
        costs = costs.detach()
        loss = costs.where(possible, self._impossible(costs)).mean()
        return [_Fixed.apply(bottoms[0], loss.to(x.dtype), gradient.reshape(x.shape))]


@register("CTCLoss")
class CTCLossLayer(_CTCLoss):
    """CTC loss of ChWick's Caffe.

    Options (``ctc_loss_param``)
        blank_index : int, default 0. Below 0: the last class.
        ctc_merge_repeated : bool, default true. False: equal neighbours are two labels
            without a blank between them.
        preprocess_collapse_repeated : bool, default false. Equal neighbours among the
            labels count once.
        output_delay : int, default 0. Steps at the beginning that do not count.

    Bottoms
        0 : (T, N, C), scores before the softmax.
        1 : (T, N), 0 where a sequence begins: it ends before the second 0.
        2 : (T, N), labels; the first one below 0, or from C - 1 on, ends them whatever
            blank_index is, as in the fork.

    Tops
        0 : (), mean of the negative logarithms of the labels' probabilities; infinite
            where the steps are too few.

    As in the fork the gradient is not divided by N, and not multiplied by the weight
    of the loss. ``loss_calculation_t`` has no effect.
    """

    bottoms = (3, 3)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number."""
        steps = prod(bottom_shapes[0][:2])
        self._check(bottom_shapes, (steps, steps))
        if self.delay >= bottom_shapes[0][0]:
            raise CheckError(
                f"output_delay is {self.delay}: expected less than the "
                f"{bottom_shapes[0][0]} steps of bottom 0"
            )
        return [()]

    def _sequences(
        self, bottoms: Tensors
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        shape = bottoms[0].shape
        lengths = alignment.lengths(bottoms[1].detach().reshape(shape[:2]))
        labels = as_labels(bottoms[2]).reshape(shape[:2])
        counts = alignment.until((labels < 0) | (labels >= shape[2] - 1))
        if self.options.preprocess_collapse_repeated:
            labels, counts = alignment.collapsed(labels, counts)
        if (counts > lengths - self.delay).any():
            longest = int((counts - lengths).argmax())
            raise CheckError(
                f"bottom 2 holds {int(counts[longest])} labels for the "
                f"{int(lengths[longest])} steps of sequence {longest}: expected no "
                "more labels than steps"
            )
        return lengths, labels.clamp(0, shape[2] - 1), counts


@register("WarpCTCLoss")
class WarpCTCLossLayer(_CTCLoss):
    """CTC loss of senlinuc's caffe_ocr, which calls warp-ctc.

    Options (``ctc_loss_param``)
        blank_index : int, default 0.

    Bottoms
        0 : (T, N, C), scores before the softmax; then one of
        1 : (N, L), labels, and blank_index where there is none; or
        1, 2 : (T, N), indicators and labels as of `CTCLossLayer`, -1 where there is no
            label; with blank_index 0 the labels are one less than their classes; or
        1, 2, 3 : N lengths of the sequences, N numbers of labels, (T, N) labels.

    Tops
        0 : (), mean of the negative logarithms of the labels' probabilities; 0 for
            sequences whose steps are too few.

    As in the fork the gradient is not divided by N.
    """

    bottoms = (2, _WITH_LENGTHS)

    def setup(self, param: Any, context: Context) -> None:
        """Read the options; those of CTCLoss have no effect."""
        super().setup(param, context)
        self.merge, self.delay = True, 0

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number."""
        first = bottom_shapes[0]
        steps, samples = prod(first[:2]), first[1]
        numbers: dict[int, tuple[int, ...]] = {
            2: (),
            3: (steps, steps),
            _WITH_LENGTHS: (samples, samples, steps),
        }
        self._check(bottom_shapes, numbers[len(bottom_shapes)])
        if len(bottom_shapes) == 2 and bottom_shapes[1][:1] != (samples,):
            raise CheckError(
                f"bottom 1 (labels) is {text(bottom_shapes[1])}: expected labels of "
                f"each of {samples} sequences"
            )
        return [()]

    def _impossible(self, costs: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(costs)

    def _sequences(
        self, bottoms: Tensors
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        shape = bottoms[0].shape
        blank = self._blank(shape[2])
        lengths = torch.full((shape[1],), shape[0], device=bottoms[0].device)
        if len(bottoms) == 2:
            rows = as_labels(bottoms[1]).reshape(shape[1], -1)
            # padding may stand anywhere
            order = (rows == blank).int().argsort(dim=1, stable=True)
            labels, counts = rows.gather(1, order).t(), (rows != blank).sum(1)
        elif len(bottoms) == _WITH_LENGTHS:
            lengths, counts = (as_labels(b).reshape(-1) for b in bottoms[1:3])
            labels = as_labels(bottoms[3]).reshape(shape[:2])
        else:
            lengths = alignment.lengths(bottoms[1].detach().reshape(shape[:2]))
            labels = as_labels(bottoms[2]).reshape(shape[:2])
            counts = alignment.until(labels < 0)
            labels = labels + int(blank == 0)
        self._check_values(labels, lengths, counts, shape)
        return lengths, labels.clamp(0, shape[2] - 1), counts

    def _check_values(
        self,
        labels: torch.Tensor,
        lengths: torch.Tensor,
        counts: torch.Tensor,
        shape: Sequence[int],
    ) -> None:
        """Refuse labels that are no classes, and lengths beyond the bottoms."""
        counted = torch.arange(len(labels), device=labels.device)[:, None] < counts
        wrong = counted & ((labels < 0) | (labels >= shape[2]))
        if wrong.any():
            raise CheckError(
                f"label {int(labels[wrong][0])}: expected one of {shape[2]} classes"
            )
        beyond = (lengths < 1) | (lengths > shape[0]) | (counts > len(labels))
        if beyond.any():
            raise CheckError(
                f"a sequence of {int(lengths[beyond][0])} steps and "
                f"{int(counts[beyond][0])} labels: expected 1 to {shape[0]} steps and "
                f"at most {len(labels)} labels"
            )


@register("CTCGreedyDecoder")
class CTCGreedyDecoderLayer(_CTC):
    """Labels of the likeliest class of each step (ChWick, senlinuc).

    Options (``ctc_decoder_param``)
        blank_index : int, default 0. Below 0: the last class.
        ctc_merge_repeated : bool, default true. Equal neighbours are one label.

    Bottoms
        0 : (T, N, C), scores.
        1 : optional, (T, N), 0 where a sequence begins; without it all steps count. Of
            another size, labels of caffe_ocr, which are not looked at (unproven).
        2 : optional, (T, N), true labels, which the first one below 0 ends.

    Tops
        0 : (N, T, 1, 1), labels, then -1.
        1 : (1, 1, 1, 1) with true labels, of three tops the last one: 1 less the mean
            of edit distances over the length of the longer. Without, or of three tops
            the second: (N, 1, 1, 1), sum of the negative scores.

    Of equal scores the first class wins.
    """

    bottoms = (1, 3)
    tops = (1, 3)
    differentiable_bottoms = ()

    def setup(self, param: Any, context: Context) -> None:
        """Read the options."""
        self.options = param.ctc_decoder_param
        self.merge = bool(self.options.ctc_merge_repeated)
        tops, bottoms = len(param.top), len(param.bottom)
        self.scores = tops == 3 or (tops == 2 and bottoms < 3)
        self.accuracy = tops == 3 or (tops == 2 and bottoms == 3)
        if self.accuracy and bottoms < 3:
            raise CheckError("3 tops are given: expected 3 bottoms, with true labels")

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """One label a step at most."""
        steps, samples = bottom_shapes[0][:2]
        given = len(bottom_shapes) - 1
        self._check(bottom_shapes, [steps * samples] * given if given > 1 else [])
        tops: list[Shape] = [(samples, steps, 1, 1)]
        if self.scores:
            tops.append((samples, 1, 1, 1))
        if self.accuracy:
            tops.append((1, 1, 1, 1))
        return tops

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Choose, drop blanks and repetitions, move together."""
        x = bottoms[0].detach().reshape(bottoms[0].shape[:3])
        steps, samples, classes = x.shape
        lengths = torch.full((samples,), steps, device=x.device)
        if len(bottoms) > 1 and bottoms[1].numel() == steps * samples:
            lengths = alignment.lengths(bottoms[1].detach().reshape(steps, samples))
        inside = torch.arange(steps, device=x.device)[:, None] < lengths
        best, chosen = x.max(2)
        kept = inside & (chosen != self._blank(classes))
        if self.merge:
            kept[1:] &= chosen[1:] != chosen[:-1]
        order = (~kept).int().argsort(dim=0, stable=True)
        labels = chosen.where(kept, -1).gather(0, order).t()
        tops = [labels.to(x).reshape(samples, steps, 1, 1)]
        if self.scores:
            tops.append(-(best * inside).sum(0).reshape(samples, 1, 1, 1))
        if self.accuracy:
            truth = as_labels(bottoms[2]).reshape(steps, samples)
            counts = alignment.until(truth < 0)
            errors = alignment.edit_distances(labels, kept.sum(0), truth.t(), counts)
            longer = torch.maximum(kept.sum(0), counts).clamp(min=1)
            tops.append((1 - (errors / longer).mean()).to(x).reshape(1, 1, 1, 1))
        return tops
