"""Layers of C3D, beyond the stored answers of the fork."""

import numpy as np
import pytest
import torch

import caffe
from caffe.errors import CheckError
from caffe.export import write_caffe
from caffe.proto.files import read_net
from tests.support.layers import (
    as_tensor,
    check_gradient,
    make_context,
    make_layer,
    run_layer,
    shapes_of,
)

VIDEO = (1, 2, 4, 5, 6)
OLD = """input: "x" input_shape { dim: 1 dim: 2 dim: 4 dim: 6 dim: 6 }
layers { name: "c" type: CONVOLUTION3D bottom: "x" top: "c"
  convolution_param { num_output: 3 kernel_size: 3 kernel_depth: 2 pad: 1
    temporal_pad: 1 weight_filler { type: "gaussian" std: 1 } } }
layers { name: "p" type: POOLING3D bottom: "c" top: "p"
  pooling_param { pool: MAX kernel_size: 2 kernel_depth: 1 stride: 2 } }"""


def filters(more=""):
    return f"""convolution3d_param {{ num_output: 3 kernel_size: 3 kernel_depth: 2
        pad: 1 weight_filler {{ type: "gaussian" std: 1 }} {more} }}"""


def pooling(more):
    return f"pooling3d_param {{ kernel_size: 2 kernel_depth: 2 {more} }}"


def test_groups_of_channels_are_those_of_filter_group():
    layer = make_layer("Convolution3D", filters("filter_group: 1 group: 7"))
    assert layer.parameters([VIDEO])[0].shape == (3, 2, 2, 3, 3)
    with pytest.raises(CheckError, match="group 2"):
        make_layer("Convolution3D", filters("filter_group: 2"))


def test_costs_what_bvlcs_costs():
    layer = make_layer("Convolution3D", filters())
    params = [spec.shape for spec in layer.parameters([VIDEO])]
    tops = layer.shapes([VIDEO])
    assert tops == [(1, 3, 3, 5, 6)]
    assert layer.multiply_adds([VIDEO], tops, params) == 3 * 5 * 6 * 3 * 2 * 2 * 9


def test_gradients():
    check_gradient("Convolution3D", filters(), [(1, 1, 2, 2, 2)])
    check_gradient("Deconvolution3D", filters(), [(1, 1, 2, 2, 2)])


def test_nets_of_c3d_1_0_are_read():
    net = caffe.Net(caffe.parse_net(OLD), caffe.TEST)
    assert net.blobs["c"].data.shape == (1, 3, 5, 6, 6)
    assert net.blobs["p"].data.shape == (1, 3, 5, 3, 3)
    assert net.params["c"][1].data.shape == (1, 1, 1, 1, 3)


def test_plain_caffe_is_told_in_its_own_words(tmp_path):
    text = f"""input: "x" input_shape {{ dim: 1 dim: 2 dim: 4 dim: 5 dim: 6 }}
        layer {{ name: "c" type: "Convolution3D" bottom: "x" top: "c" {filters()} }}"""
    net = caffe.Net(caffe.parse_net(text), caffe.TEST)
    net.params["c"][1].data[...] = np.arange(3)
    net.blobs["x"].data[...] = as_tensor(VIDEO).numpy()
    (want,) = (value.copy() for value in net.forward().values())
    paths = str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel")
    write_caffe(net, *paths)
    assert [layer.type for layer in read_net(paths[0]).layer] == [
        "Input",
        "Convolution",
    ]
    plain = caffe.Net(*paths, caffe.TEST)
    plain.blobs["x"].data[...] = net.blobs["x"].data
    np.testing.assert_array_equal(plain.forward()["c"], want)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("Convolution3D", "convolution3d_param { num_output: 1 }", "kernel_depth is 0"),
        (
            "Convolution3D",
            "convolution3d_param { num_output: 1 kernel_depth: 1 }",
            "kernel_size has 0 values",
        ),
        ("Pooling3D", "pooling3d_param { kernel_size: 2 }", "kernel_depth 0"),
        ("Pooling3D", pooling("pool: STOCHASTIC"), "STOCHASTIC"),
        ("Pooling3D", pooling("pad: 1"), "expected 0 for MAX"),
        ("Pooling3D", pooling("pool: AVE pad: 2"), "less than kernel_size 2"),
    ],
)
def test_what_c3d_can_not_do_is_refused(kind, options, message):
    with pytest.raises(CheckError, match=message):
        make_layer(kind, options)


def test_images_are_refused():
    for kind, options in (("Convolution3D", filters()), ("Pooling3D", pooling(""))):
        with pytest.raises(CheckError, match="expected 5 axes"):
            shapes_of(kind, options, [(1, 2, 5, 5)])


class TestPooling3D:
    def test_equal_maxima_share_the_gradient_whole(self):
        layer = make_layer("Pooling3D", pooling("stride: 2 temporal_stride: 2"))
        x = torch.zeros(1, 1, 2, 2, 2)
        x[0, 0, 0, 0] = 1
        x.requires_grad_()
        layer.forward([x], [], make_context())[0].backward(torch.tensor([[[[[5.0]]]]]))
        assert x.grad.flatten().tolist() == [5, 5, 0, 0, 0, 0, 0, 0]

    def test_sizes_are_rounded_up(self):
        options = pooling("stride: 2 temporal_stride: 3")
        assert shapes_of("Pooling3D", options, [VIDEO]) == [(1, 2, 2, 3, 3)]

    def test_gradients(self):
        check_gradient("Pooling3D", pooling("stride: 2"), [(1, 1, 3, 3, 3)])
        check_gradient("Pooling3D", pooling("pool: AVE pad: 1"), [(1, 1, 3, 3, 3)])

    def test_an_average_counts_the_padding(self):
        (found,) = run_layer(
            "Pooling3D",
            pooling("pool: AVE pad: 1 stride: 2"),
            [torch.ones(1, 1, 2, 3, 3)],
        )
        assert found.flatten()[0] == 0.25
