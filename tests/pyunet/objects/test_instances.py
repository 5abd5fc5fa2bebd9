"""Objects are told apart as a person would."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from pyunet.errors import DataError
from pyunet.objects.instances import find_instances

LABELS = arrays.arrays(
    np.uint8, arrays.array_shapes(min_dims=2, max_dims=3, max_side=9),
    elements=st.integers(0, 2),
)  # fmt: skip


def disks(shape, *circles):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.any([(y - a) ** 2 + (x - b) ** 2 <= r * r for a, b, r in circles], axis=0)


def test_corners_do_not_join():
    found = find_instances(np.array([[1, 0], [0, 1]]))
    assert found.tolist() == [[1, 0], [0, 2]]


def test_two_classes_are_never_one_object():
    assert find_instances(np.array([[1, 2, 2, 1]])).tolist() == [[1, 2, 2, 3]]


def test_only_the_classes_that_are_wanted_count():
    labels = np.array([[0, 1, 2]])
    assert find_instances(labels, classes=[0, 2]).tolist() == [[1, 0, 2]]


def test_small_objects_are_left_out_and_the_others_numbered_anew():
    labels = np.array([[1, 0, 1, 1, 0, 1]])
    assert find_instances(labels, min_size_px=2).tolist() == [[0, 0, 1, 1, 0, 0]]


def test_disks_that_touch_are_parted_by_watershed_only():
    mask = disks((40, 60), (20, 18, 11), (20, 38, 11))
    assert find_instances(mask).max() == 1
    found = find_instances(mask, how="watershed")
    assert found.max() == 2
    assert found[20, 18] != found[20, 38]
    areas = np.bincount(found.ravel())[1:]
    assert abs(areas[0] - areas[1]) <= 0.1 * areas[0]


def test_one_round_object_is_not_parted():
    mask = disks((50, 50), (25, 25, 17))
    mask[10, 24:27] = True
    assert find_instances(mask, how="watershed").max() == 1


def test_volumes_are_parted_too():
    z, y, x = np.mgrid[:20, :20, :34]
    balls = [(z - 10) ** 2 + (y - 10) ** 2 + (x - c) ** 2 <= 64 for c in (9, 24)]
    assert find_instances(balls[0] | balls[1], how="watershed").max() == 2


@given(LABELS)
def test_components_are_those_of_scipy_class_by_class(labels):
    found = find_instances(labels)
    count = sum(ndimage.label(labels == value)[1] for value in (1, 2))
    assert found.max() == count
    np.testing.assert_array_equal(found > 0, labels > 0)


@given(LABELS)
def test_watershed_keeps_all_pixels_and_only_parts(labels):
    whole = find_instances(labels)
    parts = find_instances(labels, how="watershed")
    np.testing.assert_array_equal(parts > 0, labels > 0)
    inside = parts > 0
    pairs = np.unique(np.stack([parts[inside], whole[inside]]), axis=1)
    assert len(np.unique(pairs[0])) == pairs.shape[1]


@given(LABELS)
def test_numbers_follow_the_first_pixels(labels):
    values, first = np.unique(find_instances(labels), return_index=True)
    objects = values > 0
    assert values[objects].tolist() == list(range(1, objects.sum() + 1))
    assert (np.diff(first[objects]) > 0).all()


def test_another_way_is_refused():
    with pytest.raises(DataError, match="expected components or watershed"):
        find_instances(np.zeros((2, 2)), how="magic")
