"""Layers of nets for telephones, beyond the stored answers of the forks."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import caffe
from caffe.errors import CheckError
from caffe.export import write_caffe
from caffe.proto.files import read_net
from tests.support.layers import (
    as_tensor,
    check_gradient,
    check_layer,
    make_layer,
    run_layer,
    shapes_of,
)
from tests.support.numbers import check_in_place, gradient_at, value

IMAGES = (2, 6, 4, 5)
WINDOW = "kernel_size: 3 weight_filler { type: 'gaussian' std: 0.4 }"


def head(shape):
    dims = " ".join(f"dim: {n}" for n in shape)
    options = f"input_param {{ shape {{ {dims} }} }}"
    return f'layer {{ name: "x" type: "Input" top: "x" {options} }}\n'


def net_of(text, shape):
    return caffe.Net(caffe.parse_net(head(shape) + text), caffe.TEST)


class TestConvolutionDepthwise:
    def test_channels_of_the_bottom_count_whatever_the_net_says(self):
        options = f"convolution_param {{ num_output: 7 group: 5 {WINDOW} }}"
        (top,) = shapes_of("ConvolutionDepthwise", options, [IMAGES])
        assert top == (2, 6, 2, 3)

    def test_stride_and_pad_may_be_left_out(self):
        check_layer(
            "ConvolutionDepthwise",
            f"convolution_param {{ {WINDOW} }}",
            [IMAGES],
            tops=[(2, 6, 2, 3)],
            params=[(6, 1, 3, 3), (6,)],
        )

    def test_costs_one_kernel_a_channel(self):
        layer = make_layer("ConvolutionDepthwise", f"convolution_param {{ {WINDOW} }}")
        params = [spec.shape for spec in layer.parameters([IMAGES])]
        assert layer.multiply_adds([IMAGES], [(2, 6, 2, 3)], params) == 2 * 6 * 6 * 9

    def test_other_numbers_of_channels_are_refused_later(self):
        layer = make_layer("ConvolutionDepthwise", f"convolution_param {{ {WINDOW} }}")
        layer.parameters([IMAGES])
        with pytest.raises(CheckError, match="5 channels: the weights are for 6"):
            layer.shapes([(2, 5, 4, 5)])


NET = f"""layer {{ name: "d" type: "ConvolutionDepthwise" bottom: "x" top: "d"
  convolution_param {{ num_output: 6 pad: 1 stride: 1 {WINDOW} }} }}
layer {{ name: "r" type: "ReLU6" bottom: "d" top: "r" }}"""


def test_opencv_agrees(tmp_path):
    shape = (1, 6, 8, 9)
    net = net_of(NET, shape)
    net.blobs["x"].data[...] = 9 * np.random.default_rng(0).normal(size=shape)
    (want,) = net.forward().values()
    assert (want.min(), want.max()) == (0, 6)
    paths = [str(tmp_path / name) for name in ("net.prototxt", "net.caffemodel")]
    net.save(paths[1])
    Path(paths[0]).write_text(head(shape) + NET)
    reader = cv2.dnn.readNetFromCaffe(*paths)
    reader.setInput(net.blobs["x"].data.copy())
    np.testing.assert_allclose(reader.forward(), want, atol=1e-5)


def test_plain_caffe_is_told_in_its_own_words(tmp_path):
    paths = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    write_caffe(net_of(NET, IMAGES), *paths)
    _, convolution, clip = read_net(paths[0]).layer
    assert (convolution.type, clip.type) == ("Convolution", "Clip")
    assert convolution.convolution_param.group == 6


class TestReLU6:
    def test_ends_at_0_and_at_6(self):
        assert value("ReLU6", "", [-1, 0, 3, 6, 7]) == [0, 0, 3, 6, 6]

    def test_the_ends_pass_no_gradient(self):
        found = gradient_at("ReLU6", "", [-1.0, 0.0, 3.0, 6.0, 7.0])
        assert found == [0, 0, 1, 0, 0]

    def test_in_place_gives_the_same(self):
        check_in_place("ReLU6", "", (3, 5), overwrites=True)


class TestShuffleChannel:
    def test_channels_of_all_groups_come_in_turn(self):
        x = np.arange(6).reshape(1, 6, 1)
        found = value("ShuffleChannel", "shuffle_channel_param { group: 2 }", x)
        assert np.ravel(found).tolist() == [0, 3, 1, 4, 2, 5]

    def test_shuffling_by_the_other_factor_is_the_way_back(self):
        x = as_tensor(IMAGES)
        (there,) = run_layer(
            "ShuffleChannel", "shuffle_channel_param { group: 2 }", [x]
        )
        (back,) = run_layer(
            "ShuffleChannel", "shuffle_channel_param { group: 3 }", [there]
        )
        assert back.equal(x)

    @pytest.mark.parametrize("group", [0, 4])
    def test_groups_must_divide_the_channels(self, group):
        options = f"shuffle_channel_param {{ group: {group} }}"
        with pytest.raises(CheckError, match="group"):
            shapes_of("ShuffleChannel", options, [IMAGES])


class TestAxpy:
    def test_gradients(self):
        check_gradient("Axpy", "", [(2, 3), (2, 3, 2, 2), (2, 3, 2, 2)])

    @pytest.mark.parametrize(
        ("bottoms", "message"),
        [
            ([(2, 3, 1, 2), IMAGES, IMAGES], "a number for each channel"),
            ([(2, 6), IMAGES, (2, 6, 4, 4)], "expected equal shapes"),
        ],
    )
    def test_other_shapes_are_refused(self, bottoms, message):
        with pytest.raises(CheckError, match=message):
            shapes_of("Axpy", "", bottoms)


class TestFlip:
    def test_mirrors_columns_unless_told_otherwise(self):
        x = as_tensor(IMAGES).numpy()
        assert value("Flip", "", x) == x[..., ::-1].tolist()
        both = "flip_param { flip_height: true }"
        assert value("Flip", both, x) == x[..., ::-1, ::-1].tolist()

    def test_gradient_is_mirrored(self):
        check_gradient("Flip", "", [(1, 2, 2, 3)])


class TestChannelScale:
    def test_one_number_a_pixel(self):
        x, scale = as_tensor(IMAGES), as_tensor((2, 1, 4, 5), 1)
        (found,) = run_layer("ChannelScale", "", [x, scale])
        assert found.equal(x * scale)

    def test_gradients(self):
        check_gradient("ChannelScale", "", [(2, 3, 2), (2, 1, 2)])
        check_gradient("ChannelScale", "", [(2, 3), (2,)])

    def test_a_bottom_can_be_left_without_gradient(self):
        x, scale = as_tensor((2, 3)).requires_grad_(), as_tensor((2,)).requires_grad_()
        options = "channel_scale_param { do_backward_feature: false }"
        run_layer("ChannelScale", options, [x, scale])[0].sum().backward()
        assert x.grad is None
        assert scale.grad is not None

    def test_a_learnt_scale_and_other_shapes_are_refused(self):
        with pytest.raises(CheckError, match="global_scale"):
            make_layer("ChannelScale", "channel_scale_param { global_scale: true }")
        with pytest.raises(CheckError, match="a number for each pixel"):
            shapes_of("ChannelScale", "", [IMAGES, (2, 4)])
