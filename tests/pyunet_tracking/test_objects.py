"""The objects of a frame, beside a search of pixels by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pyunet_tracking.objects import find_objects, overlaps, seen_objects


def flood(mask):
    """Components as lists of pixels, by a walk in raster order."""
    left, found = {tuple(p) for p in np.argwhere(mask)}, []
    for pixel in map(tuple, np.argwhere(mask)):
        if pixel not in left:
            continue
        stack, component = [pixel], []
        left.remove(pixel)
        while stack:
            at = stack.pop()
            component.append(at)
            near = [p for p in left if max(abs(np.subtract(p, at))) <= 1]
            left.difference_update(near)
            stack += near
        found.append(component)
    return found


@given(
    arrays(bool, array_shapes(min_dims=2, max_dims=3, max_side=7)), st.integers(0, 4)
)
def test_objects_are_numbered_by_their_first_pixels(mask, area):
    expected = np.zeros(mask.shape, int)
    kept = [c for c in flood(mask) if len(c) > area]
    for number, component in enumerate(kept, 1):
        expected[tuple(np.transpose(component))] = number
    np.testing.assert_array_equal(find_objects(mask, min_area_px=area), expected)


@pytest.mark.parametrize(("area", "count"), [(0, 2), (3, 2), (4, 1), (5, 0)])
def test_an_object_of_exactly_the_smallest_area_is_left_out(area, count):
    frame = np.zeros((6, 9), int)
    frame[0:2, 0:2] = 1
    frame[4, 3:8] = 7
    assert find_objects(frame, min_area_px=area).max() == count


def test_holes_are_filled_when_asked_for():
    ring = np.ones((5, 5), int)
    ring[1:4, 1:4] = 0
    assert (find_objects(ring) == ring).all()
    assert (find_objects(ring, fill_holes=True) == 1).all()


def test_a_hole_that_is_open_at_a_corner_only_is_a_hole():
    frame = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 1], [0, 0, 1, 1]])
    filled = find_objects(frame, fill_holes=True)
    assert filled[1, 1] == 1
    assert filled[1, 3] == 0


def test_a_frame_without_foreground_has_no_object():
    assert not find_objects(np.zeros((4, 5))).any()
    assert seen_objects(find_objects(np.zeros((4, 5))), border_px=1).tolist() == [False]


def test_one_pixel_inside_the_field_of_interest_is_enough():
    frame = np.zeros((10, 10), int)
    frame[0:4, 5] = 1
    frame[0:3, 8] = 2
    objects = find_objects(frame)
    assert seen_objects(objects, border_px=3).tolist() == [False, True, False]
    assert seen_objects(objects, border_px=0).tolist() == [False, True, True]


def test_a_border_that_covers_the_image_leaves_nothing_to_see():
    objects = find_objects(np.ones((10, 30)))
    assert seen_objects(objects, border_px=4).tolist() == [False, True]
    assert seen_objects(objects, border_px=5).tolist() == [False, False]
    assert seen_objects(objects, border_px=50).tolist() == [False, False]


@given(arrays(np.int32, (4, 5), elements=st.integers(0, 3)), st.integers(0, 99))
def test_common_pixels_are_those_that_can_be_counted(before, seed):
    after = np.random.default_rng(seed).integers(0, 4, (4, 5)).astype(np.int32)
    expected = {}
    for pair in zip(before.ravel().tolist(), after.ravel().tolist(), strict=True):
        if min(pair) > 0:
            expected[pair] = expected.get(pair, 0) + 1
    first, second, common = (one.tolist() for one in overlaps(before, after))
    assert list(zip(first, second, common, strict=True)) == [
        (*pair, expected[pair]) for pair in sorted(expected)
    ]
