"""Lstm, and layers that put numbers in another order."""

import pytest
import torch

from caffe.errors import CheckError
from tests.support.layers import (
    as_tensor,
    check_gradient,
    make_context,
    make_layer,
    run_layer,
    shapes_of,
)

ONE = "num_output: 3 weight_filler { type: 'uniform' min: -1 max: 1 }"


def test_reversing_twice_gives_the_bottom():
    x = as_tensor((4, 3, 2))
    (once,) = run_layer("Reverse", "reverse_param { axis: 1 }", [x])
    assert once.equal(x[:, [2, 1, 0]])
    assert run_layer("Reverse", "reverse_param { axis: 1 }", [once])[0].equal(x)


@pytest.mark.parametrize(
    ("kind", "options", "bottoms", "message"),
    [
        ("Reverse", "reverse_param { axis: 2 }", [(2, 3)], "axis is 2"),
        ("Transpose", "transpose_param { dim: 0 dim: 0 }", [(2, 3)], "each of the 2"),
        ("Transpose", "", [(2, 3)], "each of the 2 axes"),
        ("ReverseTime", "", [(4, 2, 1), (3,)], "one for each sequence"),
        ("Lstm", "lstm_param { num_output: 2 batch_size: 2 }", [(5, 3)], "multiple"),
        ("Lstm", "lstm_param { num_output: 2 }", [(5, 3), (4,)], r"expected \(5,1\)"),
        ("Lstm", "", [(5, 3)], "num_output is 0"),
    ],
)
def test_what_does_not_fit_is_refused(kind, options, bottoms, message):
    with pytest.raises(CheckError, match=message):
        shapes_of(kind, options, bottoms)


def test_lengths_beyond_the_steps_are_refused():
    with pytest.raises(CheckError, match="expected 0 to 4"):
        run_layer("ReverseTime", "", [(4, 2), torch.tensor([1.0, 5])])


def test_gradients_of_one_sequence():
    check_gradient("Lstm", f"lstm_param {{ {ONE} }}", [(4, 2)])


def test_the_state_lasts_where_a_sequence_goes_on():
    x = as_tensor((6, 2))
    begin, go_on = torch.tensor([0.0, 1, 1]), torch.ones(3)
    layer = make_layer("Lstm", f"lstm_param {{ {ONE} }}", bottoms=2)
    params = [as_tensor(spec.shape, 5) for spec in layer.parameters([(6, 2)])]
    (whole,) = layer.forward([x, torch.cat([begin, go_on])], params, make_context())
    context = make_context()
    parts = [
        layer.forward([x[:3], begin], params, context)[0],
        layer.forward([x[3:], go_on], params, context)[0],
    ]
    torch.testing.assert_close(torch.cat(parts), whole)


def test_sequences_side_by_side_are_what_each_is_alone():
    layer = make_layer("Lstm", f"lstm_param {{ {ONE} }}")
    x = as_tensor((4, 3, 2))
    params = [as_tensor(spec.shape, 5) for spec in layer.parameters([(4, 3, 2)])]
    assert layer.shapes([(4, 3, 2)]) == [(4, 3, 3)]
    (found,) = layer.forward([x], params, make_context())
    for i in range(3):
        (alone,) = layer.forward([x[:, i]], params, make_context())
        torch.testing.assert_close(found[:, i], alone)
    check_gradient("Lstm", f"lstm_param {{ {ONE} }}", [(2, 2, 2)])
