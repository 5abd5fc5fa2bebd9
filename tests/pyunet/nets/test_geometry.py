"""Valid tile sizes, borders and usable outputs of nets."""

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from caffe.proto import caffe_pb2
from pyunet.errors import DataError
from pyunet.nets.geometry import Axis, find_axes, work_sizes
from pyunet.nets.layers import read_layers
from tests.support.fake_net import FakeNet, layer, unet

REFERENCE = Path(__file__).parents[2] / "reference" / "tiled"


def axes_of(path, axes):
    message = text_format.Parse(path.read_text(), caffe_pb2.NetParameter())
    return find_axes(read_layers(message, axes), "data", "score")


def test_the_mini_unet_of_the_original_has_factor_4_and_border_20():
    # 60 -> 20 pixels is what the original Caffe computed (forward.npz).
    y, x = axes_of(REFERENCE / "unet2d" / "deploy.prototxt", 2)
    assert y == x == Axis(factor=4, smallest=44, shrink=40, before=20, first=0)


def test_the_mini_3d_unet_of_the_original_has_factor_2_and_border_8():
    axes = axes_of(REFERENCE / "unet3d" / "deploy.prototxt", 3)
    assert axes == (Axis(factor=2, smallest=18, shrink=16, before=8, first=0),) * 3


def test_the_unet_of_2015_maps_188_to_4_and_572_to_388():
    net, _ = unet(levels=4, repeat=2, channels=1)
    axis = find_axes(net, "data", "score")[0]
    assert axis == Axis(factor=16, smallest=188, shrink=184, before=92, first=0)
    assert axis.output_of(572) == 388


def test_axes_may_have_different_factors():
    # snemi_v6's first levels: 1x3x3 kernels and 1x2x2 poolings.
    net, _ = unet(levels=2, kernel=(1, 3, 3), pool=(1, 2, 2), axes=3)
    z, y, _ = find_axes(net, "data", "score")
    assert z == Axis(factor=1, smallest=1, shrink=0, before=0, first=0)
    assert y.factor == 4


def test_a_padded_net_loses_what_saw_the_padding():
    # Two 3x3 convolutions with pad 1: outputs 0 and 1 saw zeros, 2 did not.
    net = [
        layer("convolution", ["data"], "a", 3, pad=1),
        layer("convolution", ["a"], "score", 3, pad=1),
    ]
    axis = find_axes(net, "data", "score")[0]
    assert axis == Axis(factor=1, smallest=5, shrink=4, before=2, first=2)


def test_overlapping_up_convolutions_lose_their_border():
    # Kernel 4, stride 2, pad 1: the first and last output lack a contribution.
    net = [
        layer("pooling", ["data"], "a", 2, 2),
        layer("deconvolution", ["a"], "score", 4, 2, 1),
    ]
    axis = find_axes(net, "data", "score")[0]
    assert axis == Axis(factor=2, smallest=4, shrink=2, before=1, first=1)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"kernel": 5},
        {"pool": 3, "levels": 1},
        {"pad": 1},
        {"pad": 1, "up": 4},
        {"up": 4, "levels": 1},
    ],
)
def test_usable_outputs_are_exactly_those_that_saw_no_padding(settings):
    """Change what lies outside the tile: only outputs inside keep their values."""
    net, weights = unet(**settings)
    axis = find_axes(net, "data", "score")[0]
    size = axis.smallest + 4 * axis.factor
    margin = 6 * axis.factor
    large = size + 2 * margin
    image = np.random.default_rng(1).random((1, 1, large, large)).astype(np.float32)
    part = slice(margin, margin + size)
    small = _scores(net, weights, image[:, :, part, part])[0]
    whole = _scores(net, weights, image)[0]
    extent = small.shape[-1]
    start = margin + (size - extent) // 2 - (large - whole.shape[-1]) // 2
    place = slice(start, start + extent)
    same = np.isclose(small, whole[:, place, place], rtol=1e-4, atol=1e-6).all(axis=0)
    usable = slice(axis.first, axis.first + axis.output_of(size))
    assert same[usable, usable].all()
    if axis.first:
        assert not same[axis.first - 1, usable].all()
        assert not same[usable.stop, usable].all()


def _scores(net, weights, image):
    fake = FakeNet(net, "data", "score", image.shape, weights)
    fake.blobs["data"].data[...] = image
    return fake.forward()["score"]


def test_kernels_are_counted_at_outputs_and_for_up_convolutions_at_inputs():
    net = [
        layer("convolution", ["data"], "a", 3),
        layer("pooling", ["a"], "b", 2, 2),
        layer("deconvolution", ["b"], "c", 2, 2),
    ]
    assert work_sizes(net, 0, "data", 12) == {"a": 10, "c": 5}


def test_a_layer_that_mixes_all_positions_is_refused():
    net = [layer("innerproduct", ["data"], "score")]
    with pytest.raises(DataError, match=r"layer 'score' .* mixes all positions"):
        find_axes(net, "data", "score")


def test_an_output_of_lower_resolution_is_refused():
    net = [layer("pooling", ["data"], "score", 2, 2)]
    with pytest.raises(DataError, match="one pixel for 2 pixels of 'data'"):
        find_axes(net, "data", "score")


def test_an_output_that_does_not_come_from_the_input_is_refused():
    net = [layer("relu", ["data"], "a")]
    with pytest.raises(DataError, match="'score' does not depend on blob 'data'"):
        find_axes(net, "data", "score")


def test_a_net_that_no_size_fits_is_refused():
    net = [
        layer("convolution", ["data"], "a", 3),
        layer("crop", ["a", "data"], "score"),
    ]
    with pytest.raises(DataError, match="no input size up to 8192"):
        find_axes(net, "data", "score")
