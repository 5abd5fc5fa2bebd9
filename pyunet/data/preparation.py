"""What is done to the images of a data set before a net sees them.

The result is 0..1 in float32, as everywhere in ``pyunet.data``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pyunet.errors import DataError

Channels = Literal["grey", "green", "rgb", "as stored"]
CHANNELS: tuple[Channels, ...] = ("grey", "green", "rgb", "as stored")
LUMINANCE = (0.299, 0.587, 0.114)
DEVIATIONS = 6.0  # from black to white, after local contrast normalisation
REACH = 3.0  # standard deviations of the Gaussian window that count
FLAT = 1e-3  # least standard deviation that is taken for contrast
EYE_ROWS = 256  # looked at together
EYE_BRIGHTNESS = 0.1  # of the brightest channel, where a fundus camera sees the eye


@dataclass(frozen=True)
class Preparation:
    """How the grey values of one image become what the net is given.

    Attributes
    ----------
    channels : {"grey", "green", "rgb", "as stored"}
        Grey is the luminance of a colour image (ITU-R BT.601); green its second
        channel; rgb repeats a grey image three times.
    local_contrast : float, default 0
        Standard deviation, in pixels, of the Gaussian window within which the image
        gets mean 0.5 and a standard deviation of 1/6; 0 leaves it as it is.
    window : (low, high), optional
        Values that become 0 and 1, the rest is clipped: Hounsfield units of a CT.
        Default: by the type, 8-bit / 255 and 16-bit / 65535; other types from their
        smallest to their largest value.
    eye_width : float, default 0
        Pixels that the field of view of a fundus photograph is brought to before
        local contrast, see `pyunet.inference.eyes`; 0 leaves it as it is.

    Raises
    ------
    DataError
        Another name of channels, a negative size, an empty window.
    """

    channels: Channels = "grey"
    local_contrast: float = 0.0
    window: tuple[float, float] | None = None
    eye_width: float = 0.0

    def __post_init__(self) -> None:
        if self.channels not in CHANNELS:
            raise DataError(
                f"channels {self.channels!r}: expected one of {', '.join(CHANNELS)}"
            )
        if self.local_contrast < 0:
            raise DataError(
                f"local contrast within {self.local_contrast} pixels: expected 0 "
                "or more"
            )
        if self.eye_width < 0 or (self.eye_width and not self.local_contrast):
            raise DataError(
                f"a field of view of {self.eye_width:g} pixels: expected 0 or "
                "more, with local contrast"
            )
        if self.window and not self.window[0] < self.window[1]:
            raise DataError(
                f"window {self.window[0]:g} to {self.window[1]:g}: expected "
                "two rising values"
            )

    def apply(
        self, image: NDArray[Any], inside: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """Prepare one image.

        Parameters
        ----------
        image : ndarray, shape (C, [Z,] Y, X)
        inside : ndarray of bool, shape ([Z,] Y, X), optional
            The field of view; what lies outside has no part in local contrast and
            becomes 0.5.

        Returns
        -------
        ndarray of float32, shape (C', [Z,] Y, X)

        Raises
        ------
        DataError
            Channels that are not there, NaN or infinite values; one value everywhere,
            where the smallest and the largest are to become 0 and 1.

        Examples
        --------
        >>> image = np.array([[[0, 51, 255]]], np.uint8)
        >>> Preparation().apply(image).tolist()
        [[[0.0, 0.20000000298023224, 1.0]]]
        >>> Preparation("rgb").apply(image).shape
        (3, 1, 3)
        """
        values = self._unit(self._choose(image))
        if not self.local_contrast:
            return values
        return np.stack(
            [local_contrast(plane, self.local_contrast, inside) for plane in values]
        )

    def count(self, stored: int) -> int:
        """Give how many channels an image of so many has afterwards.

        >>> Preparation("rgb").count(1), Preparation("as stored").count(4)
        (3, 4)
        """
        return {"rgb": 3, "as stored": stored}.get(self.channels, 1)

    def _choose(self, image: NDArray[Any]) -> NDArray[Any]:
        if self.channels == "as stored":
            return image
        if len(image) not in (1, 3, 4):
            raise DataError(
                f"an image of {len(image)} channels has no channels "
                f"'{self.channels}'; expected 1, 3 or 4 (the last is left out)"
            )
        colour = image[:3]
        if self.channels == "rgb":
            return np.repeat(colour, 3, axis=0) if len(colour) == 1 else colour
        if len(colour) == 1:
            return colour
        if self.channels == "green":
            return colour[1:2]
        grey = np.tensordot(np.array(LUMINANCE), colour, 1)[None]
        return (
            grey.astype(image.dtype)
            if image.dtype.kind == "f"
            else _rounded(grey, image.dtype)
        )

    def _unit(self, image: NDArray[Any]) -> NDArray[np.float32]:
        if self.window is None and image.dtype in (np.uint8, np.uint16):
            largest = np.iinfo(image.dtype).max
            return image.astype(np.float32) / np.float32(largest)
        low, high = self.window or (float(image.min()), float(image.max()))
        if not (np.isfinite(image).all() and 0 < high - low < math.inf):
            least, most = float(image.min()), float(image.max())
            raise DataError(
                f"has grey values from {least:g} to {most:g}; expected finite ones, "
                "not all the same"
            )
        scaled = (image.astype(np.float64) - low) / (high - low)
        return np.clip(scaled, 0, 1).astype(np.float32)


def local_contrast(
    plane: NDArray[np.float32],
    sigma: float,
    inside: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Give every neighbourhood the same mean and contrast.

    ``0.5 + (v - mean) / (6 deviation)``, clipped to 0..1, where mean and standard
    deviation are those of a Gaussian window. Pixels outside the field of view have
    no weight in it.

    Parameters
    ----------
    plane : ndarray of float32, shape ([Z,] Y, X)
    sigma : float
        Of the window, pixels.
    inside : ndarray of bool, same shape, optional
        The field of view; default: everywhere.

    Returns
    -------
    ndarray of float32, same shape
        0.5 outside of the field of view.

    Examples
    --------
    A constant image has no contrast:

    >>> local_contrast(np.full((3, 4), 0.7, np.float32), 2.0).round(3).max()
    np.float32(0.5)
    """
    weight = np.ones_like(plane) if inside is None else inside.astype(np.float32)

    def smooth(values: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(
            ndimage.gaussian_filter(values * weight, sigma, truncate=REACH)
        )

    share = np.maximum(smooth(np.ones_like(plane)), 1e-6)
    mean = smooth(plane) / share
    # about the local mean, as the difference of two large squares would be inexact
    centred = plane - mean
    deviation = np.sqrt(np.maximum(smooth(centred**2) / share, 0))
    result = 0.5 + centred / (DEVIATIONS * np.maximum(deviation, FLAT))
    return np.where(weight > 0, np.clip(result, 0, 1), 0.5).astype(np.float32)


def eye_of(image: NDArray[Any]) -> NDArray[np.bool_]:
    """Find the field of view of a fundus photograph: where it is not black.

    The brightest channel above a tenth of its range, holes filled, the largest
    region, without the outermost two pixels.

    Parameters
    ----------
    image : ndarray, shape (C, Y, X)

    Returns
    -------
    ndarray of bool, shape (Y, X)

    Examples
    --------
    >>> image = np.zeros((3, 9, 9), np.uint8)
    >>> image[0, 1:8, 1:8] = 90
    >>> int(eye_of(image).sum())
    9
    """
    bright = _bright(image)
    regions, count = ndimage.label(ndimage.binary_fill_holes(bright))
    if not count:
        return np.ones(bright.shape, bool)
    sizes = np.zeros(count + 1, np.int64)
    for rows in regions:  # counting all at once would copy them
        sizes += np.bincount(rows, minlength=count + 1)
    largest = sizes[1:].argmax() + 1
    return np.asarray(ndimage.binary_erosion(regions == largest, iterations=2), bool)


def _bright(image: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell where the brightest channel is above a tenth of its range."""
    bands = [slice(i, i + EYE_ROWS) for i in range(0, image.shape[1], EYE_ROWS)]
    extremes = []
    for rows in bands:
        brightest = image[:, rows].max(axis=0).astype(np.float64)
        extremes.append((brightest.min(), brightest.max()))
    low, high = min(low for low, _ in extremes), max(high for _, high in extremes)
    bright = np.empty(image.shape[1:], bool)
    for rows in bands:
        brightest = image[:, rows].max(axis=0).astype(np.float64)
        bright[rows] = brightest > low + EYE_BRIGHTNESS * (high - low)
    return bright


def _rounded(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.asarray(np.rint(values), dtype)
