"""Pixel weights of the loss: class balance and the borders between cells.

Source: Ronneberger, Fischer, Brox: U-Net (MICCAI 2015), equation 2::

    w(x) = w_c(x) + w0 * exp(-(d1(x) + d2(x))**2 / (2 * sigma**2))

d1 and d2 are the Euclidean distances, in pixels, from x to the nearest and to the
second nearest *different* cell; inside a cell d1 is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pyunet.errors import DataError

ClassWeights = Literal["balanced", "none"] | Sequence[float]
NEGLIGIBLE = 1e-7


def border_weights(
    instances: NDArray[np.integer[Any]], *, w0: float = 10.0, sigma: float = 5.0
) -> NDArray[np.float32]:
    """Compute the border term ``w0 exp(-(d1 + d2)^2 / 2 sigma^2)`` of one image.

    Exact except for terms below 1e-7, which are 0: distances need to be known only up
    to ``sigma * sqrt(2 ln(w0 / 1e-7))``, 30 pixels by default. Time grows with the
    pixels and with sigma, not with the number or size of cells.

    Parameters
    ----------
    instances : ndarray of integers, any number of axes
        Cell numbers; 0 is background.
    w0 : float, default 10
        Largest weight, where two cells touch.
    sigma : float, default 5
        Width, in pixels.

    Returns
    -------
    ndarray of float32, same shape

    Raises
    ------
    DataError
        w0 below 0 or sigma not above 0.

    Examples
    --------
    Two cells with three pixels between them; in the middle d1 = d2 = 2:

    >>> row = np.array([[1, 0, 0, 0, 2]])
    >>> border_weights(row).round(3)
    array([[7.261, 7.261, 7.261, 7.261, 7.261]], dtype=float32)
    """
    if w0 < 0 or not sigma > 0:
        raise DataError(
            f"border weight {w0} with sigma {sigma}: expected w0 >= 0, sigma > 0"
        )
    if w0 <= NEGLIGIBLE or not instances.any():
        return np.zeros(instances.shape, np.float32)
    reach = sigma * np.sqrt(2 * np.log(w0 / NEGLIGIBLE))
    first, second = two_nearest(instances, reach=int(np.ceil(reach)))
    distance = np.sqrt(first) + np.sqrt(second)
    term = w0 * np.exp(-(distance**2) / (2 * sigma**2))
    return np.asarray(np.where(distance <= reach, term, 0), np.float32)


def class_weights(
    classes: NDArray[np.uint8], weights: ClassWeights = "balanced"
) -> NDArray[np.float32]:
    """Give the weight ``w_c`` of every class.

    Parameters
    ----------
    classes : ndarray of uint8, any shape
        All label images of a set.
    weights : "balanced", "none" or sequence of float
        ``balanced``: 1 for the most frequent class, n_max / n_c for the others.
        ``none``: 1 for all. Numbers are taken as they are, class 0 first.

    Returns
    -------
    ndarray of float32, shape (K,)
        K is the number of the highest class + 1; a class that does not occur gets 1.

    Raises
    ------
    DataError
        Too few numbers, or one that is negative.

    Examples
    --------
    >>> class_weights(np.array([0, 1, 1, 1, 1], np.uint8)).tolist()
    [4.0, 1.0]
    >>> class_weights(np.array([0, 1], np.uint8), (2, 1)).tolist()
    [2.0, 1.0]
    """
    counts = np.bincount(classes.ravel())
    if weights == "none":
        return np.ones(len(counts), np.float32)
    if isinstance(weights, str):
        present = np.where(counts > 0, counts, counts.max())
        return np.asarray(counts.max() / present, np.float32)
    if len(weights) != len(counts) or min(weights) < 0:
        raise DataError(
            f"class weights {', '.join(map(str, weights))}: the labels have "
            f"{len(counts)} classes; expected one number >= 0 for each"
        )
    return np.asarray(weights, np.float32)


def two_nearest(
    instances: NDArray[np.integer[Any]], *, reach: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Squared distances to the nearest and the second nearest different cell.

    The separable squared distance transform (minimum of ``g(x') + (x - x')^2``
    along one axis after the other), carried out for the two best *different* cells:
    a column's two nearest cells are enough to find those of every pixel in its row.

    Parameters
    ----------
    instances : ndarray of integers, any number of axes
        Cell numbers; 0 is background.
    reach : int
        Distances up to this many pixels are exact; larger ones are only known to be
        larger.

    Returns
    -------
    first, second : ndarray of int32, same shape
        Squared distances, pixels^2.

    Examples
    --------
    >>> first, second = two_nearest(np.array([1, 0, 0, 0, 2]), reach=9)
    >>> first.tolist(), second.tolist()
    ([0, 1, 4, 1, 0], [16, 9, 4, 9, 16])
    """
    far = np.int32(4 * (reach + 1) ** 2 * max(instances.ndim, 1))
    cell = instances.astype(np.int32)
    nearest = _Nearest(
        np.where(cell > 0, np.int32(0), far),
        cell,
        np.full(cell.shape, far),
        np.zeros_like(cell),
    )
    for axis in range(cell.ndim):
        nearest = nearest.along(axis, reach, far)
    return nearest.first, nearest.second


class _Nearest:
    """The two nearest different cells of every pixel, so far as they are known."""

    def __init__(
        self,
        first: NDArray[np.int32],
        cell: NDArray[np.int32],
        second: NDArray[np.int32],
        other: NDArray[np.int32],
    ) -> None:
        self.first, self.cell, self.second, self.other = first, cell, second, other

    def along(self, axis: int, reach: int, far: np.int32) -> _Nearest:
        """Let every pixel learn what the pixels of its line know."""
        result = _Nearest(
            self.first.copy(), self.cell.copy(), self.second.copy(), self.other.copy()
        )
        length = self.first.shape[axis]
        for step in range(1, min(reach, length - 1) + 1):
            for here, there in (
                (slice(step, None), slice(None, -step)),
                (slice(None, -step), slice(step, None)),
            ):
                at = (slice(None),) * axis
                mine, theirs = result._view((*at, here)), self._view((*at, there))
                mine._learn(theirs.first + np.int32(step**2), theirs.cell, far)
                if axis > 0:
                    mine._learn(theirs.second + np.int32(step**2), theirs.other, far)
        return result

    def _view(self, index: tuple[slice, ...]) -> _Nearest:
        return _Nearest(
            self.first[index], self.cell[index], self.second[index], self.other[index]
        )

    def _learn(
        self, distance: NDArray[np.int32], cell: NDArray[np.int32], far: np.int32
    ) -> None:
        """Take in one more candidate for every pixel, in place."""
        different = cell != self.cell
        better = distance < self.first
        change = better & different
        rival = np.maximum(distance, self.first)
        rival += np.where(different, np.int32(0), far)
        runner_up = rival < self.second
        np.copyto(self.other, cell, where=runner_up)
        np.copyto(self.other, self.cell, where=change)
        np.minimum(self.second, rival, out=self.second)
        np.copyto(self.cell, cell, where=change)
        np.minimum(self.first, distance, out=self.first)
