"""Colours in other spaces, as OpenCV stores them in bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
# which level blue, green and red have in each sixth of the circle of hues
_BGR = np.array([[1, 3, 0], [1, 0, 2], [3, 0, 1], [0, 2, 1], [0, 1, 3], [2, 1, 0]])


def rounded(values: Any) -> Pixels:
    """Round to whole grey values, 0 to 255."""
    whole: Pixels = np.rint(values).clip(0, 255).astype(np.uint8)
    return whole


def to_hsv(picture: Pixels) -> Pixels:
    """Hue (degrees over 2), saturation and value of blue, green, red.

    Examples
    --------
    >>> to_hsv(np.array([[[0, 0, 255], [255, 0, 0], [9, 9, 9]]], np.uint8)).tolist()
    [[[0, 255, 255], [120, 255, 255], [0, 0, 9]]]
    """
    blue, green, red = np.moveaxis(picture.astype(np.float32), 2, 0)
    most = picture.max(2).astype(np.float32)
    spread = most - picture.min(2)
    safe = np.where(spread == 0, 1, spread)
    hue = np.where(
        most == red,
        (green - blue) / safe,
        np.where(most == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue = np.rint(np.where(spread == 0, 0, hue * 30))
    hue = np.where(hue < 0, hue + 180, hue)
    saturation = np.rint(255 * spread / np.where(most == 0, 1, most))
    return np.stack([hue, saturation, most], 2).astype(np.uint8)


def from_hsv(picture: Pixels) -> Pixels:
    """Blue, green, red of hue (degrees over 2), saturation and value.

    Examples
    --------
    >>> from_hsv(np.array([[[0, 255, 255], [120, 255, 255]]], np.uint8)).tolist()
    [[[0, 0, 255], [255, 0, 0]]]
    """
    hue, saturation, value = np.moveaxis(picture.astype(np.float32), 2, 0)
    sector, part = np.divmod(hue / 30, 1)
    saturation = saturation / 255
    # the four levels that a colour has: full, least, falling and rising
    levels = value[..., None] * np.stack(
        [
            np.ones_like(part),
            1 - saturation,
            1 - saturation * part,
            1 - saturation * (1 - part),
        ],
        2,
    )
    places = _BGR[sector.astype(np.int64) % 6]
    picked = np.take_along_axis(levels, places, 2)
    return rounded(picked)
