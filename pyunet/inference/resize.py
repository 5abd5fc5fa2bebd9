"""Bilinear resizing by the rule of MATLAB's ``imresize``, which the release used.

scikit-image smooths with a Gaussian before it shrinks, Pillow and torch cut their
triangle off at the image's border where ``imresize`` mirrors the image; so the rule is
written out here. Inside the image, and everywhere when enlarging, Pillow gives the
same to float32's last digits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pyunet.errors import DataError

Number = TypeVar("Number", bound=np.floating[Any])


def scaled_size(size: Sequence[int], scale: float) -> tuple[int, ...]:
    """Give the pixels that a factor leads to, rounded up.

    >>> scaled_size((260, 348), 0.3)
    (78, 105)
    """
    return tuple(math.ceil(scale * pixels) for pixels in size)


def resize_by(image: NDArray[Number], scale: float) -> NDArray[Number]:
    """Resize the last two axes by a factor, as ``imresize(image, scale, 'bilinear')``.

    Parameters
    ----------
    image : ndarray of float, shape (..., Y, X)
    scale : float
        Above 0. When shrinking, the triangle is as many times wider: it averages.

    Returns
    -------
    ndarray of the same type, shape (..., ceil(scale Y), ceil(scale X))

    Raises
    ------
    DataError
        A factor that is not above 0.

    Examples
    --------
    >>> resize_by(np.array([[0.0, 4.0]]), 2).tolist()
    [[0.0, 1.0, 3.0, 4.0], [0.0, 1.0, 3.0, 4.0]]
    >>> resize_by(np.array([[0.0, 0.0, 8.0, 8.0]]), 0.5).tolist()
    [[1.0, 7.0]]
    """
    if not 0 < scale < math.inf:
        raise DataError(f"scale {scale:g}: accepted are factors above 0")
    return _resize(image, scaled_size(image.shape[-2:], scale), (scale, scale))


def resize_to(image: NDArray[Number], size: Sequence[int]) -> NDArray[Number]:
    """Resize the last two axes to a size, as ``imresize(image, size, 'bilinear')``.

    Parameters
    ----------
    image : ndarray of float, shape (..., Y, X)
    size : sequence of int
        Pixels along Y and X.

    Returns
    -------
    ndarray of the same type, shape (..., *size)

    Examples
    --------
    >>> resize_to(np.array([[0.0, 4.0]]), (1, 4)).tolist()
    [[0.0, 1.0, 3.0, 4.0]]
    """
    old = image.shape[-2:]
    return _resize(image, size, [new / n for new, n in zip(size, old, strict=True)])


def _resize(
    image: NDArray[Number], size: Sequence[int], scales: Sequence[float]
) -> NDArray[Number]:
    *others, height, width = image.shape
    rows = _weights(height, size[0], scales[0])
    columns = _weights(width, size[1], scales[1])
    planes = image.reshape(-1, height, width)
    result = np.empty((len(planes), *size), image.dtype)
    for source, target in zip(planes, result, strict=True):
        target[:] = (columns @ (rows @ source.astype(np.float64)).T).T
    return result.reshape(*others, *size)


def _weights(length: int, count: int, scale: float) -> sparse.csr_array:
    """Give the share of every pixel of an axis in every new one.

    The image goes on beyond its border as its mirror image with the edge pixel
    repeated.
    """
    narrow = min(scale, 1.0)
    centres = (np.arange(count) + 0.5) / scale - 0.5
    reach = math.ceil(2 / narrow) + 2
    first = np.floor(centres - 1 / narrow).astype(int)
    places = first[:, None] + np.arange(reach)
    shares = np.maximum(0, 1 - narrow * np.abs(centres[:, None] - places))
    shares /= shares.sum(axis=1, keepdims=True)
    places %= 2 * length
    places = np.minimum(places, 2 * length - 1 - places)
    new = np.repeat(np.arange(count), reach)
    entries = (shares.ravel(), (new, places.ravel()))
    return sparse.csr_array(entries, shape=(count, length))
