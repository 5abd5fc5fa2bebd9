"""Reorg, and Upsample of one bottom."""

import cv2
import numpy as np
import pytest
import torch

import caffe
from caffe.engine.layers.shared import text
from caffe.errors import CheckError
from tests.support.layers import as_tensor, check_gradient, run_layer, shapes_of

IMAGE = (1, 8, 4, 6)
HEAD = """input: "x" input_shape { dim: 1 dim: 8 dim: 4 dim: 6 }
"""


def reorg(stride, *, reverse=False):
    return f"reorg_param {{ stride: {stride} reverse: {str(reverse).lower()} }}"


class TestReorg:
    def test_opencv_agrees(self):
        net = HEAD + (
            f'layer {{ name: "y" type: "Reorg" bottom: "x" top: "y" {reorg(2)} }}'
        )
        x = as_tensor(IMAGE)
        reader = cv2.dnn.readNetFromCaffe(np.frombuffer(net.encode(), np.uint8))
        reader.setInput(x.numpy())
        (found,) = run_layer("Reorg", reorg(2), [x])
        np.testing.assert_array_equal(found.numpy(), reader.forward())

    def test_the_way_back_gives_the_bottom_again(self):
        x = torch.arange(2 * 4 * 6 * 4.0).reshape(2, 4, 6, 4)
        (there,) = run_layer("Reorg", reorg(2), [x])
        assert sorted(there.flatten().tolist()) == sorted(x.flatten().tolist())
        assert shapes_of("Reorg", reorg(2, reverse=True), [tuple(there.shape)]) == [
            tuple(x.shape)
        ]

    def test_gradient_is_the_inverse_map(self):
        check_gradient("Reorg", reorg(2), [(1, 4, 2, 4)])
        check_gradient("Reorg", reorg(2, reverse=True), [(1, 4, 2, 2)])

    @pytest.mark.parametrize(
        ("options", "shape", "message"),
        [
            ("", IMAGE, "stride is 0"),
            (reorg(2), (1, 6, 4, 4), "4 channels"),
            (reorg(2), (1, 4, 3, 4), "multiples of stride 2"),
            (reorg(2), (4, 4), "expected 4 axes"),
        ],
    )
    def test_what_does_not_divide_is_refused(self, options, shape, message):
        with pytest.raises(CheckError, match=message):
            shapes_of("Reorg", options, [shape])


class TestUpsample:
    def net(self, options=""):
        return caffe.parse_net(
            HEAD
            + 'layer { name: "y" type: "Upsample" bottom: "x" top: "y"'
            + f" {options} }}"
        )

    def test_pixels_become_blocks(self):
        net = caffe.Net(self.net("upsample_param { scale: 3 }"), caffe.TEST)
        x = net.blobs["x"].data
        x[...] = np.random.default_rng(0).random(x.shape)
        (found,) = net.forward().values()
        np.testing.assert_array_equal(found, x.repeat(3, 2).repeat(3, 3))

    def test_without_a_scale_blocks_are_of_two(self):
        net = caffe.Net(self.net(), caffe.TEST)
        assert text(net.blobs["y"].data.shape) == "(1,8,8,12)"

    def test_a_scale_of_0_is_refused(self):
        with pytest.raises(CheckError, match="scale is 0"):
            caffe.Net(self.net("upsample_param { scale: 0 }"), caffe.TEST)
