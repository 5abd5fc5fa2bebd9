"""Mirrored and rotated versions of images and scores."""

import numpy as np
import pytest

from pyunet_fiji.backend.averaging import passes, version

# tiled_predict.md, section 6
SLICE = np.arange(20).reshape(4, 5)


def test_a_rotation_is_clockwise_as_in_the_original():
    assert version(SLICE, 1, kind="rotate").tolist() == [
        [15, 10, 5, 0],
        [16, 11, 6, 1],
        [17, 12, 7, 2],
        [18, 13, 8, 3],
        [19, 14, 9, 4],
    ]
    np.testing.assert_array_equal(
        version(SLICE, 2, kind="rotate").ravel(), np.arange(20)[::-1]
    )


@pytest.mark.parametrize(
    ("number", "wanted"), [(1, [4, 15]), (2, [15, 4]), (3, [19, 0])]
)
def test_mirrored_versions_follow_the_bits_x_then_y(number, wanted):
    found = version(SLICE, number, kind="mirror")
    assert [found[0, 0], found[-1, -1]] == wanted


def test_slices_of_a_volume_keep_their_order():
    volume = np.arange(24).reshape(1, 2, 3, 4)
    for kind in ("mirror", "rotate"):
        for number in range(4):
            found = version(volume, number, kind=kind)
            np.testing.assert_array_equal(
                np.sort(found[0, 0], axis=None), np.arange(12)
            )


@pytest.mark.parametrize("kind", ["mirror", "rotate", ""])
def test_adding_to_a_version_of_the_scores_adds_at_the_right_pixels(kind):
    image = np.random.default_rng(0).random((2, 3, 5))
    scores = np.zeros_like(image)
    for number in range(passes(kind)):
        version(scores, number, kind=kind)[...] += version(image, number, kind=kind)
    np.testing.assert_allclose(scores / passes(kind), image)


def test_without_averaging_there_is_one_version():
    assert passes("") == 1
    assert passes("mirror") == passes("rotate") == 4
