import numpy as np
import pytest

from caffe.errors import CheckError
from tests.support.layers import (
    check_gradient,
    check_layer,
    make_layer,
    run_layer,
    shapes_of,
)


class TestLRN:
    @pytest.mark.parametrize("region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
    def test_keeps_the_shape(self, region):
        text = f"lrn_param {{ local_size: 3 norm_region: {region} }}"
        check_layer("LRN", text, [(2, 4, 5, 6)], tops=[(2, 4, 5, 6)])

    def test_across_channels_by_hand(self):
        text = "lrn_param { local_size: 3 alpha: 3 beta: 1 k: 2 }"
        (top,) = run_layer("LRN", text, [np.array([1, 2, 3]).reshape(1, 3, 1, 1)])
        want = [1 / (2 + 5), 2 / (2 + 14), 3 / (2 + 13)]
        np.testing.assert_allclose(top.flatten(), want, rtol=1e-6)

    def test_within_a_channel_by_hand(self):
        text = (
            "lrn_param { local_size: 3 alpha: 9 beta: 1 k: 7 "
            "norm_region: WITHIN_CHANNEL }"
        )
        (top,) = run_layer("LRN", text, [np.array([1, 2, 3]).reshape(1, 1, 1, 3)])
        want = [1 / (1 + 5), 2 / (1 + 14), 3 / (1 + 13)]
        np.testing.assert_allclose(top.flatten(), want, rtol=1e-6)

    @pytest.mark.parametrize("region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
    def test_gradient(self, region):
        text = f"lrn_param {{ local_size: 3 alpha: 0.7 norm_region: {region} }}"
        check_gradient("LRN", text, [(1, 4, 3, 2)])

    def test_refuses_an_even_size(self):
        with pytest.raises(CheckError, match="local_size is 4: an odd number"):
            make_layer("LRN", "lrn_param { local_size: 4 }")

    def test_refuses_other_than_four_axes(self):
        with pytest.raises(CheckError, match=r"\(2,3,4\) has 3 axes: 4 .* accepted"):
            shapes_of("LRN", "", [(2, 3, 4)])
