"""Each layer of a written module against stored answers of the original Caffe."""

from pathlib import Path

import numpy as np
import pytest
import torch
from google.protobuf import text_format

import caffe
from caffe.export import NoCounterpartError, build_module
from caffe.proto import caffe_pb2
from tests.support.stored import load_arrays

REFERENCE = Path(__file__).parents[2] / "reference" / "layers"
WITHOUT = {
    "accuracy", "batchnorm_train", "contrastive", "euclidean", "filter", "hinge",
    "im2col", "infogain", "lstm", "multinomial", "rnn", "sigmoid_ce", "softmax_loss",
    "spp", "u_apply",
    "u_create", "u_euclidean", "u_f1", "u_iou", "u_softmax",
}  # fmt: skip
CASES = sorted(path.stem for path in REFERENCE.glob("*.npz"))


def stored_net(case: "np.lib.npyio.NpzFile") -> caffe.Net:
    text = text_format.Parse(str(case["prototxt"]), caffe_pb2.NetParameter())
    net = caffe.Net(text, caffe.TEST)
    for index, blob in enumerate(net.params.get("under_test", [])):
        blob.data[...] = case[f"param.{index}"]
    return net


def has_counterpart(name: str) -> bool:
    return not any(name.startswith(word) for word in WITHOUT)


@pytest.mark.reference
@pytest.mark.parametrize("name", [*filter(has_counterpart, CASES)])
def test_the_module_answers_as_the_original_caffe(name):
    case = load_arrays(REFERENCE / f"{name}.npz")
    net = stored_net(case)
    module = build_module(net)
    with torch.no_grad():
        answers = module(*(torch.from_numpy(case[f"in.{n}"]) for n in net.inputs))
    answers = answers if isinstance(answers, tuple) else (answers,)
    for blob, answer in zip(net.outputs, answers, strict=True):
        want = case[f"out.{blob}"]
        assert tuple(answer.shape) == want.shape
        off = np.linalg.norm(answer.numpy() - want) / max(np.linalg.norm(want), 1e-6)
        assert off <= 1e-5


@pytest.mark.parametrize(
    ("name", "kind"),
    [("lstm", "LSTM"), ("spp", "SPP"), ("filter", "Filter"), ("u_iou", "IoU")],
)
def test_a_layer_without_counterpart_is_named(name, kind):
    net = stored_net(load_arrays(REFERENCE / f"{name}.npz"))
    with pytest.raises(NoCounterpartError, match=rf"'under_test' \({kind}\)"):
        build_module(net)
