"""Bring grey values to the range that a net expects, as the plugin does.

Source: modeldef_h5.md, section 3. Each frame has one offset and one scale, found over
all its channels and slices together, and becomes ``(value + offset) * scale``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyunet.errors import DataError

NONE, SMALLEST_LARGEST, MEAN_DEVIATION, VECTOR_NORM = KINDS = range(4)


def normalise(
    array: NDArray[Any], kind: int, *, name: str = "image"
) -> NDArray[np.float32]:
    """Normalise frames, each by itself.

    Sums are of float32, but pairwise, so that large images keep their digits. Where a
    frame holds one value only the plugin divides by zero, and the net sees infinite
    numbers; this is an error here.

    Parameters
    ----------
    array : ndarray, shape (T, C, [Z,] Y, X)
        Grey values.
    kind : int
        0: as they are; 1: smallest..largest to 0..1; 2: mean to 0, standard deviation
        (of the population) to 1; 3: the longest vector of channels to 1.
    name : str
        What messages call it.

    Returns
    -------
    ndarray of float32, same shape

    Raises
    ------
    DataError
        A frame with the same value everywhere (kinds 1 and 2) or with zeros only
        (kind 3); NaN or infinite values; another kind.

    Examples
    --------
    >>> image = np.array([[[[2.0, 4.0, 6.0]]]])
    >>> normalise(image, 1).ravel().tolist()
    [0.0, 0.5, 1.0]
    >>> normalise(image, 2).ravel().round(2)
    array([-1.22,  0.  ,  1.22], dtype=float32)
    """
    if kind not in KINDS:
        raise DataError(
            f"normalization_type {kind}; accepted are 0 (none), 1 (smallest..largest), "
            "2 (mean and deviation), 3 (vector norm)"
        )
    values = np.asarray(array, np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"{name}: has NaN or infinite grey values")
    if kind == NONE:
        return values
    return np.stack(
        [
            _normalised(frame, kind, f"{name}, frame {number}")
            for number, frame in enumerate(values, 1)
        ]
    )


def _normalised(
    frame: NDArray[np.float32], kind: int, name: str
) -> NDArray[np.float32]:
    offset, extent = _offset_and_extent(frame, kind)
    if not extent > 0:
        raise DataError(
            f"{name}: the grey value is {frame.flat[0]:g} everywhere, so it cannot be "
            f"normalised (normalization_type {kind})"
        )
    return (frame + offset) * (np.float32(1) / extent)


def _offset_and_extent(
    frame: NDArray[np.float32], kind: int
) -> tuple[np.float32, np.float32]:
    if kind == SMALLEST_LARGEST:
        low, high = frame.min(), frame.max()
        return -low, high - low
    if kind == MEAN_DEVIATION:
        mean = frame.mean(dtype=np.float32)
        spread = np.square(frame - mean).mean(dtype=np.float32)
        # rounding of the mean alone is no spread
        flat = frame.min() == frame.max()
        return -mean, np.float32(0) if flat else np.sqrt(spread)
    return np.float32(0), np.sqrt(np.square(frame).sum(axis=0).max())
