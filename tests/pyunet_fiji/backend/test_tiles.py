"""Reading and writing tiles, beside numpy's own padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyunet_fiji.backend.tiles import add_tile, read_tile


def read(image, start, shape, padding="mirror"):
    target = np.full((image.shape[0], *shape), np.nan, np.float32)
    read_tile(image, start, target, padding=padding)
    return target


# tiled_predict.md, section 8
@pytest.mark.parametrize(
    ("start", "padding", "wanted"),
    [
        (1, "mirror", [1, 2, 3, 4, 5]),
        (4, "mirror", [4, 5, 6, 5, 4]),
        (4, "zero", [4, 5, 6, 0, 0]),
        (-3, "mirror", [3, 2, 1, 0, 1]),
        (-3, "zero", [0, 0, 0, 0, 1]),
        (5, "mirror", [5, 6, 5, 4, 3]),
        (5, "zero", [5, 6, 0, 0, 0]),
        (9, "zero", [0, 0, 0, 0, 0]),
    ],
)
def test_a_tile_is_read_as_by_the_original(start, padding, wanted):
    image = np.arange(7, dtype=np.float32)[None]
    assert read(image, (start,), (5,), padding)[0].tolist() == wanted


@given(
    length=st.integers(1, 9),
    reach=st.integers(0, 40),
    padding=st.sampled_from(["mirror", "zero"]),
)
def test_a_tile_around_an_image_is_what_numpy_pads(length, reach, padding):
    image = np.random.default_rng(length).random((2, length, 3, length + 1), "f4")
    mode = {"mirror": "reflect", "zero": "constant"}[padding]
    wanted = np.pad(image, [(0, 0), *[(reach, reach)] * 3], mode=mode)
    np.testing.assert_array_equal(
        read(image, (-reach,) * 3, wanted.shape[1:], padding), wanted
    )


def test_any_type_of_image_is_read_through_views():
    image = np.rot90(np.arange(12, dtype=np.uint8).reshape(1, 3, 4), axes=(1, 2))
    np.testing.assert_array_equal(
        read(image, (1, -1), (2, 5)),
        np.pad(image[:, 1:3], [(0, 0), (0, 0), (1, 1)], mode="reflect"),
    )


def test_what_of_a_tile_is_beyond_the_image_is_dropped():
    scores = np.ones((2, 5, 4), np.float32)
    add_tile(scores, (3, 2), np.full((2, 4, 4), 10, np.float32))
    wanted = np.ones((2, 5, 4))
    wanted[:, 3:, 2:] = 11
    np.testing.assert_array_equal(scores, wanted)
