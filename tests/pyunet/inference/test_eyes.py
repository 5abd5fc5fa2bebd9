"""Photographs of the retina at one scale."""

import numpy as np
import pytest

from pyunet.data.preparation import eye_of, local_contrast
from pyunet.errors import DataError
from pyunet.inference.eyes import even_contrast, eye_extent, eye_width


def disc(shape, radius):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(y - shape[0] / 2, x - shape[1] / 2) < radius


def photograph(shape, radius):
    """Give a disc of 60..180 on black, (3, Y, X)."""
    noise = np.random.default_rng(0).integers(60, 180, (3, *shape), np.uint8)
    return noise * disc(shape, radius)


class TestWidth:
    def test_is_the_diameter_even_where_above_and_below_are_cut_off(self):
        whole, cut = disc((300, 320), 100.5), disc((160, 320), 100.5)
        assert eye_width([whole]) == pytest.approx(200, abs=1)
        assert eye_width([cut]) == eye_width([cut.T]) == eye_width([whole])

    def test_of_several_is_their_median(self):
        eyes = [disc((300, 320), radius) for radius in (40, 100.5, 110.5)]
        assert eye_width(eyes) == eye_width(eyes[1:2])

    def test_is_unknown_without_an_edge(self):
        inside = eye_of(np.full((3, 90, 80), 120, np.uint8))
        assert eye_width([inside]) == 0
        assert eye_extent([inside], 40, name="a") == (90, 80)


class TestExtent:
    @pytest.mark.parametrize(("times", "extent"), [(2, (600, 640)), (0.5, (150, 160))])
    def test_makes_the_field_as_wide_as_the_nets(self, times, extent):
        eye = disc((300, 320), 100)
        assert eye_extent([eye], times * eye_width([eye]), name="a") == extent

    def test_stays_where_it_is_nearly_that(self):
        eye = disc((300, 320), 100)
        assert eye_extent([eye], 1.015 * eye_width([eye]), name="a") == (300, 320)

    @pytest.mark.parametrize("width", [20, 2000])
    def test_of_quite_another_field_is_refused(self, width):
        with pytest.raises(DataError, match=rf"a: .* the model's {width}; expected"):
            eye_extent([disc((300, 320), 100)], width, name="a")


class TestContrast:
    def test_at_its_own_size_is_the_local_contrast(self):
        image = photograph((60, 60), 25).astype(np.float32)[:1] / 255
        eye = disc((60, 60), 25)
        wanted = local_contrast(image[0], 5, eye)
        np.testing.assert_array_equal(
            even_contrast(image, (60, 60), 5, eye=eye)[0], wanted
        )

    def test_outside_the_eye_is_flat_at_the_new_size_too(self):
        image = photograph((60, 60), 25).astype(np.float32) / 255
        found = even_contrast(image, (120, 120), 5, eye=disc((60, 60), 25))
        assert found.shape == (3, 120, 120)
        assert np.unique(found[:, ~disc((120, 120), 52)]).tolist() == [0.5]

    def test_without_an_eye_all_counts(self):
        image = photograph((60, 60), 25).astype(np.float32) / 255
        found = even_contrast(image, (60, 60), 5)
        np.testing.assert_array_equal(found[0], local_contrast(image[0], 5))
