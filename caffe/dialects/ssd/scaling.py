"""Changes of size by OpenCV's rules of interpolation; nothing is smoothed before."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from caffe.dialects.ssd.colours import rounded
from caffe.engine.sources import images

Pixels = NDArray[np.uint8]
_Weights = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def scaled(picture: Pixels, height: int, width: int, mode: str) -> Pixels:
    """Bring a picture to a size.

    Parameters
    ----------
    picture : array of shape (h, w, channels), uint8
    mode : {"LINEAR", "AREA", "NEAREST", "CUBIC", "LANCZOS4"}
    """
    old = picture.shape[:2]
    if old == (height, width):
        return picture
    grows = height > old[0] or width > old[1]
    if mode == "LINEAR":
        return images.resize(picture, height, width)
    if mode == "NEAREST":
        return images.resize_nearest(picture, height, width)
    matrix: Callable[[int, int], NDArray[np.float64]] = _area
    if mode == "AREA" and grows:
        matrix = _stretched
    elif mode != "AREA":
        matrix = _taps(*_KERNELS[mode])
    across = np.einsum("xi,yic->yxc", matrix(old[1], width), picture.astype(np.float64))
    both = np.einsum("yi,ixc->yxc", matrix(old[0], height), across)
    return rounded(both)


def _area(old: int, new: int) -> NDArray[np.float64]:
    """Weights (new, old): how much of each old pixel lies in each new one."""
    edges = np.arange(new + 1)[:, None] * (old / new)
    starts = np.maximum(edges[:-1], np.arange(old))
    shares = np.minimum(edges[1:], np.arange(1, old + 1)) - starts
    shares = shares.clip(min=0)
    weights: NDArray[np.float64] = shares / shares.sum(1, keepdims=True)
    return weights


def _stretched(old: int, new: int) -> NDArray[np.float64]:
    """Weights (new, old) where a picture grows: two pixels only at old edges."""
    scale, places = old / new, np.arange(new)
    first = np.floor(places * scale).astype(np.int64)
    part = (places + 1 - (first + 1) / scale).clip(min=0) % 1
    weights = np.zeros((new, old))
    weights[places, first.clip(max=old - 1)] = 1 - part
    np.add.at(weights, (places, (first + 1).clip(max=old - 1)), part)
    return weights


def _taps(reach: int, kernel: _Weights) -> Callable[[int, int], NDArray[np.float64]]:
    """Make a function that gives weights (new, old) of the nearest 2 * reach pixels."""

    def matrix(old: int, new: int) -> NDArray[np.float64]:
        place = (np.arange(new) + 0.5) * (old / new) - 0.5
        first = np.floor(place).astype(np.int64)[:, None]
        taps = first + np.arange(1 - reach, reach + 1)
        values = kernel(place[:, None] - taps)
        values /= values.sum(1, keepdims=True)
        weights = np.zeros((new, old))
        np.add.at(weights, (np.arange(new)[:, None], taps.clip(0, old - 1)), values)
        return weights

    return matrix


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    a, x = -0.75, np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sinc(x) * np.sinc(x / 4)


_KERNELS: dict[str, tuple[int, _Weights]] = {
    "CUBIC": (2, _cubic),
    "LANCZOS4": (4, _lanczos),
}
