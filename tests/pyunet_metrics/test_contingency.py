import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyunet_metrics.contingency import (
    contingency,
    f_score,
    information_score,
    pair_counts,
    square_counts,
)


def _table(truth, found):
    return contingency(np.array(truth), np.array(found))


class TestSquareCounts:
    def test_counts_what_the_proposal_calls_membrane_as_single_pixels(self):
        # truth: 4 + 2 pixels; found: 2 of the four together, 2 alone, the two together
        counts = square_counts(_table([1, 1, 1, 1, 2, 2], [1, 1, 0, 0, 2, 2]))
        together, truth, found = 4 + 1 + 1 + 4, 16 + 4, 4 + 1 + 1 + 4
        assert counts == (together, 36 - truth, found - together, truth - together)

    def test_leaves_out_pixels_outside_the_objects_of_the_truth(self):
        inside = square_counts(_table([1, 1, 2], [1, 1, 1]))
        assert square_counts(_table([1, 1, 2, 0, 0], [1, 1, 1, 1, 2])) == inside

    def test_is_undefined_without_an_object_in_the_truth(self):
        assert all(math.isnan(count) for count in square_counts(_table([0, 0], [1, 0])))


class TestPairCounts:
    def test_counts_pairs_of_different_pixels_inside_the_objects(self):
        # pairs: truth 3 + 1, found 1 (two of object 1) + 1, both 2; 5 pixels, 10 pairs
        counts = pair_counts(_table([1, 1, 1, 2, 2, 0], [1, 1, 0, 2, 2, 2]))
        assert counts == (2, 6, 0, 2)

    def test_takes_the_background_for_an_object_on_request(self):
        # truth {0,0} {1,1}, found {0} {1,1,1}: 6 pairs; truth 2, found 3, both 1
        counts = pair_counts(_table([0, 0, 1, 1], [0, 1, 1, 1]), background=True)
        assert counts == (1, 2, 2, 1)

    def test_is_perfect_without_an_object_in_the_truth(self):
        assert f_score(pair_counts(_table([0, 0], [1, 0]))) == 1


class TestFScore:
    @pytest.mark.parametrize(
        ("counts", "expected"),
        [
            ((3, 9, 1, 1), 0.75),
            ((1, 0, 1, 0), 2 / 3),
            ((0, 5, 0, 0), 1.0),
            ((0, 0, 2, 0), 0.0),
            ((0, 0, 2, 2), 0.0),
            ((np.nan,) * 4, 0.0),
        ],
    )
    def test_is_the_mean_of_precision_and_recall(self, counts, expected):
        assert f_score(counts) == pytest.approx(expected, abs=1e-15)


class TestInformationScore:
    def test_of_a_cut_object_is_the_shared_over_the_known_entropy(self):
        # H(truth) = ln 2, H(found) = 1.5 ln 2, shared = ln 2: P = 1, R = 2/3, F = 0.8
        table = _table([1, 1, 1, 1, 2, 2, 2, 2], [1, 1, 1, 1, 2, 2, 3, 3])
        assert information_score(table) == pytest.approx(0.8, abs=1e-14)

    def test_counts_what_the_proposal_calls_membrane_as_single_pixels(self):
        single = information_score(_table([1, 1, 2, 2], [1, 1, 0, 0]))
        assert single == pytest.approx(
            information_score(_table([1, 1, 2, 2], [1, 1, 2, 3])), abs=1e-14
        )

    @pytest.mark.parametrize(
        ("truth", "found"), [([0, 0], [1, 2]), ([1, 1], [1, 1]), ([1, 2], [1, 1])]
    )
    def test_is_0_where_one_side_carries_no_information(self, truth, found):
        assert information_score(_table(truth, found)) == 0

    def test_is_undefined_where_two_informative_sides_share_nothing(self):
        assert math.isnan(information_score(_table([1, 1, 2, 2], [1, 2, 1, 2])))


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1),
    st.permutations(range(1, 5)),
)
def test_scores_do_not_depend_on_the_numbers_of_the_objects(pairs, order):
    truth, found = np.array(pairs).T
    renamed = np.array([0, *order])[found]
    first, second = contingency(truth, found), contingency(truth, renamed)
    np.testing.assert_equal(square_counts(second), square_counts(first))
    np.testing.assert_equal(pair_counts(second), pair_counts(first))
    assert information_score(second) == pytest.approx(
        information_score(first), abs=1e-12, nan_ok=True
    )
