"""Photographs of the retina at one scale, with the same contrast everywhere.

Nobody knows the pixel size of such a photograph; what all have is the round field of
view on black. Training (`pyunet.reproduction`) and segmenting both prepare like this.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pyunet.data.preparation import local_contrast
from pyunet.errors import DataError
from pyunet.inference.resize import resize_to

FARTHEST = 8.0
ALIKE = 0.02  # widths that differ by less are the same
WHOLE = 0.98  # of an image: nothing of the field's edge is seen
EDGE_PX = 4  # what `eye_of` leaves out along both sides of an image


def eye_width(eyes: Sequence[NDArray[np.bool_]]) -> float:
    """Measure fields of view: the longest row or column, the median of all.

    Parameters
    ----------
    eyes : sequence of ndarray of bool, shape (Y, X)
        Of images of one size, from `pyunet.data.preparation.eye_of`.

    Returns
    -------
    float
        Pixels; 0 where they fill the images and so have no edge to be seen.

    Examples
    --------
    >>> y, x = np.mgrid[:100, :120]
    >>> eye_width([np.hypot(y - 50, x - 60) < 40.5]), eye_width([y >= 0])
    (81.0, 0.0)
    """
    height, width = eyes[0].shape
    frame = max(1, (height - EDGE_PX) * (width - EDGE_PX))
    if float(np.median([eye.sum() for eye in eyes])) > WHOLE * frame:
        return 0.0
    return float(np.median([max(*eye.sum(axis=0), *eye.sum(axis=1)) for eye in eyes]))


def eye_extent(
    eyes: Sequence[NDArray[np.bool_]], width_px: float, *, name: str
) -> tuple[int, ...]:
    """Give the size at which the field of view is as wide as a net wants it.

    Parameters
    ----------
    eyes : sequence of ndarray of bool, shape (Y, X)
        Of images of one size.
    width_px : float
        As the net wants it.
    name : str
        Of the images, for errors.

    Returns
    -------
    (Y, X)
        The images' own where the width is the net's to 2 %, or cannot be seen.

    Raises
    ------
    DataError
        A field of view more than 8 times wider or narrower.

    Examples
    --------
    >>> y, x = np.mgrid[:200, :240]
    >>> eye = np.hypot(y - 100, x - 120) < 80.5
    >>> eye_extent([eye], 322, name="a")
    (400, 480)
    """
    own, width = eyes[0].shape, eye_width(eyes)
    if not width:
        return own
    if not width_px / FARTHEST <= width <= width_px * FARTHEST:
        raise DataError(
            f"{name}: its field of view is {width:g} pixels wide, the model's "
            f"{width_px:g}; accepted is up to {FARTHEST:g} times more or less"
        )
    scale = width_px / width
    if abs(scale - 1) < ALIKE:
        return own
    return tuple(max(1, round(pixels * scale)) for pixels in own)


def even_contrast(
    image: NDArray[np.float32],
    extent: Sequence[int],
    sigma_px: float,
    *,
    eye: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Bring an image to a size, then to the same mean and contrast everywhere.

    Parameters
    ----------
    image : ndarray of float32, shape (C, Y, X)
        Values 0..1.
    extent : (Y', X')
    sigma_px : float
        Of the window of `local_contrast`, in pixels of the new size.
    eye : ndarray of bool, shape (Y, X), optional
        Only what lies inside has a part in it; default: everything.

    Returns
    -------
    ndarray of float32, shape (C, Y', X')

    Examples
    --------
    >>> even_contrast(np.full((1, 2, 3), 0.7, np.float32), (4, 6), 2.0).shape
    (1, 4, 6)
    """
    same = tuple(extent) == image.shape[-2:]
    sized = image if same else resize_to(image, extent)
    inside = None
    if eye is not None:
        inside = eye if same else resize_to(eye.astype(np.float32), extent) > 0.5
    return np.stack([local_contrast(plane, sigma_px, inside) for plane in sized])
