"""Blobs in the middle of a net as outputs of an ONNX model."""

import numpy as np
import onnxruntime
import pytest

import caffe
from caffe.errors import CheckError
from caffe.export import to_onnx

TEXT = """
layer { name: "in" type: "Input" top: "x"
  input_param { shape { dim: 1 dim: 2 dim: 6 dim: 6 } } }
layer { name: "other" type: "Input" top: "unused"
  input_param { shape { dim: 1 dim: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 3 kernel_size: 3
    weight_filler { type: "gaussian" std: 1 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "left" type: "Power" bottom: "conv" top: "left"
  power_param { scale: 2 } }
layer { name: "right" type: "Power" bottom: "conv" top: "right"
  power_param { shift: 1 } }
layer { name: "no_words" type: "ArgMax" bottom: "right" top: "best" }
layer { name: "quiet" type: "Silence" bottom: "left" bottom: "unused" }
"""


@pytest.fixture
def net(tmp_path):
    (tmp_path / "net.prototxt").write_text(TEXT)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    net.blobs["x"].data[...] = np.random.default_rng(0).normal(size=(1, 2, 6, 6))
    net.forward()
    return net


@pytest.mark.parametrize("names", [["conv"], ["left"], ["right", "conv"]])
def test_a_model_gives_the_blobs_that_are_named(net, tmp_path, names):
    to_onnx(net, tmp_path / "net.onnx", outputs=names)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    assert [each.name for each in session.get_inputs()] == ["x"]
    assert [each.name for each in session.get_outputs()] == names
    found = session.run(None, {"x": net.blobs["x"].data})
    for name, values in zip(names, found, strict=True):
        np.testing.assert_allclose(values, net.blobs[name].data, 1e-5, 1e-5)


def test_a_net_that_ends_in_silence_gives_what_is_left(net, tmp_path):
    to_onnx(net, tmp_path / "net.onnx", outputs=None)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    assert [each.name for each in session.get_outputs()] == ["best"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("convs", "no blob 'convs': it has x, unused, conv"), ("x", "'x' is an input")],
)
def test_a_name_that_is_no_output_is_refused(net, tmp_path, name, message):
    with pytest.raises(CheckError, match=message):
        to_onnx(net, tmp_path / "net.onnx", outputs=["conv", name])
    assert not (tmp_path / "net.onnx").exists()
