"""Whole random nets against blobs and gradients that the original Caffe computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2
from tests.support.stored import load_arrays

FOLDER = Path(__file__).parents[2] / "reference" / "nets"
NAMES = sorted(path.stem for path in FOLDER.glob("*.npz"))
FORWARD, BACKWARD = 1e-5, 1e-4


def test_there_are_stored_answers():
    assert len(NAMES) >= 47


@pytest.mark.reference
@pytest.mark.parametrize("way", ["whole", "one by one"])
@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_the_original_caffe(name, way):
    case = load_arrays(FOLDER / f"{name}.npz")
    net = build(case)
    for feed, forward, backward in (("in1", "f1", "b1"), ("in2", "f3", "b3")):
        inputs = part(case, f"{feed}.")
        if not inputs:
            continue
        for blob, values in inputs.items():
            net.blobs[blob].reshape(*values.shape)
        net.reshape()
        for blob, values in inputs.items():
            net.blobs[blob].data[...] = values
        outputs = net.forward(start=None if way == "whole" else net._layer_names[0])
        if feed == "in1":
            near(outputs, part(case, "want.out1."), FORWARD)
        seen = {blob: net.blobs[blob].data for blob in net.blobs}
        near(seen, part(case, f"want.{forward}.data."), FORWARD)
        check_backward(net, case, f"want.{backward}.")


def build(case: dict[str, Any]) -> caffe.Net:
    """Net of a case, with its parameters."""
    meta = json.loads(str(case["meta"]))
    param = text_format.Parse(str(case["prototxt"]), caffe_pb2.NetParameter())
    param.state.level = meta["level"]
    phase = caffe.TRAIN if meta["phase"] == "TRAIN" else caffe.TEST
    caffe.set_random_seed(1)
    net = caffe.Net(param, phase, stages=meta["stages"])
    for key, values in part(case, "param.").items():
        layer, index = key.rsplit(".", 1)
        net.params[layer][int(index)].data[...] = values
    return net


def check_backward(net: caffe.Net, case: dict[str, Any], prefix: str) -> None:
    wanted = part(case, f"{prefix}diff.")
    if not wanted:
        return
    net.clear_param_diffs()
    net.backward()
    near({blob: net.blobs[blob].diff for blob in wanted}, wanted, BACKWARD)
    params = {
        f"{layer}.{i}": blob.diff
        for layer, blobs in net.params.items()
        for i, blob in enumerate(blobs)
    }
    near(params, part(case, f"{prefix}pdiff."), BACKWARD)


def part(case: dict[str, Any], prefix: str) -> dict[str, np.ndarray]:
    """Arrays whose names begin so, by the rest of their names."""
    return {k.removeprefix(prefix): v for k, v in case.items() if k.startswith(prefix)}


def near(got: dict[str, Any], want: dict[str, np.ndarray], tolerance: float) -> None:
    for name, values in want.items():
        assert got[name].shape == values.shape, name
        finite = np.isfinite(values)
        assert np.array_equal(np.isfinite(got[name]), finite), name
        off = np.linalg.norm((got[name] - values)[finite])
        assert off <= tolerance * max(np.linalg.norm(values[finite]), 1e-6), name
