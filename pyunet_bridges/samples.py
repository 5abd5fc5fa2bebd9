"""The sample of a package: a test image, and the picture of what comes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pyunet.data.images import ImageStack, to_unit_range
from pyunet.errors import DataError

COVER = 400  # pixels a side of each of its two pictures
FloatArray = NDArray[np.float32]


def synthetic_image(shape: tuple[int, ...]) -> FloatArray:
    """Make a cloudy image of 0..1, the same every time.

    Parameters
    ----------
    shape : tuple of int
        (C, [Z,] Y, X).

    Examples
    --------
    >>> image = synthetic_image((1, 8, 9))
    >>> image.shape, float(image.min()), float(image.max())
    ((1, 8, 9), 0.0, 1.0)
    """
    noise = np.random.default_rng(0).standard_normal(shape)
    clouds = ndimage.gaussian_filter(noise, (0, *[3] * (len(shape) - 1)), mode="wrap")
    low, high = clouds.min(), clouds.max()
    return np.asarray((clouds - low) / (high - low), np.float32)


def cut_middle(stack: ImageStack, shape: tuple[int, ...], *, name: str) -> FloatArray:
    """Cut the middle out of an image, mirrored where it is too small.

    Parameters
    ----------
    stack : ImageStack
        Of which the first slice is taken, or all as one volume.
    shape : tuple of int
        (C, [Z,] Y, X).
    name : str
        What messages call it.

    Returns
    -------
    ndarray of float32
        Grey values of 0..1.

    Raises
    ------
    DataError
        Another number of channels.
    """
    volume = len(shape) == len("CZYX")
    whole = stack.array.swapaxes(0, 1) if volume else stack.array[0]
    if whole.shape[0] != shape[0]:
        raise DataError(
            f"{name}: has {whole.shape[0]} channel(s); the net takes {shape[0]}"
        )
    image = to_unit_range(whole, name=name)
    for axis, size in enumerate(shape):
        missing = max(0, size - image.shape[axis])
        widths = [(0, 0)] * image.ndim
        widths[axis] = (missing // 2, missing - missing // 2)
        image = np.pad(image, widths, mode="symmetric")
        start = (image.shape[axis] - size) // 2
        image = np.take(image, np.arange(start, start + size), axis)
    return np.ascontiguousarray(image)


def draw_cover(path: Path, image: FloatArray, scores: FloatArray) -> None:
    """Draw the input beside the labels on it; of a volume the middle slice.

    Parameters
    ----------
    path : Path
        The PNG, twice as wide as high.
    image, scores : ndarray, shape (C, [Z,] Y, X) and (K, [Z,] Y, X)
    """
    from PIL import Image

    from pyunet.inference.pictures import comparison_panels

    if image.ndim == len("CZYX"):
        image = image[:, image.shape[1] // 2]
        scores = scores[:, scores.shape[1] // 2]
    side = min(scores.shape[1:])
    image, scores = (_middle(array, side) for array in (image, scores))
    labels = scores.argmax(0) if len(scores) > 1 else (scores[0] > 0).astype(int)
    panels = comparison_panels(image, labels, labels)
    picture = Image.fromarray(np.concatenate([panels[0], panels[-1]], axis=1))
    factor = max(1, COVER // side)
    picture.resize((2 * side * factor, side * factor), Image.Resampling.NEAREST).save(
        path
    )


def _middle(array: FloatArray, side: int) -> FloatArray:
    top, left = ((extent - side) // 2 for extent in array.shape[1:])
    return array[:, top : top + side, left : left + side]
