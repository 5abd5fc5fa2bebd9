"""Read images at fractional coordinates, fast on one core.

Beyond its border an image is mirrored without repeating the edge, at any distance, as
Freiburg's ApplyDeformation does. Work goes in blocks that stay in the processor's
cache, with float32 fractions; numpy's gather takes the place of
``scipy.ndimage.map_coordinates``, which is four times slower for linear reading.
"""

from __future__ import annotations

import itertools
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Field = NDArray[np.float32]
Index = NDArray[np.int32] | NDArray[np.intp]
Number = TypeVar("Number", bound=np.generic)
BLOCK = 1 << 15


def read_nearest(image: NDArray[Number], coordinates: Field) -> NDArray[Number]:
    """Read an image at coordinates: the nearest pixel, half up.

    Parameters
    ----------
    image : ndarray, shape ([Z,] Y, X)
        Of any type.
    coordinates : ndarray of float32, shape (axes, ...)
        Pixel coordinates ([z,] y, x).

    Returns
    -------
    ndarray, shape (...) and type of the image

    Examples
    --------
    >>> at = np.array([[[0.0, 0.0]], [[0.6, -1.4]]], np.float32)
    >>> read_nearest(np.array([[3, 7, 9]], np.uint8), at).tolist()
    [[7, 7]]
    """
    result = np.empty(coordinates.shape[1:], image.dtype)
    flat = image.reshape(-1)
    for part in _blocks(result.shape):
        places = [
            _folded(np.floor(axis[part] + np.float32(0.5)), size)
            for axis, size in zip(coordinates, image.shape, strict=True)
        ]
        indices = [place.astype(_index_type(image)) for place in places]
        result[part] = flat.take(_flat_index(indices, image.shape), mode="clip")
    return result


def read_linear(
    channels: NDArray[np.float32], coordinates: Field
) -> NDArray[np.float32]:
    """Read an image at coordinates, linearly between pixels.

    Parameters
    ----------
    channels : ndarray of float32, shape (C, [Z,] Y, X)
        One image.
    coordinates : ndarray of float32, shape (axes, ...)
        Pixel coordinates ([z,] y, x).

    Returns
    -------
    ndarray of float32, shape (C, ...)

    Examples
    --------
    >>> at = np.array([[[0.0, 0.0]], [[0.5, -1.0]]], np.float32)
    >>> read_linear(np.array([[[0.0, 1.0, 4.0]]], np.float32), at).tolist()
    [[[0.5, 1.0]]]
    """
    size = channels.shape[1:]
    result = np.empty((len(channels), *coordinates.shape[1:]), np.float32)
    # one step along each axis, from the pixel below a place to that above
    steps = [
        int(np.prod(size[axis + 1 :])) if length > 1 else 0
        for axis, length in enumerate(size)
    ]
    for part in _blocks(coordinates.shape[1:]):
        indices, shares = [], []
        for axis, length in zip(coordinates, size, strict=True):
            place = _folded(axis[part], length)
            low = place.astype(_index_type(channels[0]))
            np.minimum(low, max(length - 2, 0), out=low)
            indices.append(low)
            shares.append(place - low.astype(np.float32))
        index = _flat_index(indices, size)
        for channel, target in zip(channels, result, strict=True):
            target[part] = _blend(channel.reshape(-1), index, steps, shares)
    return result


def read_cubic(
    coefficients: NDArray[np.float32], coordinates: Field
) -> NDArray[np.float32]:
    """Read an image at coordinates by cubic splines, from their coefficients.

    Parameters
    ----------
    coefficients : ndarray of float32, shape (C, [Z,] Y, X)
        From `spline_coefficients`.
    coordinates : ndarray of float32, shape (axes, ...)
        Pixel coordinates ([z,] y, x).

    Returns
    -------
    ndarray of float32, shape (C, ...)
    """
    return np.stack(
        [
            ndimage.map_coordinates(
                channel,
                coordinates,
                order=3,
                mode="mirror",
                prefilter=False,
                output=np.float32,
            )
            for channel in coefficients
        ]
    )


def spline_coefficients(images: NDArray[np.float32], axes: int) -> NDArray[np.float32]:
    """Give what `read_cubic` reads: images filtered along their last ``axes`` axes."""
    result = images
    for axis in range(-axes, 0):
        result = ndimage.spline_filter1d(
            result, 3, axis=axis, output=np.float32, mode="mirror"
        )
    return result


def _blocks(shape: tuple[int, ...]) -> list[slice]:
    """Cut the first axis so that a block has about 2^15 places."""
    rows = max(1, BLOCK // max(1, int(np.prod(shape[1:]))))
    return [slice(start, start + rows) for start in range(0, shape[0], rows)]


def _folded(place: Field, size: int) -> Field:
    """Mirror coordinates about the first and the last pixel, as often as it takes."""
    if size == 1:
        return np.zeros_like(place)
    last = np.float32(size - 1)
    low, high = place.min(), place.max()
    if low >= 0 and high <= last:
        return place
    if low < -2 * last or high > 2 * last:
        place = np.remainder(place, 2 * last)
    place = np.abs(place)
    # so that places inside keep every bit
    return np.asarray(np.minimum(place, 2 * last - place))


def _index_type(image: NDArray[Any]) -> Any:
    return np.int32 if image.size < 1 << 31 else np.intp


def _flat_index(indices: list[Any], size: tuple[int, ...]) -> NDArray[np.intp]:
    index = indices[0]
    for along, length in zip(indices[1:], size[1:], strict=True):
        index = index * length
        index += along
    return np.asarray(index, np.intp)


def _blend(
    flat: NDArray[np.float32],
    index: NDArray[np.intp],
    steps: list[int],
    shares: list[Field],
) -> Field:
    """Mix the 2^axes neighbours, the last axis first."""
    values = []
    for corner in itertools.product((0, 1), repeat=len(steps)):
        start = sum(step for step, up in zip(steps, corner, strict=True) if up)
        values.append(flat[start:].take(index, mode="clip"))
    for share in reversed(shares):
        for low, high in zip(values[::2], values[1::2], strict=True):
            high -= low
            high *= share
            low += high
        values = values[::2]
    return values[0]
