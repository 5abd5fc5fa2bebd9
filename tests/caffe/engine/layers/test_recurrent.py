import itertools

import numpy as np
import pytest
import torch

from caffe.errors import CheckError
from tests.support.layers import (
    as_tensor,
    check_gradient,
    make_context,
    make_layer,
    shapes_of,
)

STEPS, STREAMS, INPUTS, SIZE = 5, 3, 4, 2
X, CONT = (STEPS, STREAMS, INPUTS), (STEPS, STREAMS)
HIDDEN = (1, STREAMS, SIZE)
# stream 0 is one sequence from the start, 1 begins anew twice, 2 goes on throughout
BREAKS = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 1], [1, 0, 1], [1, 1, 1]])
GOING_ON = np.ones(CONT)


def options(text: str = "") -> str:
    fillers = 'weight_filler { type: "uniform" min: -1 } bias_filler { value: 0.1 }'
    return f"recurrent_param {{ num_output: {SIZE} {text} {fillers} }}"


class Runner:
    """A layer with fixed parameters, run again and again in one context."""

    def __init__(self, kind, shapes, text="", tops=1):
        self.context = make_context()
        self.layer = make_layer(kind, options(text), bottoms=len(shapes), tops=tops)
        specs = self.layer.parameters(shapes)
        self.params = [as_tensor(spec.shape, i) for i, spec in enumerate(specs)]

    def __call__(self, *bottoms):
        tensors = [as_tensor(bottom, i) for i, bottom in enumerate(bottoms)]
        shapes = self.layer.shapes([tuple(tensor.shape) for tensor in tensors])
        tops = self.layer.forward(tensors, self.params, self.context)
        assert [tuple(top.shape) for top in tops] == shapes
        return tops


def torch_lstm(params):
    """torch's LSTM with these weights; its gates are i, f, g, o."""
    input_matrix, bias, matrix = (
        torch.cat([p.chunk(4)[i] for i in (0, 1, 3, 2)]) for p in params
    )
    model = torch.nn.LSTM(INPUTS, SIZE)
    model.load_state_dict(
        {
            "weight_ih_l0": input_matrix,
            "weight_hh_l0": matrix,
            "bias_ih_l0": bias,
            "bias_hh_l0": torch.zeros(4 * SIZE),
        }
    )
    return model


def torch_rnn(params):
    """torch's RNN with these weights, and Caffe's layer on top of it."""
    input_matrix, bias, matrix, output, output_bias = params
    model = torch.nn.RNN(INPUTS, SIZE)
    model.load_state_dict(
        {
            "weight_ih_l0": input_matrix,
            "weight_hh_l0": matrix,
            "bias_ih_l0": bias,
            "bias_hh_l0": torch.zeros(SIZE),
        }
    )
    return lambda x: (torch.tanh(model(x)[0] @ output.t() + output_bias), None)


TORCH = {"LSTM": torch_lstm, "RNN": torch_rnn}


def by_segments(model, x, cont):
    """Run each piece between two breaks for itself."""
    streams = []
    for n in range(x.shape[1]):
        starts = sorted({0, *np.flatnonzero(cont[:, n] == 0), len(x)})
        pieces = [model(x[a:b, n : n + 1])[0] for a, b in itertools.pairwise(starts)]
        streams.append(torch.cat(pieces))
    return torch.cat(streams, 1)


class Recurrent:
    """What RNN and LSTM have in common."""

    kind: str
    states: int
    shapes: tuple[tuple[int, ...], ...]
    static: tuple[int, ...]

    def runner(self, shapes=(X, CONT), text="", tops=1):
        return Runner(self.kind, list(shapes), text, tops)

    @property
    def exposed(self):
        shapes = [X, CONT, *([HIDDEN] * self.states)]
        return self.runner(shapes, "expose_hidden: true", 1 + self.states)

    def test_blobs(self):
        layer = make_layer(self.kind, options(), bottoms=2)
        specs = layer.parameters([X, CONT])
        assert [spec.shape for spec in specs] == list(self.shapes)
        assert [spec.filler.value > 0 for spec in specs] == [
            len(shape) == 1 for shape in self.shapes
        ]

    def test_blob_of_the_static_input_stands_behind_the_bias(self):
        layer = make_layer(self.kind, options(), bottoms=3)
        specs = layer.parameters([X, CONT, (STREAMS, 2, 3)])
        want = [*self.shapes[:2], self.static, *self.shapes[2:]]
        assert [spec.shape for spec in specs] == want

    @pytest.mark.parametrize("cont", [GOING_ON, BREAKS])
    def test_agrees_with_torch(self, cont):
        run = self.runner()
        (top,) = run(X, cont)
        want = by_segments(TORCH[self.kind](run.params), as_tensor(X), cont)
        torch.testing.assert_close(top, want)

    def test_gradients_agree_with_torch(self):
        run = self.runner()
        inputs = [as_tensor(X).requires_grad_() for _ in range(2)]
        (top,) = run(inputs[0], BREAKS)
        diff = as_tensor((STEPS, STREAMS, SIZE), 7)
        top.backward(diff)
        want = by_segments(TORCH[self.kind](run.params), inputs[1], BREAKS)
        want.backward(diff)
        torch.testing.assert_close(inputs[0].grad, inputs[1].grad)

    def test_further_axes_of_the_input_are_one_vector(self):
        run = self.runner()
        (top,) = run(X, BREAKS)
        (folded,) = self.runner()(as_tensor(X).reshape(STEPS, STREAMS, 2, 2), BREAKS)
        assert torch.equal(folded, top)

    def test_the_static_input_is_there_at_every_step(self):
        run = self.runner([X, CONT, (STREAMS, 3)])
        static = as_tensor((STREAMS, 3), 5)
        (top,) = run(X, BREAKS, static)
        every = static.expand(STEPS, STREAMS, 3)
        joined = self.runner([(STEPS, STREAMS, INPUTS + 3), CONT])
        matrix, bias, static_matrix, *others = run.params
        joined.params = [torch.cat([matrix, static_matrix], 1), bias, *others]
        (want,) = joined(torch.cat([as_tensor(X), every], 2), BREAKS)
        torch.testing.assert_close(top, want)

    def test_the_hidden_state_lasts_from_one_forward_to_the_next(self):
        long = as_tensor((2 * STEPS, STREAMS, INPUTS))
        run = self.runner()
        tops = [run(part, GOING_ON)[0] for part in long.chunk(2)]
        want, *_ = TORCH[self.kind](run.params)(long)
        torch.testing.assert_close(torch.cat(tops), want)

    def test_a_break_at_the_first_step_forgets_the_forward_before(self):
        run = self.runner()
        (first,) = run(X, BREAKS)
        (second,) = run(X, BREAKS)
        assert torch.equal(second[:, 0], first[:, 0])
        assert not torch.equal(second[:, 2], first[:, 2])

    def test_a_restored_state_goes_on_as_if_never_stopped(self):
        run, other = self.runner(), self.runner()
        run(X, GOING_ON)
        other.context.state.update(
            {key: np.array(value) for key, value in run.context.state.items()}
        )
        assert torch.equal(other(X, GOING_ON)[0], run(X, GOING_ON)[0])

    def test_recomputing_starts_from_the_same_state_and_keeps_it(self):
        run = self.runner()
        run(X, GOING_ON)
        (second,) = run(X, GOING_ON)
        run.context.recomputing = True
        for _ in range(2):
            assert torch.equal(run(X, GOING_ON)[0], second)
        run.context.recomputing = False
        (third,) = run(X, GOING_ON)
        whole = TORCH[self.kind](run.params)(torch.cat([as_tensor(X)] * 3))[0]
        torch.testing.assert_close(third, whole[2 * STEPS :])

    def test_gradients_do_not_go_back_into_the_forward_before(self):
        run = self.runner()
        first = as_tensor(X).requires_grad_()
        run(first, GOING_ON)
        (top,) = run(as_tensor(X).requires_grad_(), GOING_ON)
        top.sum().backward()
        assert first.grad is None

    def test_another_number_of_sequences_keeps_the_first_or_starts_anew(self):
        run, fewer = self.runner(), self.runner()
        run(X, GOING_ON)
        fewer(X, GOING_ON)
        (whole,) = run(X, GOING_ON)
        (some,) = fewer(as_tensor(X)[:, :2], GOING_ON[:, :2])
        torch.testing.assert_close(some, whole[:, :2])
        (top,) = fewer(X, GOING_ON)
        assert torch.equal(top, self.runner()(X, GOING_ON)[0])

    def test_exposed_states_go_from_tops_to_bottoms(self):
        plain, run = self.runner(), self.exposed
        zeros = [torch.zeros(HIDDEN)] * self.states
        first, *states = run(X, GOING_ON, *zeros)
        second, *_ = run(X, GOING_ON, *states)
        assert torch.equal(first, plain(X, GOING_ON)[0])
        assert torch.equal(second, plain(X, GOING_ON)[0])
        assert run.context.state == {}

    def test_exposed_states_have_no_gradient(self):
        states = [as_tensor(HIDDEN, i).requires_grad_() for i in range(self.states)]
        x = as_tensor(X).requires_grad_()
        top, *after = self.exposed(x, GOING_ON, *states)
        assert not any(state.requires_grad for state in after)
        top.sum().backward()
        assert x.grad.any()
        assert all(state.grad is None for state in states)

    @pytest.mark.parametrize("cont", [GOING_ON, BREAKS])
    def test_gradient(self, cont):
        check_gradient(self.kind, options(), [X, cont])

    def test_gradient_with_a_static_input(self):
        check_gradient(self.kind, options(), [X, BREAKS, (STREAMS, 2, 2)])

    def test_arity(self):
        layer = make_layer(self.kind, options(), bottoms=2)
        assert layer.arity(layer.param) == ((2, 3), (1, 1))
        layer = make_layer(self.kind, options("expose_hidden: true"), bottoms=2)
        more = self.states
        assert layer.arity(layer.param) == ((2 + more, 3 + more), (1 + more, 1 + more))

    def test_refuses_no_outputs(self):
        with pytest.raises(CheckError, match="num_output is 0"):
            make_layer(self.kind, bottoms=2)

    @pytest.mark.parametrize(
        ("shapes", "match"),
        [
            ([(5, 3), CONT], r"bottom 0 is \(5,3\): expected 3 axes or more"),
            ([(0, 3, 4), (0, 3)], r"bottom 0 is \(0,3,4\): .* 1 step or more"),
            ([X, (5, 2)], r"bottom 1 is \(5,2\): expected \(5,3\)"),
            ([X, (5, 3, 1)], r"bottom 1 is \(5,3,1\): expected \(5,3\)"),
            ([X, CONT, (2, 4)], r"bottom 2 is \(2,4\): .* the first of 3 elements"),
            ([X, CONT, (3,)], r"bottom 2 is \(3\): expected 2 axes or more"),
        ],
    )
    def test_refuses_shapes(self, shapes, match):
        with pytest.raises(CheckError, match=match):
            shapes_of(self.kind, options(), shapes)

    def test_refuses_another_shape_of_a_hidden_state(self):
        states = [HIDDEN] * (self.states - 1) + [(STREAMS, SIZE)]
        last = 1 + self.states
        with pytest.raises(
            CheckError, match=rf"bottom {last} is \(3,2\): expected \(1,3,2\)"
        ):
            shapes_of(self.kind, options("expose_hidden: true"), [X, CONT, *states])

    @pytest.mark.parametrize("x", [(4, 3, 4), (5, 3, 3)])
    def test_refuses_other_steps_and_inputs_than_it_was_built_for(self, x):
        layer = make_layer(self.kind, options(), bottoms=2)
        layer.parameters([X, CONT])
        with pytest.raises(CheckError, match=r"built for steps and inputs \(5,4\)"):
            layer.shapes([x, x[:2]])


class TestRNN(Recurrent):
    kind, states = "RNN", 1
    shapes = ((2, 4), (2,), (2, 2), (2, 2), (2,))
    static = (2, 6)


class TestLSTM(Recurrent):
    kind, states = "LSTM", 2
    shapes = ((8, 4), (8,), (8, 2))
    static = (8, 6)

    def test_the_exposed_states_are_the_output_and_the_cells(self):
        run = self.exposed
        h, c = (as_tensor(HIDDEN, i) for i in (3, 4))
        top, last_h, last_c = run(X, GOING_ON, h, c)
        want, (want_h, want_c) = torch_lstm(run.params)(as_tensor(X), (h, c))
        torch.testing.assert_close(top, want)
        torch.testing.assert_close(last_h, want_h)
        torch.testing.assert_close(last_c, want_c)


UNIT = [(1, 3, 2), (1, 3, 8), (1, 3)]


def slope_of_the_forget_gate(cont, *, gpu):
    gates = torch.zeros(1, 1, 4, requires_grad=True)
    bottoms = [torch.ones(1, 1, 1), gates, torch.full((1, 1), cont)]
    layer = make_layer("LSTMUnit", bottoms=3, tops=2)
    cells, _ = layer.forward(bottoms, [], make_context(gpu=gpu))
    cells.sum().backward()
    return gates.grad[0, 0, 1].item()


class TestLSTMUnit:
    def test_is_one_step_of_torchs_cell(self):
        before, gates = as_tensor(UNIT[0]), as_tensor(UNIT[1], 1)
        layer = make_layer("LSTMUnit", bottoms=3, tops=2)
        cont = torch.tensor([[1.0, 0.0, 1.0]])
        assert layer.shapes(UNIT) == [UNIT[0]] * 2
        c, h = layer.forward([before, gates, cont], [], make_context())
        cell = torch.nn.LSTMCell(8, 2, bias=False)
        order = [0, 1, 2, 3, 6, 7, 4, 5]  # torch: i, f, g, o
        with torch.no_grad():
            cell.weight_ih.copy_(torch.eye(8)[order])
        begun = before[0] * cont[0, :, None]
        want_h, want_c = cell(gates[0], (torch.zeros(3, 2), begun))
        torch.testing.assert_close(c[0], want_c)
        torch.testing.assert_close(h[0], want_h)

    @pytest.mark.parametrize("cont", [[1, 1, 1], [1, 0, 1]])
    def test_gradient(self, cont):
        check_gradient("LSTMUnit", "", [*UNIT[:2], np.array([cont])], tops=2)

    def test_gradient_of_the_second_top(self):
        layer = make_layer("LSTMUnit", bottoms=3, tops=2)
        cont = torch.ones(1, 3)
        before, gates = (
            as_tensor(shape, i).double().requires_grad_()
            for i, shape in enumerate(UNIT[:2])
        )
        assert torch.autograd.gradcheck(
            lambda *x: layer.forward([*x, cont], [], make_context())[1],
            (before, gates),
        )

    def test_a_continuation_between_0_and_1_has_caffes_gradient(self):
        # f = 0.5 * sigmoid(0): a CPU takes f (1 - f), a GPU 0.5 s (1 - s)
        assert slope_of_the_forget_gate(0.5, gpu=False) == 0.25 * 0.75
        assert slope_of_the_forget_gate(0.5, gpu=True) == 0.5 * 0.25
        assert slope_of_the_forget_gate(1.0, gpu=False) == 0.25
        assert slope_of_the_forget_gate(0.0, gpu=False) == 0

    @pytest.mark.parametrize(
        ("shapes", "match"),
        [
            ([(3, 2), *UNIT[1:]], r"bottom 0 is \(3,2\): expected 3 axes"),
            (
                [(2, 3, 2), *UNIT[1:]],
                r"bottom 0 is \(2,3,2\): expected 3 axes, the first of 1",
            ),
            (
                [UNIT[0], (1, 3, 6), UNIT[2]],
                r"bottom 1 is \(1,3,6\): expected \(1,3,8\)",
            ),
            ([*UNIT[:2], (1, 3, 1)], r"bottom 2 is \(1,3,1\): expected \(1,3\)"),
        ],
    )
    def test_refuses(self, shapes, match):
        with pytest.raises(CheckError, match=match):
            shapes_of("LSTMUnit", "", shapes, tops=2)
