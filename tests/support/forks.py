"""Stored answers of Caffe's forks: single layers, and data layers with their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import caffe
from tests.support.stored import load_arrays

REFERENCE = Path(__file__).parents[1] / "reference" / "forks"
FORWARD, BACKWARD = 1e-5, 1e-4


def check_layer_case(path: Path) -> None:
    """Compare tops, gradients and parameters of a layer with those that a fork had.

    The net is run as often as the fork ran it.
    """
    case = load_arrays(path)
    meta = json.loads(str(case["meta"]))
    net = _net(str(case["prototxt"]), str(case["phase"]))
    params = list(net.params["under_test"]) if "under_test" in net.params else []
    given = _part(case, "param.")
    assert len(params) == len(given), "number of parameters"
    for i, value in given.items():
        assert params[int(i)].data.size == value.size, f"size of parameter {i}"
        params[int(i)].data[...] = value.reshape(params[int(i)].data.shape)
    for blob, value in _part(case, "in.").items():
        net.blobs[blob].data[...] = value
    last = meta["forwards"]
    for n in range(1, last + 1):
        net.forward()
        tops = _part(case, "out." if n == last else f"out_of_forward_{n}.")
        for top, value in tops.items():
            _assert_near(net.blobs[top].data, value, FORWARD, f"forward {n}, {top}")
    if meta["backward"]:
        _check_gradients(net, params, case)
    for i, value in _part(case, "param_after.").items():
        after = params[int(i)].data.reshape(value.shape)
        _assert_near(after, value, FORWARD, f"parameter {i} after")


def case_net(path: Path) -> tuple[Any, dict[str, Any]]:
    """Net of a stored case, with its weights and inputs, and the case."""
    case = load_arrays(path)
    net = _net(str(case["prototxt"]), str(case["phase"]))
    for i, value in _part(case, "param.").items():
        blob = net.params["under_test"][int(i)]
        blob.data[...] = value.reshape(blob.data.shape)
    for name, value in _part(case, "in.").items():
        net.blobs[name].data[...] = value
    return net, case


def check_data_case(folder: Path) -> None:
    """Compare the batches of a data layer; run in the folder with its files."""
    case = load_arrays(folder / "out.npz")
    meta = json.loads(str(case["meta"]))
    net = _net((folder / "net.prototxt").read_text(), meta["phase"])
    for n in range(1, meta["forwards"] + 1):
        net.forward()
        for top, value in _part(case, f"forward_{n}.").items():
            _assert_near(net.blobs[top].data, value, FORWARD, f"forward {n}, {top}")


def _net(text: str, phase: str) -> Any:
    return caffe.Net(caffe.parse_net(text), getattr(caffe, phase))


def _part(case: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Arrays whose names begin with a prefix, by the rest of their names."""
    return {
        name.removeprefix(prefix): value
        for name, value in case.items()
        if name.startswith(prefix)
    }


def _check_gradients(net: Any, params: list[Any], case: dict[str, Any]) -> None:
    for top, value in _part(case, "top_diff.").items():
        net.blobs[top].diff[...] = value
    for param in params:
        param.diff[...] = 0
    net.backward()
    for blob, value in _part(case, "in_diff.").items():
        _assert_near(net.blobs[blob].diff, value, BACKWARD, f"gradient of {blob}")
    for i, value in _part(case, "param_diff.").items():
        got = params[int(i)].diff.reshape(value.shape)
        _assert_near(got, value, BACKWARD, f"gradient of parameter {i}")


def _assert_near(got: Any, want: Any, tolerance: float, what: str) -> None:
    """Compare in the 2-norm; what is not finite has to be so in both."""
    assert got.shape == want.shape, f"{what}: {got.shape}, the fork has {want.shape}"
    finite = np.isfinite(want)
    assert np.array_equal(np.isfinite(got), finite), f"{what}: inf or nan"
    got, want = np.float64(got[finite]), np.float64(want[finite])
    off = np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-6)
    assert off <= tolerance, f"{what} is off by {off:.1e}"
