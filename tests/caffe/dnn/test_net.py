"""The methods of caffe.dnn.Net beside those of cv2.dnn.Net, and its errors."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import caffe
from caffe import dnn
from caffe.errors import CaffeError, CheckError, FileError, PrototxtError
from tests.support import opencv_nets

in_opencv = pytest.mark.skipif(
    not hasattr(cv2.dnn, "readNetFromCaffe"), reason="OpenCV 5 reads no Caffe nets"
)
TEXT = b"""
layer { name: "in" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "r" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "split" type: "Slice" bottom: "conv" top: "left" top: "right" }
layer { name: "s" type: "Sigmoid" bottom: "left" top: "squashed" }
layer { name: "ip" type: "InnerProduct" bottom: "right" top: "ip"
  inner_product_param { num_output: 3 } }
layer { name: "quiet" type: "Silence" bottom: "right" }
"""


@pytest.fixture
def both():
    buffer = np.frombuffer(TEXT, np.uint8)
    return dnn.readNetFromCaffe(TEXT), cv2.dnn.readNetFromCaffe(buffer)


@in_opencv
def test_layers_have_opencvs_names_numbers_and_types(both):
    ours, theirs = both
    assert ours.getLayerNames() == theirs.getLayerNames()
    assert ours.getLayerTypes() == theirs.getLayerTypes()
    assert ours.getUnconnectedOutLayersNames() == theirs.getUnconnectedOutLayersNames()
    ends, expected = (net.getUnconnectedOutLayers() for net in both)
    assert (ends == expected).all()
    assert ends.dtype == expected.dtype
    for name in (*theirs.getLayerNames(), "in", "data", "none", "_input"):
        number = theirs.getLayerId(name)
        assert ours.getLayerId(name) == number
        if number > 0:
            mine, other = ours.getLayer(number), theirs.getLayer(name)
            assert (mine.name, mine.type) == (other.name, other.type)
    for kind in ("ReLU", "Pooling"):
        assert ours.getLayersCount(kind) == theirs.getLayersCount(kind)


@in_opencv
def test_parameters_have_opencvs_shapes(tmp_path):
    files = opencv_nets.googlenet(tmp_path)
    ours, theirs = dnn.readNet(*files), cv2.dnn.readNet(*files)
    for name in ours.getLayerNames():
        mine, other = ours.getLayer(name).blobs, theirs.getLayer(name).blobs
        assert [blob.shape for blob in mine] == [blob.shape for blob in other]
        for i, blob in enumerate(other):
            assert (ours.getParam(name, i) == blob).all()
            assert (ours.getParam(ours.getLayerId(name), i) == blob).all()


@in_opencv
def test_scale_and_mean_of_an_input_are_opencvs(tmp_path):
    files = opencv_nets.several_outputs(tmp_path, [("end", 2)])
    blob = np.random.default_rng(1).integers(0, 256, (2, 3, 16, 16)).astype(np.uint8)
    found = []
    for net in (dnn.readNet(*files), cv2.dnn.readNet(*files)):
        net.setInput(blob, "data", 0.01, (100, 120))
        found.append(net.forward())
    np.testing.assert_allclose(*found, 1e-4, 1e-5)


def test_a_parameter_counts_from_when_it_is_set():
    net = dnn.readNetFromCaffe(TEXT)
    net.setInput(np.ones((1, 3, 4, 4), np.float32))
    net.getLayer("conv").blobs = [np.ones((2, 3, 3, 3)), np.ones(2)]
    assert (net.forward("conv") == 28).all()
    net.getLayer("conv").blobs = [np.ones((2, 3, 3, 3))]
    assert (net.forward("conv") == 27).all()
    net.setParam("conv", 1, [3, 4])
    assert (net.forward("conv")[0, 1] == 31).all()


def test_a_result_stays_as_it_is_when_the_net_runs_again():
    net = dnn.readNetFromCaffe(TEXT)
    net.setParam("conv", 0, np.ones((2, 3, 3, 3)))
    net.setInput(np.ones((1, 3, 4, 4)))
    first = net.forward("conv")
    net.setInput(np.zeros((1, 3, 4, 4)))
    assert (first == 27).all()
    assert not net.forward("conv").any()
    first[...] = 5
    assert not net.forward("conv").any()


def test_operations_are_two_for_each_product_with_a_weight():
    net = dnn.readNetFromCaffe(TEXT)
    conv, inner = 2 * 2 * 2 * 27, 3 * 4
    assert net.getFLOPS([1, 3, 4, 4]) == 2 * (conv + inner)
    assert net.getFLOPS([[2, 3, 4, 4]]) == 4 * (conv + inner)
    assert net.getFLOPS(net.getLayerId("conv"), [1, 3, 4, 4]) == 2 * conv


def test_two_inputs_are_given_by_name():
    net = dnn.readNetFromCaffe(
        b'input: "a" input_shape { dim: 1 dim: 2 } input: "b" input_shape { dim: 1 '
        b'dim: 2 } layer { name: "e" type: "Eltwise" bottom: "a" bottom: "b" top: "e" }'
    )
    net.setInput(np.ones((3, 2)))
    with pytest.raises(CheckError, match="input 'b' was not given"):
        net.forward()
    net.setInput(np.full((3, 2), 5), "b")
    assert net.forward().tolist() == [[6, 6]] * 3


def test_an_empty_net_says_so():
    net = dnn.Net()
    assert net.empty()
    assert net.getLayerNames() == ()
    with pytest.raises(CheckError, match="net is empty"):
        net.forward()
    with pytest.raises(CheckError, match="net is empty"):
        net.setInput(np.zeros(1))


@pytest.mark.parametrize(
    ("do", "message"),
    [
        (lambda net: net.setInput(np.zeros((1, 3, 4, 4)), "image"), "no input 'image'"),
        (lambda net: net.forward("c"), "no layer 'c': it has conv, r"),
        (lambda net: net.getLayer(0), "no layer 0"),
        (lambda net: net.getLayer(99), "no layer 99"),
        (lambda net: net.forward(["conv", "none"]), "no layer 'none'"),
        (lambda net: net.forward(), "input 'data' was not given"),
        (lambda net: net.getParam("r"), "no parameter 0: it has 0"),
        (lambda net: net.setParam("conv", 0, np.zeros(7)), r"\(7,\) is given, exp"),
        (lambda net: net.setParam("conv", 2, np.zeros(2)), "no parameter 2"),
    ],
)
def test_what_is_not_there_is_named(do, message):
    with pytest.raises(CheckError, match=message):
        do(dnn.readNetFromCaffe(TEXT))


def test_more_blobs_than_a_layer_has_are_refused():
    net = dnn.readNetFromCaffe(TEXT)
    with pytest.raises(CheckError, match="has 2 parameters, 3 are given"):
        net.getLayer("conv").blobs = [np.zeros(1)] * 3


@pytest.mark.parametrize("kind", [str, bytes, bytearray, "array"])
def test_files_and_buffers_give_the_same_net(tmp_path, kind):
    files = opencv_nets.ages(tmp_path)
    if kind is str:
        net = dnn.readNetFromCaffe(*files)
    else:
        raw = [Path(file).read_bytes() for file in files]
        make = (lambda b: np.frombuffer(b, np.uint8)) if kind == "array" else kind
        net = dnn.readNetFromCaffe(*map(make, raw))
    expected = caffe.Net(files[0], caffe.TEST, weights=files[1])
    assert (net.getParam("fc8") == expected.params["fc8"][0].data).all()


def test_readnet_takes_files_in_either_order_and_buffers(tmp_path):
    text, weights = opencv_nets.ages(tmp_path)
    raw = [Path(file).read_bytes() for file in (weights, text)]
    nets = [
        dnn.readNet(text, weights),
        dnn.readNet(weights, text),
        dnn.readNet(model=weights, config=text, framework="Caffe"),
        dnn.readNet("caffe", *raw),
    ]
    assert len({net.getParam("fc8").tobytes() for net in nets}) == 1
    assert not dnn.readNet(text).getParam("fc8").any()


@pytest.mark.parametrize(
    ("read", "error", "message"),
    [
        (lambda: dnn.readNetFromCaffe("no.prototxt"), FileError, "no.prototxt"),
        (lambda: dnn.readNetFromCaffe(TEXT, "no.caffemodel"), FileError, "no.caffe"),
        (lambda: dnn.readNetFromCaffe(b"\xff\x00"), PrototxtError, "2 bytes that are"),
        (lambda: dnn.readNetFromCaffe(b"layer {"), PrototxtError, "<text>:1"),
        (lambda: dnn.readNetFromCaffe(TEXT, b"none"), FileError, "is a text file"),
        (lambda: dnn.readNet("a.onnx"), CheckError, "a.onnx: expected one .prototxt"),
        (lambda: dnn.readNet("a.caffemodel"), CheckError, "expected one .prototxt"),
        (lambda: dnn.readNet("a.cfg", "a.weights", "darknet"), CheckError, "darknet"),
        (lambda: dnn.readNet("onnx", b"", b""), CheckError, "only nets of 'caffe'"),
    ],
)
def test_files_of_another_kind_are_refused(read, error, message):
    with pytest.raises(error, match=message):
        read()


def test_reading_and_running_writes_nothing(capfd):
    net = dnn.readNetFromCaffe(TEXT)
    net.setInput(np.ones((2, 3, 4, 4)))
    net.forward()
    assert capfd.readouterr() == ("", "")


def test_a_gpu_that_is_not_there_is_no_error(capfd):
    if caffe.device_count():
        pytest.skip("there is a GPU")
    net = dnn.readNetFromCaffe(TEXT)
    net.setPreferableBackend(dnn.DNN_BACKEND_CUDA)
    net.setPreferableTarget(dnn.DNN_TARGET_CUDA)
    net.setInput(np.ones((1, 3, 4, 4)))
    net.forward()
    assert "no CUDA device: the CPU computes" in capfd.readouterr().err


@pytest.mark.gpu
def test_a_target_moves_one_net_to_the_gpu():
    found = []
    for target in (dnn.DNN_TARGET_CPU, dnn.DNN_TARGET_CUDA):
        net = dnn.readNetFromCaffe(TEXT)
        net.setPreferableTarget(target)
        net.setParam("conv", 0, np.linspace(-1, 1, 54))
        net.setInput(np.ones((1, 3, 4, 4)))
        found.append(net.forward("s"))
        assert not caffe.engine.common.gpu_mode()
    np.testing.assert_allclose(*found, 1e-5)


def test_constants_are_opencvs():
    names = [name for name in dir(dnn) if name.startswith("DNN_")]
    assert len(names) > 15
    for name in names:
        assert getattr(dnn, name) == getattr(cv2.dnn, name, getattr(dnn, name))


def test_unknown_layers_are_named_as_in_caffe_net():
    with pytest.raises(CaffeError, match="unknown layer type 'Nonsense'"):
        dnn.readNetFromCaffe(b'layer { name: "x" type: "Nonsense" top: "y" }')
