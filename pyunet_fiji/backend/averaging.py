"""The versions of an image whose scores are averaged (tiled_predict.md, section 6).

A version is a view of the same memory, so adding to a version of the scores adds at the
right pixels of the scores.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PASSES = 4


def version(array: NDArray[Any], number: int, *, kind: str) -> NDArray[Any]:
    """Give a view of an image or its scores, mirrored or rotated.

    Parameters
    ----------
    array : ndarray, shape (..., Y, X)
    number : int
        0 to 3; 0 is the array itself.
    kind : {"mirror", "rotate", ""}
        Mirrored along x where bit 0 of the number is set, along y where bit 1 is;
        rotated clockwise by so many times 90 degrees; unchanged.

    Returns
    -------
    ndarray, shape (..., Y, X) or (..., X, Y)

    Examples
    --------
    >>> version(np.arange(6).reshape(2, 3), 1, kind="rotate").tolist()
    [[3, 0], [4, 1], [5, 2]]
    >>> version(np.arange(6).reshape(2, 3), 2, kind="mirror").tolist()
    [[3, 4, 5], [0, 1, 2]]
    """
    if kind == "rotate":
        return np.rot90(array, -number, axes=(-2, -1))
    if kind == "mirror":
        axes = [axis for axis, bit in ((-1, 1), (-2, 2)) if number & bit]
        return np.flip(array, axes) if axes else array
    return array


def passes(kind: str) -> int:
    """Count the versions of a kind."""
    return PASSES if kind else 1
