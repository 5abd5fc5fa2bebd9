"""Options that forks added to layers of BVLC's."""

from __future__ import annotations

import numpy as np
import pytest

import caffe

RNG = np.random.default_rng(0)
INPUT = """layer { name: "in" type: "Input" top: "x"
  input_param { shape { dim: 2 dim: 3 dim: 9 dim: 8 } } }
"""


def net(text, phase=caffe.TEST, **inputs):
    made = caffe.Net(caffe.parse_net(INPUT + text), phase)
    made.blobs["x"].data[...] = np.random.default_rng(1).normal(size=(2, 3, 9, 8))
    for name, values in inputs.items():
        made.blobs[name].data[...] = values
    return made


def convolution(options):
    made = net(
        'layer { name: "c" type: "Convolution" bottom: "x" top: "y" '
        f"convolution_param {{ num_output: 2 kernel_size: 3 {options} }} }}"
    )
    for blob in made.params["c"]:
        blob.data[...] = np.random.default_rng(2).normal(size=blob.data.shape)
    return made.forward()["y"]


@pytest.mark.parametrize(
    ("holes", "dilation"),
    [
        ("hole: 2", "dilation: 2"),
        ("hole_h: 3 hole_w: 2", "dilation: 3 dilation: 2"),
        ("hole_h: 2", "dilation: 2 dilation: 1"),
    ],
)
def test_holes_are_dilation(holes, dilation):
    np.testing.assert_array_equal(convolution(holes), convolution(dilation))


def test_holes_are_given_in_one_way():
    for options in ("hole: 2 dilation: 2", "hole: 2 hole_h: 1"):
        with pytest.raises(caffe.CheckError, match="names of the dilation are given"):
            convolution(options)


def pooling(options):
    made = net(
        'layer { name: "p" type: "Pooling" bottom: "x" top: "y" '
        f"pooling_param {{ kernel_size: 2 stride: 2 {options} }} }}"
    )
    return made.forward()["y"].shape


def test_ceil_mode_says_how_the_number_of_windows_is_rounded():
    assert pooling("ceil_mode: false") == (2, 3, 4, 4)
    assert pooling("ceil_mode: true") == pooling("") == (2, 3, 5, 4)


LOSS = """layer { name: "l" type: "Input" top: "l" input_param { shape {
  dim: 2 dim: 1 dim: 9 dim: 8 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "l" top: "loss"
  loss_param { normalization: %s } }"""


def loss(normalization):
    labels = np.random.default_rng(3).integers(0, 3, (2, 1, 9, 8))
    return float(net(LOSS % normalization, l=labels).forward()["loss"])


def test_a_loss_may_be_divided_by_a_number_of_the_net():
    fixed = loss("PRE_FIXED pre_fixed_normalizer: 8")
    assert fixed == pytest.approx(loss("NONE") / 8)
    # as the fork: by 1 at least
    assert loss("PRE_FIXED pre_fixed_normalizer: 0.5") == pytest.approx(loss("NONE"))


DROP = """layer { name: "d" type: "Dropout" bottom: "x" top: "y"
  dropout_param { dropout_ratio: 0.25 scale_train: false } }"""


def test_dropout_may_scale_in_test_and_not_in_training():
    test, train = net(DROP), net(DROP, caffe.TRAIN)
    x = test.blobs["x"].data
    np.testing.assert_allclose(test.forward()["y"], x * 0.75, rtol=1e-6)
    y = train.forward()["y"]
    assert set(np.unique((y / x).round(5))) == {0, 1}


WITHOUT_EFFECT = """
name: "n" engine: "MKLDNN" default_forward_type: FLOAT16 default_backward_math: FLOAT
global_grad_scale: 1000 reduce_buckets: 3 eltwise_mem_sharing: false
compile_net_state { is_init: false } multinode { model_parallel { layer_from: "c" } }
layer { name: "c" type: "Convolution" bottom: "x" top: "y" forward_type: FLOAT16
  backward_math: FLOAT16 cudnn_math_override: 1 engine: "MKL2017"
  convolution_param { num_output: 2 kernel_size: 3 engine: MKL2017
    conv_algos_override: "1,1,1" conv_algorithm: "auto" } }
layer { name: "r" type: "ReLU" bottom: "y" top: "y" relu_param { engine: MKLDNN } }
layer { name: "p" type: "Pooling" bottom: "y" top: "z"
  pooling_param { kernel_size: 2 engine: MKL2017 } }
layer { name: "d" type: "Dropout" bottom: "z" top: "z"
  dropout_param { engine: CAFFE random_seed: 3 } }
"""


def test_engines_types_and_nodes_change_nothing():
    assert net(WITHOUT_EFFECT).forward()["z"].shape == (2, 2, 6, 5)


def test_nets_with_such_fields_are_printed_with_them():
    read = caffe.parse_net(WITHOUT_EFFECT)
    assert caffe.parse_net(caffe.to_text(read)) == read


def test_caches_and_threads_of_data_layers_are_read():
    text = """layer { name: "d" type: "Data" top: "x"
      data_param { source: "s" backend: LMDB batch_size: 1 threads: 3
        parser_threads: 2 cache: true shuffle: true precache: true } }"""
    with pytest.raises(caffe.CheckError, match="expected a folder with an LMDB"):
        caffe.Net(caffe.parse_net(text), caffe.TRAIN)
