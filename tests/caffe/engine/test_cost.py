from pathlib import Path

import pytest

import caffe

MODELS = Path(__file__).parents[3] / "prototxt"
LAYERS = """
layer { name: "x" type: "Input" top: "x" top: "c" top: "s" top: "image"
  input_param { shape { dim: 5 dim: 2 dim: 3 } shape { dim: 5 dim: 2 }
                shape { dim: 2 dim: 4 } shape { dim: 2 dim: 6 dim: 9 dim: 8 } } }
layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "c" bottom: "s" top: "h"
  recurrent_param { num_output: 7 } }
layer { name: "rnn" type: "RNN" bottom: "x" bottom: "c" top: "o"
  recurrent_param { num_output: 6 } }
layer { name: "grouped" type: "Convolution" bottom: "image" top: "g"
  convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad: 1 group: 2 } }
layer { name: "up" type: "Deconvolution" bottom: "g" top: "u"
  convolution_param { num_output: 3 kernel_size: 2 stride: 2 bias_term: false } }
layer { name: "ip" type: "InnerProduct" bottom: "u" top: "ip" param { name: "w" }
  param { name: "b" } inner_product_param { num_output: 11 } }
layer { name: "twin" type: "InnerProduct" bottom: "u" top: "twin" param { name: "w" }
  param { name: "b" } inner_product_param { num_output: 11 } }
layer { name: "scale" type: "Scale" bottom: "g" top: "gs" }
layer { name: "again" type: "Convolution" bottom: "g" bottom: "gs" top: "a" top: "b"
  convolution_param { num_output: 2 kernel_size: 1 } }
"""


@pytest.mark.parametrize(
    ("model", "parameters", "gflops"),
    [
        # parameters of the paper's net and of the release's file; torch's
        # FlopCounterMode gives 300.856848896 for the former written in plain torch
        ("unet_isbi2012", 31_030_658, 300.856848896),
        ("phseg_v5", 31_100_354, 314.588508672),
    ],
)
def test_of_a_unet_at_a_tile_of_572_pixels(model, parameters, gflops):
    net = caffe.Net(str(MODELS / model / "deploy.prototxt"), caffe.TEST)
    cost = caffe.cost(net)
    assert cost.parameters == parameters
    assert cost.gflops == pytest.approx(gflops, rel=1e-12)
    assert cost.activation_bytes == net.activation_bytes()


def test_of_each_kind_of_layer_are_products_with_weights(tmp_path):
    (tmp_path / "net.prototxt").write_text(LAYERS)
    cost = caffe.cost(caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST))
    found = {layer.name: layer for layer in cost.layers}
    # (2, 4, 5, 4) after the strided convolution, (2, 3, 10, 8) after the other
    expected = {
        "lstm": (5 * 3 + 5 * 7 + 4) * 2 * 28,
        "rnn": 5 * 2 * (6 * 3 + 6 * 6 + 6 * 6),
        "grouped": 4 * 3 * 9 * 2 * 5 * 4,
        "up": 4 * 3 * 4 * 2 * 5 * 4,
        "ip": 2 * 240 * 11,
        "twin": 2 * 240 * 11,
        "scale": 0,
        "again": 2 * (4 * 2) * 2 * 5 * 4,
        "x": 0,
    }
    assert {name: found[name].multiply_adds for name in expected} == expected
    assert found["grouped"].parameters == 4 * 3 * 9 + 4
    assert found["ip"].parameters == 240 * 11 + 11
    assert found["twin"].parameters == 0  # the weights are those of ip


def test_of_an_empty_batch_is_nothing(tmp_path):
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "d" type: "Input" top: "d" '
        "input_param { shape { dim: 1 dim: 2 dim: 5 dim: 5 } } }\n"
        'layer { name: "c" type: "Convolution" bottom: "d" top: "c" '
        "convolution_param { num_output: 1 kernel_size: 1 } }"
    )
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    net.blobs["d"].reshape(0, 2, 5, 5)
    net.reshape()
    assert caffe.cost(net).multiply_adds == 0


def test_is_found_without_looking_at_a_value():
    # else each later forward would have to see whether Python changed it
    net = caffe.Net(str(MODELS / "unet_demo" / "deploy.prototxt"), caffe.TEST)
    caffe.cost(net)
    blobs = [blob for group in net.params.values() for blob in group]
    assert not any(blob.data_memory.handed_out for blob in blobs)


def test_at_other_shapes_is_that_of_the_net_reshaped():
    net = caffe.Net(str(MODELS / "unet_demo" / "deploy.prototxt"), caffe.TEST)
    before = {name: blob.shape for name, blob in net.blobs.items()}
    cost = caffe.cost(net, {"data": (2, 1, 60, 76)})
    assert {name: blob.shape for name, blob in net.blobs.items()} == before
    net.blobs["data"].reshape(2, 1, 60, 76)
    net.reshape()
    assert cost == caffe.cost(net)


def test_at_shapes_that_no_layer_takes_names_the_layer():
    net = caffe.Net(str(MODELS / "unet_demo" / "deploy.prototxt"), caffe.TEST)
    with pytest.raises(caffe.CheckError, match=r"layer '.*' \(Convolution\): bottom 0"):
        caffe.cost(net, {"data": (1, 1, 3, 3)})
    with pytest.raises(caffe.CheckError, match="expected inputs of"):
        caffe.cost(net, {"score": (1, 1, 3, 3)})
