"""MATLAB's imresize: numbers by hand, and Pillow where it follows the same rule."""

import numpy as np
import pytest
from PIL import Image

from pyunet.errors import DataError
from pyunet.inference.resize import resize_by, resize_to, scaled_size


def pillow(image, size):
    resized = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(resized)


@pytest.fixture
def image():
    return np.random.default_rng(0).random((48, 60)).astype(np.float32)


@pytest.mark.parametrize("size", [(96, 120), (100, 61), (48, 60), (49, 200)])
def test_enlarging_is_pillows(image, size):
    np.testing.assert_allclose(resize_to(image, size), pillow(image, size), atol=2e-7)


@pytest.mark.parametrize("size", [(24, 30), (16, 15), (31, 47), (5, 60)])
def test_shrinking_is_pillows_inside_the_image(image, size):
    ours, theirs = resize_to(image, size), pillow(image, size)
    np.testing.assert_allclose(ours[1:-1, 1:-1], theirs[1:-1, 1:-1], atol=2e-7)


def test_at_the_border_the_image_is_mirrored_with_its_edge_pixel():
    # Half size: the triangle reaches 2 pixels about 0.5; shares 1, 3, 3, 1 of 8.
    row = np.array([[1.0, 2.0, 4.0, 8.0]])
    expected = [[(1 * 1 + 3 * 1 + 3 * 2 + 4) / 8, (2 + 3 * 4 + 3 * 8 + 8) / 8]]
    assert resize_by(row, 0.5).tolist() == expected
    assert resize_by(row.T, 0.5).tolist() == np.transpose(expected).tolist()


def test_a_factor_rules_where_the_size_is_rounded_up():
    # 3 pixels by 0.5 are 2: centres at 0.5 and 2.5, not those of 2/3.
    row = np.array([[0.0, 0.0, 8.0]])
    assert scaled_size((1, 3), 0.5) == (1, 2)
    assert resize_by(row, 0.5).tolist() == [[1.0, (0 + 3 * 8 + 3 * 8 + 0) / 8]]


def test_all_planes_are_resized_and_keep_their_type(image):
    planes = np.stack([image, 1 - image])[:, None]
    whole = resize_to(planes, (20, 31))
    assert whole.shape == (2, 1, 20, 31)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(whole[0, 0], resize_to(image, (20, 31)))
    assert resize_by(planes.astype(np.float64), 0.5).dtype == np.float64


def test_a_constant_image_stays_constant():
    np.testing.assert_allclose(resize_by(np.full((7, 9), 3.25), 0.31), 3.25, rtol=1e-15)


def test_the_same_size_changes_nothing(image):
    np.testing.assert_array_equal(resize_by(image, 1), image)


@pytest.mark.parametrize("scale", [0, -1, np.inf, np.nan])
def test_factors_that_are_not_above_0_are_refused(image, scale):
    with pytest.raises(DataError, match="accepted are factors above 0"):
        resize_by(image, scale)
