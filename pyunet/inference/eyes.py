"""Photographs of the retina at one scale, with the same contrast everywhere.

Nobody knows the pixel size of such a photograph; what all have is the round field of
view on black. Training (`pyunet_reproduce`) and segmenting both prepare like this.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from pyunet.data.preparation import REACH, local_contrast
from pyunet.errors import DataError
from pyunet.inference.resize import Triangle
from pyunet.inference.tiling import Window
from pyunet.inference.windows import (
    Place,
    changed,
    everywhere,
    in_blocks,
    inside,
    of_array,
    pixel_count,
    resampled,
)

FARTHEST = 8.0
ALIKE = 0.02  # widths that differ by less are the same
WHOLE = 0.98  # of an image: nothing of the field's edge is seen
EDGE_PX = 4  # what `eye_of` leaves out along both sides of an image


def eye_width(eyes: Iterable[NDArray[np.bool_]]) -> float:
    """Measure fields of view: the longest row or column, the median of all.

    Parameters
    ----------
    eyes : iterable of ndarray of bool, shape (Y, X)
        Of images of one size, from `pyunet.data.preparation.eye_of`; held one at a
        time.

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
    measured = []
    for eye in eyes:
        height, width = eye.shape
        frame = max(1, (height - EDGE_PX) * (width - EDGE_PX))
        longest = max(*eye.sum(axis=0), *eye.sum(axis=1))
        measured.append((eye.sum() / frame, longest))
    shares, widths = np.median(measured, axis=0)
    return 0.0 if shares > WHOLE else float(widths)


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
    return extent_of(eyes[0].shape, eye_width(eyes), width_px, name=name)


def extent_of(
    own: tuple[int, ...], width: float, width_px: float, *, name: str
) -> tuple[int, ...]:
    """Give the size of `eye_extent` for a width that is known.

    Parameters
    ----------
    own : (Y, X)
    width, width_px : float
        Of the field of view, measured and as a net wants it.
    name : str
    """
    if not width:
        return own
    if not width_px / FARTHEST <= width <= width_px * FARTHEST:
        raise DataError(
            f"{name}: its field of view is {width:g} pixels wide, the model's "
            f"{width_px:g}; expected up to {FARTHEST:g} times more or less"
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
    own = image.shape[-2:]
    forth = None if tuple(extent) == own else Triangle(own, extent)
    sized = resampled(of_array(image), forth)
    seen = None if eye is None else eye_window(eye, forth)
    return even_window(sized, extent, sigma_px, eye=seen)(everywhere(extent))


def eye_window(eye: NDArray[np.bool_], forth: Triangle | None) -> Window:
    """Read a field of view (Y, X) at a net's pixels."""
    window = of_array(eye[None])
    if forth is None:
        return window
    shares = resampled(changed(window, lambda part: part.astype(np.float32)), forth)
    return changed(shares, lambda part: part > 0.5)


def even_window(
    window: Window, extent: Sequence[int], sigma_px: float, *, eye: Window | None = None
) -> Window:
    """Do what `even_contrast` does to an image that is read in windows.

    Parameters
    ----------
    window, eye : callable
        The image and its field of view, at their new size.
    extent : (Y', X')
        That size.
    sigma_px : float
    """
    # of a neighbourhood the mean, and of the distance to it the mean once more
    reach = 2 * int(REACH * sigma_px + 0.5)

    def wider(at: Place) -> Place:
        return tuple(
            slice(max(0, one.start - reach), min(length, one.stop + reach))
            for one, length in zip(at, extent, strict=True)
        )

    def even(at: Place) -> NDArray[np.float32]:
        around = wider(at)
        seen = None if eye is None else eye(around)[0]
        planes = [local_contrast(plane, sigma_px, seen) for plane in window(around)]
        own = inside(at, around)
        return np.stack([plane[own] for plane in planes])

    return in_blocks(even, lambda at: pixel_count(wider(at)) / pixel_count(at))
