"""Thresholds on the grey values: what a trained net has to beat."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from pyunet.errors import DataError

SMOOTHING = 2.0


def otsu(
    images: NDArray[Any], *, sigma: float = 0.0
) -> tuple[NDArray[np.bool_], float]:
    """Cut images at one Otsu threshold; the brighter side is inside.

    Parameters
    ----------
    images : array, shape (Z, Y, X)
        Grey values; the threshold is that of all slices together.
    sigma : float, default 0
        Standard deviation, in pixels, of a Gaussian that smooths each slice first.

    Returns
    -------
    inside : array of bool, shape (Z, Y, X)
        True where the (smoothed) grey value is above the threshold; nowhere if all
        grey values are the same.
    threshold : float
        In units of the grey values.

    Raises
    ------
    DataError
        Not three axes, no pixels, NaN or infinite grey values.

    References
    ----------
    N. Otsu, "A threshold selection method from gray-level histograms", IEEE Trans.
    Syst. Man Cybern. 9, 1979.

    Examples
    --------
    >>> inside, threshold = otsu(np.array([[[10, 12, 200, 202]]]))
    >>> inside.tolist(), 12 <= threshold < 200
    ([[[False, False, True, True]]], True)
    """
    if images.ndim != 3 or not images.size or not np.isfinite(images).all():
        raise DataError(
            f"images of shape {images.shape} cannot be thresholded: expected "
            "slices (Z, Y, X) of numbers"
        )
    grey = images
    if sigma > 0:
        grey = ndimage.gaussian_filter(images.astype(np.float32), (0, sigma, sigma))
    threshold = float(threshold_otsu(grey.ravel()))  # type: ignore[no-untyped-call]
    return grey > threshold, threshold
