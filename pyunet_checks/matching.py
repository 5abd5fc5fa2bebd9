"""How alike two pictures are, at any shift: what leakage and misplaced labels show.

Pictures are made small, and what is brighter or darker than its surroundings is
compared by normalised cross-correlation: -1 to 1, untouched by brightness, contrast
and uneven light.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Plane = NDArray[np.float32]
SIDE = 256
SURROUNDINGS = 8.0
FARTHEST = 0.4
TURNS = ("as it is", "turned by 90", "turned by 180", "turned by 270 degrees",
         "mirrored left-right", "transposed", "mirrored top-bottom",
         "transposed the other way")  # fmt: skip


class Match(NamedTuple):
    """The best place of one picture on another.

    Attributes
    ----------
    value : float
        Correlation there, -1 to 1.
    y, x : int
        Shift in pixels of the small pictures.
    noise : float
        Root mean square of the correlation at all shifts.
    """

    value: float
    y: int
    x: int
    noise: float


def small(plane: NDArray[Any], side: int = SIDE) -> Plane:
    """Shrink (Y, X) by a whole factor to at most ``side`` pixels: means of blocks.

    Examples
    --------
    >>> small(np.arange(16).reshape(4, 4), 2).tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    factor = shrinkage(plane.shape, side)
    height, width = (length // factor for length in plane.shape)
    # from the middle, so that a turned picture gives the turned small one
    top, left = (length % factor // 2 for length in plane.shape)
    cut = plane[top : top + height * factor, left : left + width * factor]
    cut = cut.astype(np.float32)
    blocks = cut.reshape(height, factor, width, factor)
    return np.asarray(blocks.mean(axis=(1, 3)))


def shrinkage(shape: tuple[int, ...], side: int = SIDE) -> int:
    """Give the factor by which `small` shrinks."""
    return max(1, min(-(-max(shape) // side), min(shape)))


def detail(plane: Plane) -> Plane:
    """Keep what differs from its surroundings, in units of how much that varies there.

    So that a strong border, such as that of a microscope's field of view, does not
    outweigh everything else. The result has mean 0 and norm 1, or is 0 if flat.
    """
    apart = plane - ndimage.gaussian_filter(plane, SURROUNDINGS, mode="nearest")
    power = ndimage.gaussian_filter(apart * apart, SURROUNDINGS, mode="nearest")
    typical = float(np.median(power)) + 1e-12
    result = apart / np.sqrt(power + np.float32(typical))
    result -= result.mean()
    norm = float(np.sqrt(np.square(result, dtype=np.float64).sum()))
    # what is left of a flat picture is rounding
    flat = float(np.abs(apart).max()) <= 1e-5 * float(np.abs(plane).max())
    return np.zeros_like(result) if flat else result / np.float32(max(norm, 1e-12))


def edges(plane: Plane) -> Plane:
    """Give the steepness of a picture."""
    return np.asarray(ndimage.gaussian_gradient_magnitude(plane, 1.0, mode="nearest"))


def spectrum(plane: Plane) -> NDArray[np.complex64]:
    """Give the Fourier transform of a picture in twice the room."""
    return np.asarray(
        np.fft.rfft2(plane, [2 * length for length in plane.shape]), np.complex64
    )


def correlation(
    first: NDArray[np.complex64], second: NDArray[np.complex64], shape: tuple[int, ...]
) -> Plane:
    """Correlate at all shifts of up to 2/5 of the size, from two spectra.

    Returns an array whose middle is no shift; entry (y, x) off the middle says how
    well ``second``, moved by (y, x), fits ``first``.
    """
    height, width = shape
    full = np.fft.irfft2(first * np.conj(second), (2 * height, 2 * width))
    dy, dx = int(height * FARTHEST), int(width * FARTHEST)
    rolled = np.roll(full, (dy, dx), (0, 1))
    return np.asarray(rolled[: 2 * dy + 1, : 2 * dx + 1], np.float32)


def best(values: Plane) -> Match:
    """Find the strongest correlation of either sign."""
    y, x = np.unravel_index(int(np.abs(values).argmax()), values.shape)
    noise = float(np.sqrt(np.square(values, dtype=np.float64).mean()))
    return Match(
        float(values[y, x]),
        int(y) - values.shape[0] // 2,
        int(x) - values.shape[1] // 2,
        noise,
    )


def overlap_correlation(first: Plane, second: Plane, y: int, x: int) -> float:
    """Correlate what two pictures share when the other is moved by (y, x)."""
    height, width = first.shape
    a = first[max(y, 0) : height + min(y, 0), max(x, 0) : width + min(x, 0)]
    b = second[max(-y, 0) : height + min(-y, 0), max(-x, 0) : width + min(-x, 0)]
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else 0.0


def turned(plane: NDArray[Any], turn: int) -> NDArray[Any]:
    """Give one of the eight ways to lay a picture, numbered as `TURNS`."""
    rotated = np.rot90(plane, turn % 4)
    return rotated if turn < 4 else np.fliplr(rotated)
