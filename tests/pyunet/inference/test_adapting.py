"""Images of other pixel sizes and grey values become such as the net has seen."""

import numpy as np
import pytest
from PIL import Image

from pyunet.data.images import ImageStack
from pyunet.data.preparation import Preparation, eye_of
from pyunet.errors import DataError
from pyunet.inference.adapting import adapted_inputs
from pyunet.zoo.manifest import Input
from pyunet_reproduce.readers import find_cases, read_case
from pyunet_reproduce.recipes import Files
from tests.support.recipes import small_recipe
from tests.support.segmenting import restored, whole_arrays


def stack(array, name="a"):
    return ImageStack(array, name, [])


def first(array, wanted, **options):
    return whole_arrays(adapted_inputs(stack(array), wanted, **options))[0]


@pytest.fixture
def grey():
    return np.random.default_rng(0).integers(0, 256, (2, 1, 12, 16), np.uint8)


@pytest.fixture
def said(caplog):
    caplog.set_level("INFO", "pyunet")
    return caplog


class TestGreyValues:
    def test_8_and_16_bits_are_divided_by_their_largest(self, grey):
        wide = grey.astype(np.uint16) * 257
        np.testing.assert_allclose(first(grey, Input()), grey[0] / 255, rtol=1e-6)
        np.testing.assert_allclose(first(wide, Input()), grey[0] / 255, rtol=1e-6)

    def test_floats_of_0_to_1_stay_and_others_share_one_scale(self, grey):
        unit = grey / 255
        np.testing.assert_allclose(first(unit, Input()), unit[0], rtol=1e-6)
        unit[0] *= 0.5
        inputs = adapted_inputs(stack(unit * 300 - 100), Input())
        found = np.stack(whole_arrays(inputs))
        wanted = (unit - unit.min()) / np.ptp(unit)
        np.testing.assert_allclose(found, wanted, atol=1e-6)

    def test_images_like_the_trained_ones_stay(self, grey, said):
        wanted = Input(mean=0.5, deviation=0.3)
        np.testing.assert_allclose(first(grey, wanted), grey[0] / 255, rtol=1e-6)
        assert "like those that the model was trained on" in said.text

    @pytest.mark.parametrize(("gain", "offset"), [(0.1, 10), (0.5, 127), (0.02, 200)])
    def test_others_get_the_mean_and_deviation_of_the_trained_ones(
        self, grey, said, gain, offset
    ):
        dim = np.round(grey * (gain * 257) + offset * 257).astype(np.uint16)
        found = np.stack(
            whole_arrays(adapted_inputs(stack(dim), Input(mean=0.5, deviation=0.15)))
        )
        assert found.mean() == pytest.approx(0.5, abs=0.01)
        assert found.std() == pytest.approx(0.15, abs=0.01)
        assert "brought to the model's 0.5 and 0.15" in said.text

    def test_local_contrast_is_that_of_the_training(self, said):
        rng = np.random.default_rng(1)
        image = rng.integers(40, 200, (1, 3, 60, 60), np.uint8)
        y, x = np.mgrid[:60, :60]
        image[0, :, np.hypot(y - 30, x - 30) > 28] = 0
        wanted = Input(
            take="green", normalisation="local contrast", window_px=6, inside="eye"
        )
        expected = Preparation("green", 6).apply(image[0], eye_of(image[0]))
        np.testing.assert_allclose(first(image, wanted), expected, atol=1e-6)
        assert "contrast made the same within 6 pixels" in said.text

    def test_colours_that_the_net_does_not_take_are_refused(self, grey):
        two = np.repeat(grey, 2, axis=1)
        with pytest.raises(DataError, match=r"a: has 2 channel\(s\), of which 'as st"):
            adapted_inputs(stack(two), Input(take="as stored"))
        with pytest.raises(DataError, match="a: an image of 2 channels has no"):
            first(two, Input(take="green"))
        three = np.repeat(grey, 3, axis=1)
        assert len(first(three, Input(take="rgb", channels=3))) == 3


class TestPixelSize:
    wanted = Input(pixel_size_um=0.5)

    def test_of_the_net_changes_nothing(self, grey, said):
        inputs = adapted_inputs(stack(grey), self.wanted, pixel_size_um=(0.505, 0.5))
        assert inputs.extent == (12, 16)
        assert "a: 0.505 x 0.5 um a pixel, as the model's" in said.text

    def test_twice_as_large_gives_twice_as_many_and_scores_come_back(self, grey, said):
        inputs = adapted_inputs(stack(grey), self.wanted, pixel_size_um=(1.0, 1.0))
        assert inputs.extent == (24, 32)
        assert whole_arrays(inputs)[0].shape == (1, 24, 32)
        assert "12 x 16 pixels become 24 x 32 for the net" in said.text
        ramp = np.tile(np.arange(32, dtype=np.float32), (2, 24, 1))
        back = restored(inputs, ramp)
        assert back.shape == (2, 12, 16)
        # each own pixel covers two of the net's; it gets their mean
        np.testing.assert_allclose(
            back[0, 6, 1:-1], np.arange(0.5, 32, 2)[1:-1], atol=1e-4
        )

    def test_smaller_pixels_are_averaged(self):
        board = (np.indices((16, 16)).sum(axis=0) % 2 * 255).astype(np.uint8)
        found = first(board[None, None], self.wanted, pixel_size_um=(0.125, 0.125))
        np.testing.assert_allclose(found, 0.5, atol=0.01)

    @pytest.mark.parametrize("size", [0.05, 5.0])
    def test_far_from_the_nets_is_refused(self, grey, size):
        with pytest.raises(DataError, match=f"{size:g} x {size:g} um .* up to 8 times"):
            adapted_inputs(stack(grey), self.wanted, pixel_size_um=(size, size))

    def test_is_nothing_where_nobody_says_it(self, grey):
        assert adapted_inputs(stack(grey), self.wanted).extent == (12, 16)
        plain = adapted_inputs(stack(grey), Input(), pixel_size_um=(9, 9))
        assert plain.extent == (12, 16)


class TestVolumes:
    def test_are_one_array(self, grey):
        inputs = adapted_inputs(stack(grey), Input(), dimensions=3)
        assert (inputs.count, inputs.extent) == (1, (2, 12, 16))
        (volume,) = whole_arrays(inputs)
        np.testing.assert_allclose(volume[0], grey[:, 0] / 255, rtol=1e-6)

    def test_are_not_rescaled(self, grey):
        with pytest.raises(DataError, match=r"a \.modeldef\.h5 says its pixel size"):
            adapted_inputs(
                stack(grey), Input(pixel_size_um=1), dimensions=3, pixel_size_um=(2, 2)
            )


class TestEyes:
    wanted = Input(
        take="green", normalisation="local contrast", window_px=6, inside="eye",
        eye_width_px=41,
    )  # fmt: skip

    @staticmethod
    def photograph(radius, size=(100, 110)):
        image = np.random.default_rng(1).integers(60, 200, (1, 3, *size), np.uint8)
        y, x = np.mgrid[: size[0], : size[1]]
        image[..., np.hypot(y - size[0] / 2, x - size[1] / 2) > radius] = 0
        return image

    def test_go_to_the_width_of_the_nets_and_scores_come_back(self, said):
        inputs = adapted_inputs(stack(self.photograph(42)), self.wanted)
        assert inputs.extent == (51, 56)
        assert whole_arrays(inputs)[0].shape == (1, 51, 56)
        assert restored(inputs, np.zeros((2, 51, 56), np.float32)).shape == (
            2,
            100,
            110,
        )
        assert "wide, the model's 41: 100 x 110 pixels become 51 x 56" in said.text

    def test_of_the_nets_width_stay(self, said):
        inputs = adapted_inputs(stack(self.photograph(22)), self.wanted)
        assert inputs.extent == (100, 110)
        assert "pixels wide, as the model's" in said.text

    def test_without_an_edge_stay(self, said):
        inputs = adapted_inputs(stack(self.photograph(200)), self.wanted)
        assert inputs.extent == (100, 110)
        assert "no edge of the field of view is seen" in said.text

    def test_that_take_more_than_is_free_are_refused(self):
        # 8 bytes for each of 1000 x 1100 pixels are 9 MiB
        large = stack(self.photograph(420, (1000, 1100)))
        with pytest.raises(DataError, match=r"a: to find the field .* takes 9M, 8"):
            adapted_inputs(large, self.wanted, free=8 * 10**6)

    def test_are_prepared_as_in_training(self, tmp_path):
        picture = self.photograph(42)
        Image.fromarray(np.moveaxis(picture[0], 0, -1)).save(tmp_path / "a.png")
        recipe = small_recipe(
            files={"all": Files(["a.png"], masks=["eye"])},
            preparation=Preparation("green", local_contrast=6, eye_width=41),
        )
        (case,) = find_cases(recipe, "all", tmp_path)
        example = read_case(recipe, "all", case)
        np.testing.assert_array_equal(first(picture, self.wanted), example.image)
        assert example.classes.shape == (100, 110)


def test_a_flat_image_cannot_be_brought_to_a_deviation():
    stack = ImageStack(np.full((2, 1, 4, 6), 51, np.uint8), "blank", [])
    wanted = Input(mean=0.4, deviation=0.2)
    with pytest.raises(
        DataError, match=r"^blank: the grey value is the same everywher"
    ):
        adapted_inputs(stack, wanted)
