import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from pyunet.data.reading import (
    read_cubic,
    read_linear,
    read_nearest,
    spline_coefficients,
)

SIZES = [(40, 50), (1, 50), (2, 3), (12, 20, 17), (1, 5, 6)]


def draw(size):
    """An image of two channels, and places far beyond it on all sides."""
    rng = np.random.default_rng(0)
    image = rng.random((2, *size), dtype=np.float32)
    shape = (len(size), 9, 300, 20)[: len(size) + 1]
    places = rng.uniform(-3, 4, shape) * np.reshape(size, (-1, *(1,) * len(size)))
    return image, places.astype(np.float32)


@pytest.mark.parametrize("size", SIZES)
def test_linear_equals_scipy(size):
    image, at = draw(size)
    expected = [map_coordinates(c, at, order=1, mode="mirror") for c in image]
    np.testing.assert_allclose(read_linear(image, at), expected, atol=2e-5)


@pytest.mark.parametrize("size", SIZES)
def test_nearest_equals_scipy(size):
    image, at = draw(size)
    labels = (image[0] * 250).astype(np.uint8)
    expected = map_coordinates(labels, at, order=0, mode="mirror")
    # halfway between two pixels scipy mirrors first, Freiburg's layer rounds first
    clear = (np.abs(at % 1 - 0.5) > 1e-4).all(axis=0)
    np.testing.assert_array_equal(read_nearest(labels, at)[clear], expected[clear])


@pytest.mark.parametrize("size", [(40, 50), (12, 20, 17)])
def test_cubic_equals_scipy(size):
    image, at = draw(size)
    coefficients = spline_coefficients(image, len(size))
    expected = [map_coordinates(c, at, order=3, mode="mirror") for c in image]
    np.testing.assert_allclose(read_cubic(coefficients, at), expected, atol=2e-4)


def test_places_on_pixels_give_the_pixels_to_the_last_bit():
    image, _ = draw((40, 50))
    at = np.mgrid[:40, :50].astype(np.float32)
    np.testing.assert_array_equal(read_linear(image, at), image)
    np.testing.assert_array_equal(read_nearest(image[0], at), image[0])


def test_halves_go_up_as_in_freiburgs_layer():
    at = np.array([[[0, 0, 0]], [[0.5, 1.5, -0.5]]], np.float32)
    row = np.array([[10, 11, 12]], np.int16)
    assert read_nearest(row, at).tolist() == [[11, 12, 10]]


def test_views_that_are_not_contiguous_are_read_as_well():
    image, at = draw((40, 50))
    turned = np.ascontiguousarray(image[:, ::2, ::3])
    at = at / 4
    np.testing.assert_array_equal(
        read_linear(image[:, ::2, ::3], at), read_linear(turned, at)
    )
    np.testing.assert_array_equal(
        read_nearest(image[0, ::2, ::3], at), read_nearest(turned[0], at)
    )
