"""Whatever the fields of a solver hold, it trains or it is refused in one line."""

from __future__ import annotations

import re

import pytest
from google.protobuf import text_format

import caffe
from caffe import glog
from caffe.errors import CaffeError, CheckError
from caffe.proto import caffe_pb2
from tests.support.odd_fields import memory_limit, spoiled

NET = """
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 }
  data_filler { type: "constant" value: 0.5 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
METHODS = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")
POLICIES = ("fixed", "step", "exp", "inv", "multistep", "poly", "sigmoid")
# these many passes are what is asked for, and would be made
TAKES_LONG = re.compile(r"(iter_size|test_iter)=\[?(?!0|1\b|-)")


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    glog.mute(4)
    yield
    glog.mute(0)


def settings(method: str, policy: str = "fixed") -> caffe_pb2.SolverParameter:
    given = caffe_pb2.SolverParameter(
        base_lr=0.1, lr_policy=policy, type=method, snapshot_prefix="s", max_iter=4,
        gamma=0.5, power=2, stepsize=2, stepvalue=[1, 2],
    )  # fmt: skip
    text_format.Parse(NET, given.net_param)
    if method in ("SGD", "Nesterov", "AdaDelta", "Adam"):
        given.momentum = 0.9
    return given


def train(given: caffe_pb2.SolverParameter) -> None:
    caffe.get_solver(given).step(3)


def refusal(given, change, accepted: type[Exception]) -> list[str]:
    """Text of the error, if there is one, which is of the accepted kind."""
    try:
        train(given)
    except accepted as error:
        return [str(error)]
    except Exception as error:
        raise AssertionError(f"{change}: {type(error).__name__}: {error}") from error
    return []


@pytest.mark.parametrize("method", METHODS)
def test_an_odd_setting_trains_or_is_refused(method):
    count, found = 0, []
    with memory_limit():
        for change, given in spoiled(settings(method), deep=False):
            if TAKES_LONG.match(change):
                continue
            count += 1
            found += refusal(given, change, CaffeError)
    assert count > 150
    assert not [line for line in found if "\n" in line]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("field", ["gamma", "power", "stepsize", "max_iter"])
def test_an_odd_learning_rate_policy_trains_or_is_refused(policy, field):
    for change, given in spoiled(settings("SGD", policy), deep=False):
        if change.startswith(f"{field}="):
            assert all(field in line for line in refusal(given, change, CheckError))


def test_a_rate_that_is_almost_none_at_first_is_no_error():
    # 1 / (1 + exp(1000)): C++ divides by infinity
    given = settings("SGD", "sigmoid")
    given.gamma, given.stepsize = 1, 1000
    train(given)


@pytest.mark.parametrize(
    ("field", "value"), [("momentum", -1), ("momentum", 1), ("momentum2", 1)]
)
def test_adam_needs_momenta_that_its_correction_can_divide_by(field, value):
    given = settings("Adam")
    setattr(given, field, value)
    match = f"Adam's {field} is {value}: expected 0 or more, below 1"
    with pytest.raises(CheckError, match=match):
        caffe.get_solver(given)
