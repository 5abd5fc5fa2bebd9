"""Rates worked out by hand from Caffe's formulas."""

import pytest

from caffe.engine.solvers.policies import LearningRate
from caffe.errors import CheckError
from caffe.proto import caffe_pb2


def rate_of(policy, **numbers):
    param = caffe_pb2.SolverParameter(base_lr=2, lr_policy=policy, **numbers)
    return LearningRate(param)


@pytest.mark.parametrize(
    ("policy", "numbers", "iteration", "wanted"),
    [
        ("fixed", {}, 1000, 2.0),
        ("step", {"gamma": 0.5, "stepsize": 6}, 5, 2.0),
        ("step", {"gamma": 0.5, "stepsize": 6}, 6, 1.0),
        ("step", {"gamma": 0.5, "stepsize": 6}, 18, 0.25),
        ("exp", {"gamma": 0.5}, 3, 0.25),
        ("inv", {"gamma": 1, "power": 2}, 3, 0.125),
        ("poly", {"power": 2, "max_iter": 10}, 5, 0.5),
        ("poly", {"power": 1, "max_iter": 10}, 10, 0.0),
        ("sigmoid", {"gamma": -1, "stepsize": 7}, 7, 1.0),
    ],
)
def test_rate_follows_the_formula(policy, numbers, iteration, wanted):
    assert rate_of(policy, **numbers).at(iteration) == pytest.approx(wanted)


def test_multistep_falls_at_its_step_values_and_says_so(capsys):
    rate = rate_of("multistep", gamma=0.5, stepvalue=[2, 4])
    assert [rate.at(i) for i in range(6)] == [2, 2, 1, 1, 0.5, 0.5]
    assert rate.current_step == 2
    assert "MultiStep Status: Iteration 2, step = 1\n" in capsys.readouterr().err


def test_multistep_goes_on_from_a_restored_step():
    rate = rate_of("multistep", gamma=0.5, stepvalue=[2, 4])
    rate.current_step = 1
    assert rate.at(3) == 1.0


def test_step_leaves_the_step_of_the_last_rate_in_the_state():
    rate = rate_of("step", gamma=0.5, stepsize=6)
    rate.at(13)
    assert rate.current_step == 2


def test_an_unknown_policy_is_refused_with_the_known_ones():
    with pytest.raises(CheckError, match="'cosine'; known policies: fixed, step"):
        rate_of("cosine")


@pytest.mark.parametrize(
    ("policy", "name"), [("step", "stepsize"), ("poly", "max_iter")]
)
def test_a_policy_that_lacks_its_length_is_refused(policy, name):
    with pytest.raises(CheckError, match=f"'{policy}' needs {name} > 0, it is 0"):
        rate_of(policy)
