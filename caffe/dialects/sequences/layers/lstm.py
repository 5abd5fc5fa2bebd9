"""The Lstm of junhyukoh's Caffe, which is not BVLC's LSTM."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch.nn import functional

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, ParameterSpec, Shape, Tensors
from caffe.engine.layers.shared import text
from caffe.errors import CheckError

_BY_STEPS = 3  # axes of a bottom of steps and sequences


@register("Lstm")
class LstmLayer(Operator):
    """Long short-term memory over the rows of a matrix (junhyukoh, senlinuc).

    Options (``lstm_param``)
        num_output : int H.
        batch_size : int N, default 1. Sequences whose steps lie in turn.
        clipping_threshold : float, default 0. Above 0: bound of the gradients before
            the gates.
        weight_filler, bias_filler : FillerParameter, default constant 0.

    Bottoms
        0 : (T N, ...). 1 : optional, (T, N), 0 where a sequence begins.

    Tops
        0 : (T N, H)

    A bottom of three axes is (T, N, I), as in CTPN and caffe_ocr: the top is (T, N, H),
    batch_size has no effect, and no quirk below is theirs (unproven).

    Blobs
        0 : (4 H, I), 1 : (4 H, H), 2 : (4 H,), for the gates i, f, o and g in turn.

    ``c = f c + i g``, ``h = o tanh(c)``. Without bottom 1 the state is 0 at first; with
    it, that of the last step of the forward before, unless it begins there.

    As the fork computes it, blob 1 is applied to the state of the first sequence for
    all of them; of a bottom 1 that has one axis, number t + n counts for step t of
    sequence n; and the gradient of blob 1 takes the state of each sequence whole, also
    where it begins, and before the first step that of the first sequence alone.
    """

    bottoms = (1, 2)
    differentiable_bottoms = (0,)
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Read the options."""
        options = param.lstm_param
        self.num_output, self.sequences = options.num_output, options.batch_size
        for name in ("num_output", "batch_size"):
            if getattr(options, name) == 0:
                raise CheckError(f"{name} is 0: expected a number above 0")
        self.threshold = float(options.clipping_threshold)
        self.remembers = len(param.bottom) > 1
        self.inputs: int | None = None

    @staticmethod
    def _inputs(shape: Sequence[int]) -> int:
        """Count the numbers of one step of one sequence."""
        return prod(shape[2:] if len(shape) == _BY_STEPS else shape[1:])

    def _size(self, shape: Sequence[int]) -> tuple[int, int]:
        """Numbers of steps and of sequences."""
        if len(shape) == _BY_STEPS:
            return shape[0], shape[1]
        return shape[0] // self.sequences, self.sequences

    def parameters(self, bottom_shapes: Sequence[Shape]) -> list[ParameterSpec]:
        """Declare two matrices and a bias."""
        options = self.param.lstm_param
        self.inputs, rows = self._inputs(bottom_shapes[0]), 4 * self.num_output
        return [
            ParameterSpec((rows, self.inputs), options.weight_filler),
            ParameterSpec((rows, self.num_output), options.weight_filler),
            ParameterSpec((rows,), options.bias_filler),
        ]

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """``num_output`` numbers a row."""
        x = bottom_shapes[0]
        by_steps = len(x) == _BY_STEPS
        if not by_steps and x[0] % self.sequences:
            raise CheckError(
                f"bottom 0 is {text(x)}: expected a multiple of batch_size "
                f"{self.sequences} rows"
            )
        inputs, size = self._inputs(x), self._size(x)
        if self.inputs not in {None, inputs}:
            raise CheckError(
                f"bottom 0 {text(x)} has {inputs} inputs a step: the weights are for "
                f"{self.inputs}"
            )
        if len(bottom_shapes) > 1:
            begins, flat = bottom_shapes[1], (prod(size),)
            known = {size} if by_steps else {size, flat, (*flat, *[1] * len(x[1:]))}
            if begins not in known:
                raise CheckError(
                    f"bottom 1 is {text(begins)}: expected {text(size)}, as bottom 0 "
                    f"is {text(x)}"
                )
        return [(*(size if by_steps else x[:1]), self.num_output)]

    def multiply_adds(
        self,
        bottoms: Sequence[Shape],
        tops: Sequence[Shape],
        params: Sequence[Shape],
    ) -> int:
        """Count both matrices once a row."""
        steps = prod(self._size(bottoms[0]))
        return steps * sum(prod(shape) for shape in params if len(shape) == 2)

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Run through the steps, and remember the state where it lasts."""
        x = bottoms[0]
        matrix, recurrent, bias = params
        by_steps, size = x.dim() == _BY_STEPS, self._size(x.shape)
        rows = x.reshape(*size, self._inputs(x.shape))
        drive = functional.linear(rows, matrix, bias)
        going_on = self._going_on(bottoms, drive)
        before = self._before(drive, context)
        h, c = before
        outputs: list[torch.Tensor] = []
        for step, go_on in zip(drive, going_on[..., None], strict=True):
            if by_steps:
                gates = step + functional.linear(h * go_on, recurrent)
            else:
                seen = len(h) if outputs else 1
                gates = step + _Recurrence.apply(h, go_on, recurrent, seen)
            if self.threshold > 0:
                gates = _Clipped.apply(gates, self.threshold)
            i, f, o, g = gates.chunk(4, 1)
            c = f.sigmoid() * (c * go_on) + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        if self.remembers and not context.recomputing:
            for name, old, new in zip("hc", before, (h, c), strict=True):
                context.state[f"{name}_before"] = old.cpu().numpy()
                context.state[name] = new.detach().cpu().numpy()
        return [(torch.stack if by_steps else torch.cat)(outputs)]

    def _going_on(self, bottoms: Tensors, drive: torch.Tensor) -> torch.Tensor:
        """1 where a sequence goes on, 0 where it begins: (T, N)."""
        if len(bottoms) < 2:
            going_on = drive.new_ones(drive.shape[:2])
            going_on[0] = 0
            return going_on
        numbers = bottoms[1].detach()
        stride = prod(numbers.shape[1:])
        steps, sequences = torch.arange(len(drive)), torch.arange(drive.shape[1])
        places = (steps[:, None] * stride + sequences).to(numbers.device)
        return (numbers.flatten()[places] != 0).to(drive)

    def _before(self, drive: torch.Tensor, context: Context) -> Tensors:
        """State before the first step: h and c, (N, H) each."""
        suffix = "_before" if context.recomputing else ""
        shape = (drive.shape[1], self.num_output)
        stored = [context.state.get(name + suffix) for name in "hc"]
        return [
            drive.new_zeros(shape)
            if value is None or not self.remembers or value.shape != shape
            else torch.from_numpy(value).to(drive)
            for value in stored
        ]


class _Recurrence(torch.autograd.Function):
    """Product of a matrix with the first sequence's state, for all that go on.

    Not autograd's derivative: the fork's gradient of the matrix takes the states of the
    first `seen` sequences, whether they go on or not.
    """

    @staticmethod
    def forward(
        ctx: Any, h: torch.Tensor, go_on: torch.Tensor, matrix: torch.Tensor, seen: int
    ) -> torch.Tensor:
        ctx.save_for_backward(h, go_on, matrix)
        ctx.seen = seen
        return (h[:1] @ matrix.t()) * go_on

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (grad,) = grads
        h, go_on, matrix = ctx.saved_tensors
        to_h = torch.zeros_like(h)
        to_h[0] = (grad * go_on).sum(0) @ matrix
        return to_h, None, grad[: ctx.seen].t() @ h[: ctx.seen], None


class _Clipped(torch.autograd.Function):
    """The identity with a bounded gradient."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, bound: float) -> torch.Tensor:
        ctx.bound = bound
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grads[0].clamp(-ctx.bound, ctx.bound), None
