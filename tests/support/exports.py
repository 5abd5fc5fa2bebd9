"""Stored cases of the original Caffe as nets of one layer, for exporters."""

from __future__ import annotations

from typing import Any

import numpy as np
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2
from tests.support.layers import REFERENCE
from tests.support.stored import load_arrays

# layers that no graph of a net for segmenting holds
WITHOUT_ONNX = {
    "Accuracy", "ApplyDeformation", "ContrastiveLoss", "CreateDeformation",
    "EuclideanLoss", "F1", "HingeLoss", "InfogainLoss", "IoU",
    "MultinomialLogisticLoss", "SigmoidCrossEntropyLoss", "SoftmaxWithLoss",
}  # fmt: skip


def in_phase_test() -> list[str]:
    """Names of the cases of phase TEST."""
    found = []
    for path in sorted(REFERENCE.glob("*.npz")):
        with np.load(path) as case:
            if str(case["phase"]) == "TEST":
                found.append(path.stem)
    return found


def reference_net(name: str) -> tuple[caffe.Net, Any, str]:
    """Net of a case with its weights and inputs, the case, and the type under test."""
    case = load_arrays(REFERENCE / f"{name}.npz")
    param = text_format.Parse(str(case["prototxt"]), caffe_pb2.NetParameter())
    net = caffe.Net(param, caffe.TEST)
    for index, blob in enumerate(net.params.get("under_test", ())):
        blob.data[...] = case[f"param.{index}"]
    for blob in net.inputs:
        net.blobs[blob].data[...] = case[f"in.{blob}"]
    (kind,) = (layer.type for layer in param.layer if layer.name == "under_test")
    return net, case, kind


def assert_near(got: np.ndarray, want: np.ndarray, tolerance: float) -> None:
    """Relative error in the 2-norm, as the tests of the layers measure it."""
    assert got.shape == want.shape
    off = np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-6)
    assert off <= tolerance
