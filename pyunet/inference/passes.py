"""The versions of an image that are averaged: mirrored, rotated."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pyunet.errors import DataError
from pyunet.inference.tiling import Window

Item = TypeVar("Item", bound=np.generic)
RIGHT_ANGLE = 90
ROUNDING_PX = 1e-6


@dataclass(frozen=True)
class Pass:
    """One version of the image: first mirrored, then rotated.

    Attributes
    ----------
    degrees : float
        Counterclockwise, as a person sees the image (``numpy.rot90``).
    mirror : bool
        Whether the image is mirrored along X before.
    """

    degrees: float = 0.0
    mirror: bool = False

    @property
    def is_exact(self) -> bool:
        """Whether pixels are moved only."""
        return self.degrees % RIGHT_ANGLE == 0

    def apply(self, array: NDArray[Item]) -> NDArray[Item]:
        """Give a view of an array, mirrored and turned; for exact passes.

        Parameters
        ----------
        array : ndarray, shape (..., Y, X)

        Returns
        -------
        ndarray, shape (..., Y, X) or (..., X, Y)

        Examples
        --------
        >>> Pass(90).apply(np.array([[1, 2], [3, 4]])).tolist()
        [[2, 4], [1, 3]]
        """
        view = array[..., ::-1] if self.mirror else array
        return np.rot90(view, int(self.degrees // RIGHT_ANGLE), axes=(-2, -1))

    def window(self, image: Window, extent: Sequence[int]) -> Window:
        """Read windows of the version of an image; for exact passes.

        Parameters
        ----------
        image : callable
            Reads windows of the image.
        extent : sequence of int
            ([Z,] Y, X) of the image.
        """
        height, width = extent[-2:]
        turns = int(self.degrees // RIGHT_ANGLE) % 4

        def window(at: tuple[slice, ...]) -> NDArray[Any]:
            *depth, y, x = at
            # numpy.rot90 by 1: version[i, j] = image[j, width - 1 - i]; and so on
            if turns in (1, 2):
                y = _from_end(y, width if turns == 1 else height)
            if turns in (2, 3):
                x = _from_end(x, width if turns == 2 else height)
            if turns in (1, 3):
                y, x = x, y
            if self.mirror:
                x = _from_end(x, width)
            return self.apply(image((*depth, y, x)))

        return window

    def extent(self, image: Sequence[int]) -> tuple[int, ...]:
        """Give the spatial extents of the version of an image.

        Examples
        --------
        >>> Pass(90).extent((9, 40, 30)), Pass(45).extent((40, 30))
        ((9, 30, 40), (50, 50))
        """
        *depth, height, width = image
        if self.is_exact:
            turned = self.degrees % (2 * RIGHT_ANGLE) != 0
            return (*depth, width, height) if turned else (*depth, height, width)
        cosine, sine = np.abs(self.matrix[0])
        return (
            *depth,
            math.ceil((height - 1) * cosine + (width - 1) * sine - ROUNDING_PX) + 1,
            math.ceil((height - 1) * sine + (width - 1) * cosine - ROUNDING_PX) + 1,
        )

    @functools.cached_property
    def matrix(self) -> NDArray[np.float64]:
        """Give how (y, x) about the centre turns from the image to its version."""
        angle = math.radians(self.degrees)
        return np.array([
            [math.cos(angle), -math.sin(angle)],
            [math.sin(angle), math.cos(angle)],
        ])  # fmt: skip

    def to_version(
        self, image: Sequence[int], y: NDArray[Any], x: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Give where pixels of the image lie in its version."""
        here, there = _centre(image), _centre(self.extent(image))
        return _turn(self.matrix, y - here[0], x - here[1], there)

    def to_image(
        self, image: Sequence[int], y: NDArray[Any], x: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Give where pixels of the version lie in the image."""
        here, there = _centre(image), _centre(self.extent(image))
        return _turn(self.matrix.T, y - there[0], x - there[1], here)


MIRRORED = (Pass(), Pass(0, mirror=True), Pass(180, mirror=True), Pass(180))
ROTATED = (Pass(), Pass(90), Pass(180), Pass(270))
SQUARE = (*ROTATED, *(Pass(one.degrees, mirror=True) for one in ROTATED))
NAMED = {"mirror": MIRRORED, "rotate": ROTATED, "all": SQUARE}


def parse_passes(text: str) -> tuple[Pass, ...]:
    """Read which versions are averaged.

    Parameters
    ----------
    text : str
        ``mirror``: 4, as the 2015 release does. ``rotate``: 4, by multiples of 90
        degrees. ``all``: the 8 of the square. A number N: N rotations by multiples of
        360/N degrees (the paper's "7 rotated versions"). Several numbers: rotations by
        these degrees.

    Returns
    -------
    tuple of Pass

    Raises
    ------
    DataError
        Anything else.

    Examples
    --------
    >>> len(parse_passes("all")), [round(p.degrees) for p in parse_passes("7")]
    (8, [0, 51, 103, 154, 206, 257, 309])
    >>> parse_passes("0,45")
    (Pass(degrees=0.0, mirror=False), Pass(degrees=45.0, mirror=False))
    """
    if text in NAMED:
        return NAMED[text]
    words = text.split(",")
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and numbers[0] >= 1 and numbers[0].is_integer():
        count = int(numbers[0])
        return tuple(Pass(360 * turn / count) for turn in range(count))
    if len(numbers) > 1 and np.isfinite(numbers).all():
        return tuple(Pass(degrees % 360) for degrees in numbers)
    raise DataError(
        f"average {text!r}: expected mirror, rotate, all, a number of rotated "
        "versions such as 7, or angles in degrees such as 0,45,90"
    )


def _from_end(span: slice, length: int) -> slice:
    return slice(length - span.stop, length - span.start)


def _centre(extent: Sequence[int]) -> tuple[float, float]:
    return (extent[-2] - 1) / 2, (extent[-1] - 1) / 2


def _turn(
    matrix: NDArray[np.float64],
    y: NDArray[Any],
    x: NDArray[Any],
    centre: tuple[float, float],
) -> NDArray[np.float64]:
    """Turn (y, x) about the origin, which then lies at a centre."""
    (yy, yx), (xy, xx) = matrix
    return np.array([yy * y + yx * x + centre[0], xy * y + xx * x + centre[1]])
