"""Bilinear resizing by the rule of MATLAB's ``imresize``, which the release used.

scikit-image smooths with a Gaussian before it shrinks, Pillow and torch cut their
triangle off at the image's border where ``imresize`` mirrors the image; so the rule is
written out here. Inside the image, and everywhere when enlarging, Pillow gives the
same to float32's last digits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pyunet.errors import DataError

if TYPE_CHECKING:
    from scipy import sparse

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
    own = image.shape[-2:]
    return Triangle(own, scaled_size(own, scale), (scale, scale)).resize(image)


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
    return Triangle(image.shape[-2:], size).resize(image)


class Triangle:
    """The rule of `imresize` between two sizes, for an image or a window of it.

    A window of the new image has the same values, bit by bit, as the new image there.

    Parameters
    ----------
    own, size : sequence of int
        (Y, X) before and after.
    scales : sequence of float, optional
        New pixels for one of the old, (y, x); default: what the sizes say.

    Attributes
    ----------
    extent : tuple of int
        After.

    Examples
    --------
    >>> double = Triangle((1, 2), (1, 4))
    >>> end = (slice(0, 1), slice(3, 4))
    >>> double.source(end), double.apply(np.array([[[0.0, 4.0]]]), end).tolist()
    ((slice(0, 1, None), slice(0, 2, None)), [[[4.0]]])
    """

    def __init__(
        self,
        own: Sequence[int],
        size: Sequence[int],
        scales: Sequence[float] | None = None,
    ) -> None:
        given = scales or [new / n for new, n in zip(size, own, strict=True)]
        self.extent = tuple(size)
        self._own = tuple(own)
        self._shares = [_weights(*one) for one in zip(own, size, given, strict=True)]

    def source(self, at: tuple[slice, ...]) -> tuple[slice, ...]:
        """Give the old pixels, (y, x), that the new ones at a place are made of."""
        return tuple(
            _columns(shares, one) for shares, one in zip(self._shares, at, strict=True)
        )

    def apply(self, part: NDArray[Number], at: tuple[slice, ...]) -> NDArray[Number]:
        """Make the new pixels at a place of the old ones that `source` names.

        Parameters
        ----------
        part : ndarray of float, shape (..., Y, X)
        at : tuple of slice
            (y, x)
        """
        rows, columns = (
            shares[one][:, source]
            for shares, one, source in zip(
                self._shares, at, self.source(at), strict=True
            )
        )
        planes = part.reshape(-1, *part.shape[-2:])
        result = np.empty((len(planes), rows.shape[0], columns.shape[0]), part.dtype)
        for source, target in zip(planes, result, strict=True):
            target[:] = (columns @ (rows @ source.astype(np.float64)).T).T
        return result.reshape(*part.shape[:-2], *result.shape[1:])

    def resize(self, image: NDArray[Number]) -> NDArray[Number]:
        """Resize the last two axes of an image (..., Y, X)."""
        whole = tuple(slice(0, length) for length in self.extent)
        rows, columns = self.source(whole)
        return self.apply(image[..., rows, columns], whole)


def _columns(shares: sparse.csr_array, rows: slice) -> slice:
    """Give the span of the columns in which rows have entries."""
    found = shares.indices[shares.indptr[rows.start] : shares.indptr[rows.stop]]
    return slice(int(found.min()), int(found.max()) + 1)


def _weights(length: int, count: int, scale: float) -> sparse.csr_array:
    """Give the share of every pixel of an axis in every new one.

    The image goes on beyond its border as its mirror image with the edge pixel
    repeated.
    """
    from scipy import sparse  # slow to import, and seldom needed

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
