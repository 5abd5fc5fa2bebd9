from collections import deque
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pyunet.errors import DataError
from pyunet_metrics.thinning import border_thinning
from tests.support.stored import load_arrays

REFERENCE = Path(__file__).parents[1] / "reference" / "metrics"
CASES = ["merge128", "mergesplit96_float", "plateau_blobs", "rand_binary40", "rings",
         "seeds_points", "thick96_binary"]  # fmt: skip


def _one_to_one(first, second):
    pairs = np.unique(np.stack([first.ravel(), second.ravel()]), axis=1)
    return all(len(np.unique(row)) == pairs.shape[1] for row in pairs)


def _around(y, x, shape):
    for row, column in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
        if 0 <= row < shape[0] and 0 <= column < shape[1]:
            yield row, column


def _queue(labels):
    """Flood pixel by pixel, as the specification words it; -1 is membrane."""
    state = labels.copy()
    height, width = labels.shape
    queue = deque(
        (y, x)
        for x in range(width)
        for y in range(height)
        if labels[y, x] < 0 and any(labels[n] > 0 for n in _around(y, x, labels.shape))
    )
    seen = set(queue)
    while queue:
        pixel = queue.popleft()
        around = list(_around(*pixel, labels.shape))
        segments = {int(state[n]) for n in around} - {-1, 0}
        state[pixel] = segments.pop() if len(segments) == 1 else 0
        for n in around:
            if labels[n] < 0 and n not in seen:
                seen.add(n)
                queue.append(n)
    return state


class TestBorderThinning:
    @pytest.mark.parametrize("name", CASES)
    def test_gives_the_segments_of_the_official_program(self, name):
        proposal = load_arrays(REFERENCE / f"{name}.npz")["proposal"].astype(np.float32)
        found = border_thinning(proposal.astype(float) > 0.5)
        expected = load_arrays(REFERENCE / "_thinned_at_0.5.npz")[name]
        np.testing.assert_array_equal(found == 0, expected == 0)
        assert _one_to_one(found, expected)

    @settings(max_examples=100, deadline=None)
    @given(
        st.sampled_from([0.03, 0.1, 0.3, 0.6, 0.9]),
        array_shapes(min_dims=2, max_dims=2, max_side=24),
        st.integers(0, 2**32 - 1),
    )
    def test_equals_a_queue_that_floods_pixel_by_pixel(self, share, shape, seed):
        mask = np.random.default_rng(seed).random(shape) < share
        found = border_thinning(mask)
        if mask.any():
            basins = np.where(mask, found, -1)
            np.testing.assert_array_equal(found, _queue(basins))

    @settings(max_examples=50, deadline=None)
    @given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12)))
    def test_never_changes_what_was_inside(self, mask):
        assert (border_thinning(mask)[mask] > 0).all()

    def test_gives_a_tie_to_the_seed_further_left_then_higher(self):
        np.testing.assert_array_equal(border_thinning([[1, 0, 0, 1]]), [[1, 1, 0, 2]])
        np.testing.assert_array_equal(
            border_thinning([[1], [0], [0], [1]]), [[1], [1], [0], [2]]
        )

    def test_leaves_one_line_pixel_halfway_between_two_segments(self):
        np.testing.assert_array_equal(
            border_thinning([[1, 0, 0, 0, 1]]), [[1, 1, 0, 2, 2]]
        )

    def test_numbers_the_segments_column_by_column(self):
        np.testing.assert_array_equal(
            border_thinning([[0, 0, 1], [1, 0, 0]])[[1, 0], [0, 2]], [1, 2]
        )

    def test_makes_one_segment_of_a_mask_with_nothing_inside(self):
        assert (border_thinning(np.zeros((3, 4))) == 1).all()

    def test_refuses_a_stack(self):
        with pytest.raises(DataError, match=r"shape \(1, 2, 2\).*2 axes, Y X"):
            border_thinning(np.ones((1, 2, 2)))
