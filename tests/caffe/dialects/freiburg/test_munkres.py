"""Assignments: least costs by scipy, ties by hand."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from caffe.dialects.freiburg.munkres import assign


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 7), (7, 2), (30, 30), (12, 25)])
@pytest.mark.parametrize("levels", [3, 1000000])
def test_costs_as_little_as_scipys(seed, shape, levels):
    costs = np.random.default_rng(seed).integers(0, levels, shape) / levels
    columns = assign(costs)
    rows = np.flatnonzero(columns >= 0)
    assert len(rows) == len(set(columns[rows])) == min(shape)
    least = costs[linear_sum_assignment(costs)].sum()
    assert costs[rows, columns[rows]].sum() == pytest.approx(least, abs=1e-12)


def test_no_rows_or_columns():
    assert assign(np.zeros((0, 0))).tolist() == []
    assert assign(np.zeros((2, 0))).tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("costs", "want"),
    [
        # greedy stars by rows, each in its first free column
        ([[0, 0, 0], [0, 0, 0]], [0, 1]),
        # greedy stars by columns where there are fewer of them
        ([[0], [0]], [0, -1]),
        # zeros (0,0) (0,1) (1,0): row 1 finds column 0 taken, and row 0 gives way
        ([[0, 0], [0, 1]], [1, 0]),
        # column minima 0 2: zeros (1,0) (0,1) (2,1), so the first row of column 1
        ([[9, 2], [0, 9], [9, 2]], [1, 0, -1]),
    ],
)
def test_ties_are_broken_in_the_order_of_search(costs, want):
    assert assign(np.array(costs)).tolist() == want


def test_the_costs_are_left_alone():
    costs = np.array([[2.0, 3.0], [4.0, 1.0]])
    assign(costs)
    assert costs.tolist() == [[2, 3], [4, 1]]
