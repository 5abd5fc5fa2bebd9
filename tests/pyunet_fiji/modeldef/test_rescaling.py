"""Expected values: loops as the specification words them, scipy, hand calculation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from pyunet.errors import DataError
from pyunet_fiji.modeldef.rescaling import rescale_image, rescale_labels, rescaled_shape

lengths = st.tuples(*[st.integers(3, 9)] * 3)
sizes = st.tuples(*[st.sampled_from([0.2, 0.35, 0.5, 0.6, 1.0, 1.7])] * 3)
WANTED = (0.8, 0.5, 0.5)


def read_by_loops(labels, own, wanted):
    """Math.round of i / s on each axis, mirrored where it is the length or more."""
    indices = []
    for length, own_um, wanted_um in zip(labels.shape, own, wanted, strict=True):
        scale = own_um / wanted_um
        along = []
        for i in range(math.floor(length * scale + 0.5)):
            index = math.floor(i / scale + 0.5)
            along.append(2 * (length - 1) - index if index >= length else index)
        indices.append(along)
    return labels[np.ix_(*indices)]


class TestRescaledShape:
    @pytest.mark.parametrize(
        ("shape", "own", "wanted", "new"),
        [
            ((10, 10), (0.5, 0.5), (0.5, 0.5), (10, 10)),
            ((5, 7), (0.25, 0.25), (0.5, 0.5), (3, 4)),  # 2.5 and 3.5 go up
            ((540, 600), (0.6, 0.3), (0.5, 0.5), (648, 360)),
            ((20, 100, 100), (2.0, 0.5, 0.5), (1.0, 0.5, 0.5), (40, 100, 100)),
        ],
    )
    def test_is_rounded_half_up(self, shape, own, wanted, new):
        assert rescaled_shape(shape, own, wanted) == new

    def test_leaves_out_z_for_a_net_of_two_axes(self):
        assert rescaled_shape((4, 4), (9.0, 1.0, 1.0), (0.5, 0.5)) == (8, 8)

    def test_of_an_axis_without_a_pixel_left_is_an_error(self):
        with pytest.raises(DataError, match=r"2x100 pixels has none left on an axis"):
            rescaled_shape((2, 100), (0.1, 0.1), (0.5, 0.5))

    @pytest.mark.parametrize("own", [(0.0, 1.0), (-1.0, 1.0), (math.nan, 1.0)])
    def test_of_an_impossible_pixel_size_is_an_error(self, own):
        with pytest.raises(DataError, match="accepted are numbers above 0"):
            rescaled_shape((4, 4), own, (1.0, 1.0))

    def test_of_too_few_axes_is_an_error(self):
        with pytest.raises(DataError, match=r"of 2 axes .* the net wants 3"):
            rescaled_shape((4, 4, 4), (1.0, 1.0), (1.0, 1.0, 1.0))


class TestRescaleImage:
    @settings(max_examples=60, deadline=None)
    @given(lengths, sizes, st.integers(0, 2**32 - 1))
    def test_is_linear_and_mirrored_at_the_far_border(self, shape, own, seed):
        image = np.random.default_rng(seed).normal(size=shape)
        scales = [a / b for a, b in zip(own, WANTED, strict=True)]
        places = np.meshgrid(
            *(
                np.arange(math.floor(n * scale + 0.5)) / scale
                for n, scale in zip(shape, scales, strict=True)
            ),
            indexing="ij",
        )
        expected = map_coordinates(image, places, order=1, mode="mirror")
        np.testing.assert_allclose(
            rescale_image(image, own, WANTED), expected, atol=2e-6
        )

    def test_puts_the_first_pixel_on_the_first_pixel(self):
        # twice as fine: 0, 1/2, 1, 3/2 and beyond the last pixel back to the one before
        image = np.array([[10, 20, 40]])
        finer = rescale_image(image, (0.5, 0.5), (0.5, 0.25))
        assert finer.tolist() == [[10, 15, 20, 30, 40, 30]]
        assert finer.dtype == np.float32

    def test_halves_by_leaving_out_every_second_pixel(self):
        image = np.arange(36.0).reshape(6, 6)
        halved = rescale_image(image, (0.25, 0.25), (0.5, 0.5))
        np.testing.assert_array_equal(halved, image[::2, ::2])

    def test_of_the_same_pixel_size_changes_no_bit(self):
        image = np.random.default_rng(0).random((2, 3, 5, 7), np.float32)
        same = rescale_image(image, (0.5, 0.5), (0.5, 0.5))
        np.testing.assert_array_equal(same, image)

    def test_leaves_the_axes_before_alone(self):
        images = np.random.default_rng(0).random((2, 3, 5, 7))
        whole = rescale_image(images, (0.3, 0.3), (0.5, 0.5))
        one = rescale_image(images[1, 2], (0.3, 0.3), (0.5, 0.5))
        np.testing.assert_array_equal(whole[1, 2], one)

    def test_of_an_axis_with_one_pixel_repeats_it(self):
        assert rescale_image(np.array([[7]]), (1, 1), (1, 0.5)).tolist() == [[7, 7]]


class TestRescaleLabels:
    @settings(max_examples=60, deadline=None)
    @given(lengths, sizes)
    def test_take_the_nearest_pixel(self, shape, own):
        labels = np.arange(math.prod(shape), dtype=np.uint16).reshape(shape)
        found = rescale_labels(labels, own, WANTED)
        np.testing.assert_array_equal(found, read_by_loops(labels, own, WANTED))
        assert found.dtype == np.uint16

    def test_go_to_the_later_pixel_from_the_middle_of_two(self):
        # 2.5 goes to 3, which is mirrored to 1
        found = rescale_labels(np.array([[5, 6, 7]]), (1, 1), (1, 0.5))
        assert found.tolist() == [[5, 6, 6, 7, 7, 6]]

    def test_of_an_axis_with_one_pixel_repeat_it(self):
        assert rescale_labels(np.array([[3]]), (1, 1), (1, 0.5)).tolist() == [[3, 3]]
