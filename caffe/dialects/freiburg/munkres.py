"""The assignment problem, with one answer where several are equally good."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
_ZERO = float(np.finfo(np.float64).eps)
_NONE = -1


def assign(costs: NDArray[Any]) -> Ints:
    """Give each row a column of its own, at the least sum of costs.

    Munkres' method, searching in a fixed order: of several best answers it finds the
    one that caffe_unet's F1 layer finds.

    Parameters
    ----------
    costs : (rows, columns) array of finite numbers

    Returns
    -------
    (rows,) array of int
        Column of each row; -1 where there are more rows than columns.

    Examples
    --------
    >>> assign(np.array([[1, 2], [1, 9], [5, 5]])).tolist()
    [1, 0, -1]
    """
    search = _Search(np.array(costs, np.float64))
    while (search.column_of >= 0).sum() < min(costs.shape):
        search.improve()
    return search.column_of


class _Search:
    """Starred zeros are `column_of` rows and `row_of` columns."""

    def __init__(self, costs: NDArray[np.float64]) -> None:
        rows, columns = costs.shape
        self.column_of = np.full(rows, _NONE, np.int64)
        self._row_of = np.full(columns, _NONE, np.int64)
        self._costs = costs
        if 0 in costs.shape:
            return
        wide = rows <= columns
        self._costs -= costs.min(int(wide), keepdims=True)
        self._zeros = np.abs(self._costs) < _ZERO
        lines = self._zeros if wide else self._zeros.T
        taken = self._row_of if wide else self.column_of
        for i, line in enumerate(lines):
            free = np.flatnonzero(line & (taken < 0))
            if free.size:
                self._star(*((i, free[0]) if wide else (free[0], i)))

    def _star(self, row: int, column: int) -> None:
        self.column_of[row], self._row_of[column] = column, row

    def improve(self) -> None:
        """Star one more zero, along a path of primed and starred ones."""
        row, primes = self._search()
        while row >= 0:
            column = int(primes[row])
            following = int(self._row_of[column])
            self._star(row, column)
            row = following

    def _search(self) -> tuple[int, Ints]:
        """Row with a primed zero and no star, and the primed column of each row."""
        covered = np.zeros(len(self.column_of), np.bool_)
        open_columns = self._row_of < 0
        primes = np.full(len(covered), _NONE, np.int64)
        start = 0
        counts = self._zeros.sum(0)  # of zeros in rows not covered
        while True:
            found = np.flatnonzero(open_columns & (counts > 0))
            if not found.size:
                self._lower(covered, open_columns)
                counts = self._zeros[~covered].sum(0)
                start = 0
                continue
            # columns are visited in a circle; of a column the first row counts
            column = found[np.searchsorted(found, start) % len(found)]
            row = int(np.argmax(self._zeros[:, column] & ~covered))
            primes[row] = column
            if self.column_of[row] < 0:
                return row, primes
            covered[row] = True
            counts -= self._zeros[row]
            open_columns[self.column_of[row]] = True
            start = column + 1

    def _lower(self, covered: NDArray[np.bool_], open_columns: NDArray[Any]) -> None:
        """Make a new zero where neither row nor column is covered."""
        least = self._costs[np.ix_(~covered, open_columns)].min()
        self._costs[covered] += least
        self._costs[:, open_columns] -= least
        self._zeros = np.abs(self._costs) < _ZERO
