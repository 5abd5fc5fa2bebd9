from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import caffe
from caffe.engine.cost import layer_costs
from pyunet.nets import cost

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
"""


def net_of(path):
    return caffe.Net(str(path), caffe.TEST)


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
    found = cost.evaluate(net_of(MODELS / model / "deploy.prototxt"))
    assert found.parameters == parameters
    assert found.gflops == pytest.approx(gflops, rel=1e-12)


def test_of_each_kind_of_layer_are_products_with_weights(tmp_path):
    (tmp_path / "net.prototxt").write_text(LAYERS)
    net = net_of(tmp_path / "net.prototxt")
    found = {layer.name: layer for layer in cost.evaluate(net).layers}
    # (2, 4, 5, 4) after the strided convolution, (2, 3, 10, 8) after the other
    expected = {
        "lstm": (5 * 3 + 5 * 7 + 4) * 2 * 28,
        "rnn": 5 * 2 * (6 * 3 + 6 * 6 + 6 * 6),
        "grouped": 4 * 3 * 9 * 2 * 5 * 4,
        "up": 4 * 3 * 4 * 2 * 5 * 4,
        "ip": 2 * 240 * 11,
        "twin": 2 * 240 * 11,
        "scale": 0,
        "x": 0,
    }
    assert {name: found[name].multiply_adds for name in expected} == expected
    assert found["grouped"].parameters == 4 * 3 * 9 + 4
    assert found["ip"].parameters == 240 * 11 + 11
    assert found["twin"].parameters == 0  # the weights are those of ip
    ours = [(c.name, c.type, c.parameters, c.multiply_adds) for c in layer_costs(net)]
    theirs = [(c.name, c.kind, c.parameters, c.multiply_adds) for c in found.values()]
    assert ours == theirs


def test_of_an_engine_that_does_not_say_its_memory_are_all_blobs():
    def blob(*shape):
        return SimpleNamespace(shape=shape, data=np.zeros(shape))

    net = SimpleNamespace(
        layer_dict={"data": SimpleNamespace(type="Input")},
        params={},
        blobs={"data": blob(1, 2, 3), "more": blob(4)},
        bottom_names={"data": []},
        top_names={"data": ["data"]},
    )
    assert cost.evaluate(net).activation_bytes == 4 * (6 + 4)


def test_of_an_empty_batch_is_nothing(tmp_path):
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "d" type: "Input" top: "d" '
        "input_param { shape { dim: 1 dim: 2 dim: 5 dim: 5 } } }\n"
        'layer { name: "c" type: "Convolution" bottom: "d" top: "c" '
        "convolution_param { num_output: 1 kernel_size: 1 } }"
    )
    net = net_of(tmp_path / "net.prototxt")
    net.blobs["d"].reshape(0, 2, 5, 5)
    net.reshape()
    assert cost.evaluate(net).multiply_adds == 0
