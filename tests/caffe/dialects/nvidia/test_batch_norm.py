"""NVIDIA's BatchNorm with a scale is BVLC's with a Scale layer behind it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import caffe
from caffe.export.caffemodel import write_caffe
from caffe.export.module import build_module
from caffe.export.onnx import to_onnx
from caffe.proto import caffe_pb2

RNG = np.random.default_rng(0)
INPUT = """layer { name: "in" type: "Input" top: "x"
  input_param { shape { dim: 4 dim: 3 dim: 5 dim: 6 } } }
layer { name: "same" type: "Power" bottom: "x" top: "y" }
"""
OWN = """layer { name: "bn" type: "BatchNorm" bottom: "y" top: "z"
  batch_norm_param { scale_bias: true } }"""
BVLC = """layer { name: "bn" type: "BatchNorm" bottom: "y" top: "n" }
layer { name: "scale" type: "Scale" bottom: "n" top: "z"
  scale_param { bias_term: true } }"""


def net(text, phase=caffe.TEST):
    message = caffe.parse_net(f"{INPUT}{text}")
    message.force_backward = True
    return caffe.Net(message, phase)


def pair(phase):
    """The layer and its two counterparts, with the same numbers."""
    own, bvlc = net(OWN, phase), net(BVLC, phase)
    values = [RNG.normal(size=3), RNG.uniform(1, 2, 3), [2], *RNG.normal(size=(2, 3))]
    blobs = [*bvlc.params["bn"], *bvlc.params["scale"]]
    for mine, other, value in zip(own.params["bn"], blobs, values, strict=True):
        mine.data[...] = other.data[...] = value
    data, gradient = RNG.normal(size=(2, 4, 3, 5, 6))
    for each in (own, bvlc):
        each.blobs["x"].data[...] = data
        each.forward()
        each.blobs["z"].diff[...] = gradient
        each.backward()
    return own, bvlc


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_tops_gradients_and_statistics_are_those_of_both_layers(phase):
    own, bvlc = pair(phase)
    for name in ("x", "z"):
        kind = "data" if name == "z" else "diff"
        found, want = (getattr(each.blobs[name], kind) for each in (own, bvlc))
        np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)
    blobs = [*bvlc.params["bn"], *bvlc.params["scale"]]
    for mine, other in zip(own.params["bn"], blobs, strict=True):
        np.testing.assert_allclose(mine.data, other.data, rtol=1e-5)
        np.testing.assert_allclose(mine.diff, other.diff, rtol=1e-4, atol=1e-4)


def test_a_new_scale_is_1_and_a_new_bias_0():
    layer = net(OWN).params["bn"]
    assert [blob.data.tolist() for blob in layer[3:]] == [[1] * 3, [0] * 3]


def test_a_filler_means_a_scale():
    text = OWN.replace("scale_bias: true", "bias_filler { value: 2 }")
    assert net(text).params["bn"][4].data.tolist() == [2] * 3
    text = OWN.replace("scale_bias: true", "")
    assert len(net(text).params["bn"]) == 3


def test_weights_with_five_blobs_mean_a_scale(tmp_path):
    weights, model = tmp_path / "net.caffemodel", tmp_path / "net.prototxt"
    own = net(OWN)
    own.params["bn"][3].data[...] = 7
    own.save(weights)
    model.write_text(INPUT + OWN.replace("scale_bias: true", ""))
    read = caffe.Net(str(model), caffe.TEST, weights=str(weights))
    assert read.params["bn"][3].data.tolist() == [7] * 3


def test_the_numbers_of_its_fields_are_nvidias():
    fields = caffe_pb2.BatchNormParameter.DESCRIPTOR.fields_by_name
    names = ("scale_filler", "bias_filler", "scale_bias")
    assert [fields[name].number for name in names] == [5, 6, 7]


def test_bvlcs_caffe_gets_it_as_two_layers(tmp_path):
    own, _ = pair(caffe.TEST)
    files = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    write_caffe(own, *files)
    plain = caffe.Net(str(files[0]), caffe.TEST, weights=str(files[1]))
    types = [layer.type for layer in caffe.read_net(files[0]).layer]
    assert types == ["Input", "Power", "BatchNorm", "Scale"]
    plain.blobs["x"].data[...] = own.blobs["x"].data
    (got,) = plain.forward().values()
    np.testing.assert_allclose(got, own.blobs["z"].data, rtol=1e-5, atol=1e-5)


def test_torch_computes_the_same():
    own, _ = pair(caffe.TEST)
    module = build_module(own).eval()
    with torch.no_grad():
        got = module(torch.from_numpy(own.blobs["x"].data.copy()))
    np.testing.assert_allclose(got, own.blobs["z"].data, rtol=1e-4, atol=1e-4)


def test_onnx_runtime_computes_the_same(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    own, _ = pair(caffe.TEST)
    to_onnx(own, tmp_path / "net.onnx")
    model = (tmp_path / "net.onnx").read_bytes()
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"x": own.blobs["x"].data})
    np.testing.assert_allclose(got, own.blobs["z"].data, rtol=1e-4, atol=1e-4)
