"""Recurrent layers: sequences with a memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar

import torch
from torch.nn import functional

from caffe.engine.catalogue import register
from caffe.engine.layer import (
    Arity,
    Context,
    Operator,
    ParameterSpec,
    Shape,
    Tensors,
)
from caffe.engine.layers.shared import text
from caffe.engine.onnx import recurrent as forms
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.errors import CheckError


class RecurrentLayer(Operator):
    """What RNN and LSTM share.

    Options (``recurrent_param``)
        num_output : int. Elements H of the output and of each hidden state.
        weight_filler, bias_filler : FillerParameter, default constant 0.
        expose_hidden : bool, default false. Hidden states come from further bottoms and
            go to further tops, instead of lasting from one forward to the next.
        debug_info : bool, default false. Accepted, without effect.

    Bottoms
        0 : (T, N, ...), T steps of N independent sequences.
        1 : (T, N), 0 where a sequence begins, 1 where it goes on: factor of the hidden
            state before this step.
        2 : (N, ...), optional; input that is the same at every step.
        further : with ``expose_hidden``, (1, N, H), a hidden state before the first
            step.

    Tops
        0 : (T, N, H)
        further : with ``expose_hidden``, (1, N, H), a hidden state after the last step.

    Without ``expose_hidden`` the hidden states are 0 at first, and then those of the
    forward before. Gradients do not go back there, nor, as in C++ Caffe, through the
    bottoms and tops of ``expose_hidden``. T may not change once the net is built.
    """

    states: ClassVar[tuple[str, ...]]
    differentiable_bottoms = (0, 2)
    backward_needs_top = False

    @classmethod
    def arity(cls, param: Any) -> tuple[Arity, Arity]:
        """Each hidden state is a bottom and a top if it is exposed."""
        exposed = len(cls.states) if param.recurrent_param.expose_hidden else 0
        return (2 + exposed, 3 + exposed), (1 + exposed, 1 + exposed)

    def setup(self, param: Any, context: Context) -> None:
        """Check the number of outputs."""
        options = param.recurrent_param
        self.num_output = int(options.num_output)
        if self.num_output == 0:
            raise CheckError("num_output is 0: expected a number above 0")
        self.exposed = bool(options.expose_hidden)
        self.remembers = not self.exposed
        fixed = 2 + (len(self.states) if self.exposed else 0)
        self.static = len(param.bottom) > fixed
        # numbers of inputs, and of steps, for which the parameters were declared
        self.sizes: tuple[int, ...] | None = None

    def _sizes(self, bottom_shapes: Sequence[Shape]) -> tuple[int, ...]:
        """Numbers of steps, of inputs, and of static inputs."""
        x = bottom_shapes[0]
        static = [prod(bottom_shapes[2][1:])] if self.static else []
        return (x[0], prod(x[2:]), *static)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Keep steps and sequences of bottom 0; ``num_output`` elements each."""
        x, cont, *others = bottom_shapes
        if len(x) < 3 or x[0] == 0:
            raise CheckError(
                f"bottom 0 is {text(x)}: "
                "expected 3 axes or more, and 1 step or more on axis 0"
            )
        self._expect(1, cont, x[:2], "the first two axes of bottom 0")
        if self.static:
            static = others.pop(0)
            if len(static) < 2 or static[0] != x[1]:
                raise CheckError(
                    f"bottom 2 is {text(static)}: "
                    f"expected 2 axes or more, the first of {x[1]} elements, "
                    f"as bottom 0 is {text(x)}"
                )
        hidden = (1, x[1], self.num_output)
        for i, shape in enumerate(others, len(bottom_shapes) - len(others)):
            self._expect(i, shape, hidden, "a hidden state")
        sizes = self._sizes(bottom_shapes)
        if self.sizes not in {None, sizes}:
            raise CheckError(
                f"bottom 0 is {text(x)}: the layer was built for steps and inputs "
                f"{text(self.sizes or ())}, these are {text(sizes)}"
            )
        return [(*x[:2], self.num_output), *([hidden] * len(others))]

    def multiply_adds(
        self,
        bottoms: Sequence[Shape],
        tops: Sequence[Shape],
        params: Sequence[Shape],
    ) -> int:
        """Count every matrix once a step, that of the static input once in all."""
        steps, sequences = bottoms[0][:2]
        once = {2} if self.static else set()
        matrices = ((i, shape) for i, shape in enumerate(params) if len(shape) == 2)
        return sequences * sum(
            prod(shape) * (1 if i in once else steps) for i, shape in matrices
        )

    @staticmethod
    def _expect(i: int, shape: Shape, wanted: Shape, what: str) -> None:
        if shape != wanted:
            raise CheckError(
                f"bottom {i} is {text(shape)}: expected {text(wanted)}, the shape "
                f"of {what}"
            )

    def _inputs(self, bottom_shapes: Sequence[Shape], rows: int) -> list[ParameterSpec]:
        """Matrix and bias of the input, and the matrix of the static input."""
        options = self.param.recurrent_param
        self.sizes = self._sizes(bottom_shapes)
        _, columns, *static = self.sizes
        return [
            ParameterSpec((rows, columns), options.weight_filler),
            ParameterSpec((rows,), options.bias_filler),
            *(ParameterSpec((rows, size), options.weight_filler) for size in static),
        ]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Run through the steps, and remember the hidden states."""
        x, cont, *others = bottoms
        matrix, bias, *params = params
        drive = functional.linear(x.flatten(2), matrix, bias)
        if self.static:
            drive = drive + functional.linear(others.pop(0).flatten(1), params.pop(0))
        before = self._before(others, drive, context)
        outputs, after = self._steps(drive, cont.detach(), before, params, context)
        after = [state.detach() for state in after]
        if self.exposed:
            return [torch.stack(outputs), *(state[None] for state in after)]
        if not context.recomputing:
            for name, old, new in zip(self.states, before, after, strict=True):
                context.state[f"{name}_before"] = old.cpu().numpy()
                context.state[name] = new.cpu().numpy()
        return [torch.stack(outputs)]

    def _before(
        self, exposed: Tensors, drive: torch.Tensor, context: Context
    ) -> Tensors:
        """Hidden states before the first step, (N, H) each."""
        if self.exposed:
            return [state.detach()[0] for state in exposed]
        suffix = "_before" if context.recomputing else ""
        sequences = drive.shape[1]
        states = []
        for name in self.states:
            stored = context.state.get(name + suffix)
            if stored is None or len(stored) < sequences:
                states.append(drive.new_zeros(sequences, self.num_output))
            else:
                states.append(torch.from_numpy(stored[:sequences]).to(drive))
        return states

    @abstractmethod
    def _steps(
        self,
        drive: torch.Tensor,
        cont: torch.Tensor,
        states: Tensors,
        params: Tensors,
        context: Context,
    ) -> tuple[Tensors, Tensors]:
        """Compute the outputs of all steps and the last hidden states, all (N, H).

        Parameters
        ----------
        drive : torch.Tensor
            (T, N, rows), what the inputs contribute.
        cont : torch.Tensor
            (T, N)
        states : list of torch.Tensor
            Hidden states before the first step.
        params : list of torch.Tensor
            Those behind the ones of the inputs.
        context : Context
        """


@register("RNN")
class RNNLayer(RecurrentLayer):
    """Recurrent network with one hidden state h.

    ``h = tanh(W_hh (cont h) + W_xh x + b_h + W_xh_static x_static)`` and
    ``o = tanh(W_ho h + b_o)``; options, bottoms and tops as `RecurrentLayer` has them,
    with h for the only hidden state.

    Blobs
        0 : W_xh (H, D), 1 : b_h (H,), [W_xh_static (H, D_static)], then W_hh (H, H),
        W_ho (H, H), b_o (H,). D counts the elements of bottom 0 behind axis 1.
    """

    states = ("h",)

    def parameters(self, bottom_shapes: Sequence[Shape]) -> list[ParameterSpec]:
        """Declare matrices and biases."""
        options = self.param.recurrent_param
        size = self.num_output
        return [
            *self._inputs(bottom_shapes, size),
            ParameterSpec((size, size), options.weight_filler),
            ParameterSpec((size, size), options.weight_filler),
            ParameterSpec((size,), options.bias_filler),
        ]

    def _steps(
        self,
        drive: torch.Tensor,
        cont: torch.Tensor,
        states: Tensors,
        params: Tensors,
        context: Context,
    ) -> tuple[Tensors, Tensors]:
        (h,) = states
        hidden, output, bias = params
        outputs = []
        for x, go_on in zip(drive, cont[..., None], strict=True):
            h = torch.tanh(x + functional.linear(h * go_on, hidden))
            outputs.append(torch.tanh(functional.linear(h, output, bias)))
        return outputs, [h]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give the steps of a recurrent network."""
        drive, cont, (hidden,) = forms.prepared(layer, 1)
        matrix, output, bias = len(layer.blobs) - 3, len(layer.blobs) - 2, -1
        recurrent = forms.transposed(layer, matrix)
        out, shift = (
            forms.transposed(layer, output),
            layer.floats(layer.values(bias), "bias"),
        )
        outputs = []
        for x, go_on in zip(drive, cont, strict=True):
            kept = layer.add("MatMul", layer.add("Mul", hidden, go_on), recurrent)
            hidden = layer.add("Tanh", layer.add("Add", x, kept))
            product = layer.add("Add", layer.add("MatMul", hidden, out), shift)
            outputs.append(layer.add("Tanh", product))
        return forms.tops(layer, outputs, [hidden])


@register("LSTM")
class LSTMLayer(RecurrentLayer):
    """Long short-term memory, with hidden states h and c.

    The gates i, f, o, g are ``W_hc (cont h) + W_xc x + b_c + W_xc_static x_static``;
    what follows is `LSTMUnitLayer`, and the output is h. Options, bottoms and tops as
    `RecurrentLayer` has them, with h and then c for the hidden states.

    Blobs
        0 : W_xc (4 H, D), 1 : b_c (4 H,), [W_xc_static (4 H, D_static)], then
        W_hc (4 H, H). D counts the elements of bottom 0 behind axis 1.
    """

    states = ("h", "c")

    def parameters(self, bottom_shapes: Sequence[Shape]) -> list[ParameterSpec]:
        """Declare matrices and the bias."""
        options = self.param.recurrent_param
        shape = (4 * self.num_output, self.num_output)
        return [
            *self._inputs(bottom_shapes, shape[0]),
            ParameterSpec(shape, options.weight_filler),
        ]

    def _steps(
        self,
        drive: torch.Tensor,
        cont: torch.Tensor,
        states: Tensors,
        params: Tensors,
        context: Context,
    ) -> tuple[Tensors, Tensors]:
        h, c = states
        outputs = []
        for x, go_on in zip(drive, cont[..., None], strict=True):
            gates = x + functional.linear(h * go_on, params[0])
            c, h = _lstm_unit(c, gates, go_on, gpu=context.gpu)
            outputs.append(h)
        return outputs, [h, c]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give the steps of a long short-term memory."""
        drive, cont, (hidden, cell) = forms.prepared(layer, 2)
        recurrent = forms.transposed(layer, len(layer.blobs) - 1)
        outputs = []
        for x, go_on in zip(drive, cont, strict=True):
            kept = layer.add("MatMul", layer.add("Mul", hidden, go_on), recurrent)
            cell, hidden = forms.unit(layer, cell, layer.add("Add", x, kept), go_on)
            outputs.append(hidden)
        return forms.tops(layer, outputs, [hidden, cell])


@register("LSTMUnit")
class LSTMUnitLayer(Operator):
    """One step of an LSTM.

    With gates i, f, o, g: ``c = cont sigmoid(f) c_before + sigmoid(i) tanh(g)`` and
    ``h = sigmoid(o) tanh(c)``.

    Bottoms
        0 : c before, (1, N, H). 1 : gates i, f, o, g, (1, N, 4 H). 2 : cont, (1, N), 0
        where a sequence begins, else 1.

    Tops
        0 : c, 1 : h, both (1, N, H).

    The third bottom has no gradient. Where it is neither 0 nor 1, C++ Caffe on a CPU
    takes the slope of ``cont sigmoid(f)`` for that of a sigmoid of this value; so does
    this layer there.
    """

    bottoms = (3, 3)
    tops = (2, 2)
    differentiable_bottoms = (0, 1)
    backward_needs_top = False

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of bottom 0, twice."""
        before, gates, cont = bottom_shapes
        if len(before) != 3 or before[0] != 1:
            raise CheckError(
                f"bottom 0 is {text(before)}: expected 3 axes, the first of 1 element"
            )
        for i, shape, wanted in (
            (1, gates, (*before[:2], 4 * before[2])),
            (2, cont, before[:2]),
        ):
            if shape != wanted:
                raise CheckError(
                    f"bottom {i} is {text(shape)}: expected {text(wanted)}, as "
                    f"bottom 0 is {text(before)}"
                )
        return [before, before]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Do one step."""
        before, gates, cont = bottoms
        return list(
            _lstm_unit(before, gates, cont.detach()[..., None], gpu=context.gpu)
        )

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give one step."""
        before, gates, cont = layer.bottoms
        go_on = layer.unsqueezed(cont, [2])
        cell, hidden = forms.unit(layer, before.name, gates.name, go_on)
        return [layer.top(cell), layer.top(hidden, index=1)]


def _lstm_unit(
    before: torch.Tensor, gates: torch.Tensor, cont: torch.Tensor, *, gpu: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Next c and h."""
    i, f, o, g = gates.chunk(4, -1)
    kept = cont * torch.sigmoid(f) if gpu else _Kept.apply(f, cont)
    c = kept * before + torch.sigmoid(i) * torch.tanh(g)
    return c, torch.sigmoid(o) * torch.tanh(c)


class _Kept(torch.autograd.Function):
    """``cont sigmoid(f)`` with Caffe's gradient, which takes it for a sigmoid."""

    @staticmethod
    def forward(ctx: Any, f: torch.Tensor, cont: torch.Tensor) -> torch.Tensor:
        kept = cont * torch.sigmoid(f)
        ctx.save_for_backward(kept)
        return kept

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        (kept,) = ctx.saved_tensors
        return grad * kept * (1 - kept), None
