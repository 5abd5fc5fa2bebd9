"""Noise that SSD adds to pictures, by OpenCV's rules."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe.dialects.ssd.colours import rounded, to_hsv
from caffe.engine.sources import images
from caffe.errors import CheckError

Pixels = NDArray[np.uint8]
_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])[:, :, None]
_GREY = np.array([0.114, 0.587, 0.299], np.float32)
_SIGMA, _RADIUS = 1.5, 3
_STEP = 64  # between the levels of a posterised picture


def noisy(picture: Pixels, options: Any, rng: np.random.Generator) -> Pixels:
    """Do to a picture what a NoiseParameter asks for, always and in SSD's order.

    Parameters
    ----------
    options : NoiseParameter
        ``prob`` is not looked at, as in SSD.

    Raises
    ------
    CheckError
        For ``clahe`` and ``convert_to_lab``, which are not there.
    """
    _refuse(options)
    if options.decolorize:
        picture = np.broadcast_to(_grey(picture), picture.shape)
    if options.gauss_blur:
        picture = _blurred(picture)
    if options.hist_eq:
        picture = _equalised(picture)
    if options.jpeg > 0:
        raw = images.encode(picture, "jpg", quality=int(options.jpeg))
        picture = images.decode(raw, picture.shape[2] == 3)
    if options.erode:
        picture = _eroded(picture)
    if options.posterize:
        picture = picture // _STEP * _STEP + _STEP // 2
    if options.inverse:
        picture = 255 - picture
    if options.saltpepper:
        picture = _sprinkled(picture, options.saltpepper_param, rng)
    return to_hsv(picture) if options.convert_to_hsv else picture


def _refuse(options: Any) -> None:
    for name in ("clahe", "convert_to_lab"):
        if getattr(options, name):
            raise CheckError(f"noise_param has {name}: expected other noise")


def _grey(picture: Pixels) -> Pixels:
    """Brightness, as one channel."""
    if picture.shape[2] == 1:
        return picture
    return rounded(picture @ _GREY)[:, :, None]


def _blurred(picture: Pixels) -> Pixels:
    from scipy import ndimage  # costs a sixth of a second, which few need

    sigma, radius = (_SIGMA, _SIGMA, 0), (_RADIUS, _RADIUS, 0)
    wide = picture.astype(np.float32)
    blurred = ndimage.gaussian_filter(wide, sigma, mode="mirror", radius=radius)
    return rounded(blurred)


def _eroded(picture: Pixels) -> Pixels:
    from scipy import ndimage

    eroded: Pixels = ndimage.grey_erosion(picture, footprint=_CROSS)
    return eroded


def _equalised(picture: Pixels) -> Pixels:
    """Spread the brightness evenly; colours keep their distance to it."""
    grey = _grey(picture).astype(np.int64)
    counts = np.bincount(grey.reshape(-1), minlength=256)
    first = counts[counts > 0][0]
    scale = 255 / max(grey.size - first, 1)
    levels = np.rint((counts.cumsum() - first) * scale).clip(0)
    return rounded(picture + levels[grey] - grey)


def _sprinkled(picture: Pixels, options: Any, rng: np.random.Generator) -> Pixels:
    """Give pixels, drawn by chance, one colour."""
    values = list(options.value) or [0]
    if len(values) not in (1, picture.shape[2]):
        raise CheckError(
            f"saltpepper_param has {len(values)} values: expected 1 or "
            f"{picture.shape[2]}, one for each channel"
        )
    height, width = picture.shape[:2]
    count = int(options.fraction * height * width)
    picture = picture.copy()
    rows, columns = rng.integers(height, size=count), rng.integers(width, size=count)
    picture[rows, columns] = np.array(values).clip(0, 255)
    return picture
