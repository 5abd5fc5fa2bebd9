"""Boxes x1, y1, x2, y2 whose corners are pixels that belong to them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray


def areas(boxes: torch.Tensor) -> torch.Tensor:
    """Pixels of boxes of shape (..., 4)."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return (x2 - x1 + 1) * (y2 - y1 + 1)


def overlaps(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Intersection over union of each of M boxes with each of N: (M, N).

    Examples
    --------
    >>> one = torch.tensor([[0.0, 0, 9, 9]])
    >>> overlaps(one, torch.tensor([[0.0, 0, 9, 4], [5, 0, 14, 9]])).tolist()
    [[0.5, 0.3333333432674408]]
    """
    low = torch.maximum(first[:, None, :2], second[:, :2])
    high = torch.minimum(first[:, None, 2:], second[:, 2:])
    shared = (high - low + 1).clamp(min=0).prod(2)
    return shared / (areas(first)[:, None] + areas(second) - shared)


def quicksorted(scores: NDArray[np.float32], most: int) -> NDArray[np.int64]:
    """Order by falling score, equal ones as PVANet's quicksort leaves them.

    It takes the first of a range for the pivot, swaps the next smaller one from the
    front with the next larger one from the back until they meet, and puts the pivot
    between. Where no scores are equal any sort gives the same.

    Parameters
    ----------
    scores : array of shape (N,)
    most : int
        Only so many places are in order.

    Returns
    -------
    array of int
        Number of the score at each place.

    Examples
    --------
    >>> quicksorted(np.array([0, 0, 2, 0, 1], np.float32), 5).tolist()
    [2, 4, 1, 3, 0]
    """
    order = np.arange(len(scores))
    ranges = [(0, len(scores))]
    while ranges:
        start, end = ranges.pop()
        part = order[start:end]
        values = scores[part]
        kinds = len(np.unique(values))
        if kinds == len(values):
            part[:] = part[np.argsort(-values)]
        elif kinds > 1:
            middle = start + _partition(part, values)
            ranges.append((start, middle))
            if middle + 1 < most:
                ranges.append((middle + 1, end))
    return order


def _partition(part: NDArray[np.int64], values: NDArray[np.float32]) -> int:
    """Divide a range about its first score; give the place where that has come to."""
    (low,) = np.nonzero(values < values[0])
    high = np.nonzero(values > values[0])[0][::-1]
    met = min(len(low), len(high))
    swaps = int(np.count_nonzero(low[:met] < high[:met]))
    left, right = low[:swaps], high[:swaps]
    part[left], part[right] = part[right], part[left]
    middle = int(max([0, *left[-1:], *high[swaps : swaps + 1]]))
    part[0], part[middle] = part[middle], part[0]
    return middle
