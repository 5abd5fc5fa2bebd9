import cv2
import numpy as np
import pytest

import caffe
from caffe.errors import CheckError
from caffe.export import write_caffe
from caffe.proto.files import read_net, read_net_binary
from tests.support.exported import FLAT, assert_same, net_of, scores, small_net

DIALECT = """name: "dialect"
layer { name: "x" type: "Input" top: "x"
  input_param { shape { dim: 1 dim: 2 dim: 12 dim: 14 } } }
layer { name: "v" type: "ValueTransformation" bottom: "x" top: "v"
  value_transformation_param { offset { v: -0.5 v: 1 } scale { v: 2 v: 3 } } }
layer { name: "r" type: "GradientReversal" bottom: "v" top: "r" }
layer { name: "c" type: "Convolution" bottom: "r" top: "c"
  convolution_param { num_output: 3 kernel_size: 3 } }
layer { name: "y" type: "Concat" bottom: "c" bottom: "r" top: "y"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "y" top: "loss"
  include { phase: TRAIN } }"""


def written(net, folder):
    paths = folder / "net.prototxt", folder / "net.caffemodel"
    write_caffe(net, *paths)
    return [str(path) for path in paths]


@pytest.mark.parametrize("name", FLAT)
def test_opencv_gives_the_same_scores_and_labels(tmp_path, name):
    net = small_net(name)
    reader = cv2.dnn.readNetFromCaffe(*written(net, tmp_path))
    reader.setInput(net.blobs["data"].data.copy())
    assert_same(reader.forward(), scores(net))


def test_opencv_reads_what_only_freiburgs_caffe_knows(tmp_path):
    net = net_of(DIALECT)
    reader = cv2.dnn.readNetFromCaffe(*written(net, tmp_path))
    reader.setInput(net.blobs["x"].data.copy())
    np.testing.assert_allclose(reader.forward(), scores(net), atol=1e-4)


def test_the_files_are_a_net_of_bvlcs_layers_in_todays_syntax(tmp_path):
    net = net_of(DIALECT)
    prototxt, caffemodel = written(net, tmp_path)
    text, weights = read_net(prototxt), read_net_binary(caffemodel)
    types = ["Input", "Scale", "Split", "Convolution", "Crop", "Concat"]
    assert [layer.type for layer in text.layer] == types
    assert [layer.type for layer in weights.layer] == types
    assert not any(layer.include or layer.blobs for layer in text.layer)
    again = caffe.Net(prototxt, caffemodel, caffe.TEST)
    again.blobs["x"].data[...] = net.blobs["x"].data
    np.testing.assert_allclose(scores(again), scores(net), atol=1e-5)


def test_one_number_becomes_a_power_layer(tmp_path):
    text = DIALECT.replace("v: -0.5 v: 1", "v: -0.5").replace("v: 2 v: 3", "v: 2")
    net = net_of(text)
    prototxt, caffemodel = written(net, tmp_path)
    assert read_net(prototxt).layer[1].type == "Power"
    again = caffe.Net(prototxt, caffemodel, caffe.TEST)
    again.blobs["x"].data[...] = net.blobs["x"].data
    np.testing.assert_allclose(scores(again), scores(net), atol=1e-5)


def test_a_cut_that_crop_cannot_say_is_named(tmp_path):
    net = net_of(
        """layer { name: "x" type: "Input" top: "a" top: "b" input_param {
             shape { dim: 1 dim: 2 dim: 4 } shape { dim: 1 dim: 4 dim: 4 } } }
           layer { name: "y" type: "Concat" bottom: "a" bottom: "b" top: "y"
             concat_param { axis: 2 } }"""
    )
    with pytest.raises(CheckError, match=r"'y' .*no counterpart in Caffe"):
        written(net, tmp_path)
