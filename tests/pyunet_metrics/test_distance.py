import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.distance import cdist

from pyunet.errors import DataError
from pyunet_metrics import distance


def _shapes(seed, shape):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(
        rng.normal(size=(2, *shape)), (0, *[1.0] * len(shape))
    )
    return smooth > 0.05


def _surface(mask, sizes):
    """Pixels with a neighbour outside, one by one."""
    padded = np.pad(mask, 1)
    found = []
    for at in np.argwhere(mask):
        sides = [
            padded[tuple(at + 1 + step * np.eye(mask.ndim, dtype=int)[axis])]
            for axis in range(mask.ndim)
            for step in (-1, 1)
        ]
        if not all(sides):
            found.append(at * sizes)
    return np.array(found)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(
        [((9, 12), (1.0, 1.0)), ((7, 8), (0.5, 2.0)), ((4, 6, 7), (3, 1, 1))]
    ),
)
def test_all_distances_are_those_between_all_pairs_of_surface_pixels(seed, case):
    shape, sizes = case
    truth, prediction = _shapes(seed, shape)
    if not (truth.any() and prediction.any()):
        return
    pairs = cdist(_surface(truth, sizes), _surface(prediction, sizes))
    there, back = pairs.min(axis=1), pairs.min(axis=0)
    found = distance.evaluate(truth, prediction, element_size=sizes)
    assert found == pytest.approx(
        {
            "hausdorff": max(there.max(), back.max()),
            "hausdorff_95": max(np.percentile(there, 95), np.percentile(back, 95)),
            "average_surface_distance": np.concatenate([there, back]).mean(),
        }
    )


def test_of_a_shape_to_itself_are_0():
    shape = _shapes(0, (8, 9))[0]
    assert set(distance.evaluate(shape, shape).values()) == {0}


def test_of_two_empty_shapes_are_0():
    assert set(distance.evaluate([[0, 0]], [[0, 0]]).values()) == {0}


@pytest.mark.parametrize("pair", [([0, 1], [0, 0]), ([0, 0], [0, 1])])
def test_of_one_empty_shape_are_infinite(pair):
    assert set(distance.evaluate(*pair).values()) == {math.inf}


def test_the_surface_is_also_at_the_rim_of_the_array():
    # all 9 pixels of a full square but its centre are surface; the centre alone is
    square, dot = np.ones((3, 3)), np.zeros((3, 3))
    dot[1, 1] = 1
    there, back = distance.surface_distances(square, dot)
    assert len(there) == 8
    assert back.tolist() == [1]
    assert distance.hausdorff(square, dot) == math.sqrt(2)


@pytest.mark.parametrize(
    ("pair", "sizes", "text"),
    [
        (([1, 0], [1, 0, 0]), (), r"\(2,\).*\(3,\).*same shape"),
        ((1, 1), (), "same shape"),
        (([1, 0], [1, 0]), (1, 1), "expected 1 numbers above 0"),
        (([1, 0], [1, 0]), (0,), "expected 1 numbers above 0"),
        (([1, 0], [1, 0]), (math.inf,), "expected 1 numbers above 0"),
    ],
)
def test_refuses_what_cannot_be_measured(pair, sizes, text):
    with pytest.raises(DataError, match=text):
        distance.hausdorff(*pair, element_size=sizes)
