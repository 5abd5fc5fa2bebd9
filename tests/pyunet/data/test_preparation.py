"""What is done to images before a net sees them."""

import numpy as np
import pytest

from pyunet.data.preparation import Preparation, eye_of, local_contrast
from pyunet.errors import DataError


class TestPreparation:
    def test_green_is_the_second_channel(self):
        image = np.random.default_rng(0).integers(0, 256, (3, 5, 6), np.uint8)
        found = Preparation("green").apply(image)
        np.testing.assert_allclose(found[0], image[1] / 255, rtol=1e-6)

    def test_grey_of_a_grey_picture_in_colours_is_that_grey(self):
        plane = np.arange(30, dtype=np.uint8).reshape(5, 6)
        found = Preparation("grey").apply(np.stack([plane] * 3))
        np.testing.assert_allclose(found[0], plane / 255, rtol=1e-6)

    def test_grey_of_floats_is_a_float(self):
        image = np.zeros((3, 1, 2))
        image[1, 0, 1] = 1
        found = Preparation("grey", window=(0, 1)).apply(image)
        assert found[0, 0].tolist() == pytest.approx([0, 0.587])

    def test_rgb_leaves_out_transparency(self):
        image = np.zeros((4, 2, 2), np.uint8)
        assert Preparation("rgb").apply(image).shape == (3, 2, 2)

    def test_of_16_bits_is_divided_by_its_largest(self):
        image = np.array([[[0, 65535]]], np.uint16)
        assert Preparation().apply(image)[0, 0].tolist() == [0, 1]

    def test_window_is_clipped(self):
        image = np.array([[[-1000, -160, 40, 240, 900]]], np.int16)
        found = Preparation(window=(-160, 240)).apply(image)
        assert found[0, 0].tolist() == [0, 0, 0.5, 1, 1]

    def test_channels_that_are_not_there_are_refused(self):
        with pytest.raises(DataError, match="image of 2 channels"):
            Preparation("green").apply(np.zeros((2, 3, 3), np.uint8))

    @pytest.mark.parametrize(
        "options",
        [
            {"channels": "red"},
            {"local_contrast": -1},
            {"window": (1, 1)},
            {"eye_width": 9},
        ],
    )
    def test_of_wrong_options_is_refused(self, options):
        with pytest.raises(DataError, match="expected"):
            Preparation(**options)


class TestLocalContrast:
    def test_does_not_change_with_brightness_and_gain(self):
        plane = np.random.default_rng(0).random((40, 40)).astype(np.float32)
        once = local_contrast(plane, 5)
        np.testing.assert_allclose(
            local_contrast(0.3 * plane + 0.5, 5), once, atol=1e-4
        )

    def test_gives_mean_one_half_and_deviation_of_a_sixth(self):
        plane = np.random.default_rng(0).random((200, 200)).astype(np.float32)
        found = local_contrast(plane, 10)
        assert found.mean() == pytest.approx(0.5, abs=0.01)
        assert found.std() == pytest.approx(1 / 6, rel=0.02)

    def test_does_not_look_outside_the_field_of_view(self):
        rng = np.random.default_rng(0)
        plane = rng.random((40, 40)).astype(np.float32)
        inside = np.zeros((40, 40), bool)
        inside[:, :25] = True
        other = np.where(inside, plane, 0).astype(np.float32)
        found = local_contrast(plane, 5, inside)
        np.testing.assert_allclose(found, local_contrast(other, 5, inside), atol=1e-5)
        assert (found[~inside] == 0.5).all()


class TestEye:
    def test_is_the_largest_bright_region_with_its_holes(self):
        image = np.zeros((3, 60, 60), np.uint8)
        y, x = np.ogrid[:60, :60]
        disc = (y - 30) ** 2 + (x - 30) ** 2 < 400
        image[0][disc] = 120
        image[0, 30, 30] = 0
        image[0, 2, 2] = 200
        found = eye_of(image)
        assert found[30, 30]
        assert not found[2, 2]
        assert not found[~disc].any()

    def test_of_a_constant_image_is_everything(self):
        assert eye_of(np.full((3, 5, 5), 9, np.uint8)).all()


@pytest.mark.parametrize(
    "values", [[3.0, 3.0], [1.0, np.nan], [1.0, np.inf]], ids=["flat", "nan", "inf"]
)
def test_grey_values_that_have_no_range_are_refused(values):
    with pytest.raises(DataError, match=r"has grey values from .* not all the same"):
        Preparation().apply(np.array([[values]], np.float32))


def test_a_window_gives_a_flat_image_its_scale():
    prepared = Preparation(window=(0.0, 4.0)).apply(np.full((1, 1, 2), 3, np.int16))
    assert prepared.tolist() == [[[0.75, 0.75]]]
