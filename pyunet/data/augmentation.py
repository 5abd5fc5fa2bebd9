"""Augmentation of the U-Net paper: elastic deformation, rotation, mirroring, greys.

Source: Ronneberger, Fischer, Brox: U-Net (MICCAI 2015), section 3.1. A deformation is
a field of source coordinates, made once (`pyunet.data.fields` draws its elastic part)
and applied to image, label and weights alike. Beyond its border an image is mirrored
without repeating the edge. Volumes are turned and mirrored within their slices only:
voxels are seldom as deep as they are wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from pyunet.data.fields import FIELDS, Field, FieldName, Spacing, Std, elastic_field
from pyunet.data.reading import (
    read_cubic,
    read_linear,
    read_nearest,
    spline_coefficients,
)
from pyunet.errors import DataError

Number = TypeVar("Number", bound=np.generic)
Interpolation = Literal["linear", "cubic"]


@dataclass(frozen=True)
class Augmentation:
    """What is varied at random, and how much.

    Attributes
    ----------
    field : {"paper", "freiburg"}
        Kind of elastic deformation, see `pyunet.data.fields`.
    elastic_std : float or one an axis, default 10
        Standard deviation of the grid's displacements in pixels; 0 turns it off.
    elastic_grid : int, default 3
        ``paper``: grid nodes along each axis, the outer ones on the tile's corners.
    elastic_spacing : int or one an axis, default 150
        ``freiburg``: pixels between control points.
    rotate : bool, default True
        Rotate by a uniform angle of 0 to 360 degrees about the tile's centre.
    mirror : bool, default True
        Mirror every second tile (with rotation, that is every mirroring).
    shift : bool, default True
        Take tiles from random positions; else from the plain grid of tiles.
    grey : float, default 0.2
        Magnitude g of grey-value variation, see `vary_grey`; 0 turns it off.
    interpolation : {"cubic", "linear"}
        How grey values are interpolated; cubic does not blur. Labels always take
        the nearest pixel, weights are linear.

    Raises
    ------
    DataError
        A magnitude below 0, a grid of fewer than 2 nodes, a spacing below 1, grey of
        1 or more, a field of another name.

    Examples
    --------
    >>> Augmentation(elastic_std=0, rotate=False).elastic_grid
    3
    """

    elastic_std: Std = 10.0
    elastic_grid: int = 3
    rotate: bool = True
    mirror: bool = True
    shift: bool = True
    grey: float = 0.2
    interpolation: Interpolation = "cubic"
    field: FieldName = "paper"
    elastic_spacing: Spacing = 150

    def __post_init__(self) -> None:
        if self.field not in FIELDS:
            raise DataError(f"field {self.field!r}: expected {' or '.join(FIELDS)}")
        if not np.min(self.elastic_std) >= 0 or self.elastic_grid < 2:
            raise DataError(
                f"elastic deformation of {self.elastic_std} pixels on a grid of "
                f"{self.elastic_grid} nodes: expected >= 0 pixels and >= 2 nodes"
            )
        if np.min(self.elastic_spacing) < 1:
            raise DataError(
                f"control points every {self.elastic_spacing} pixels: expected 1 "
                "or more"
            )
        if not 0 <= self.grey < 1:
            raise DataError(f"grey variation {self.grey}: expected 0 <= variation < 1")


def random_coordinates(
    shape: tuple[int, ...],
    centre: tuple[float, ...],
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> Field:
    """Draw where every pixel of a tile is read in the image.

    The tile is displaced elastically, then mirrored, rotated about its centre and
    moved to ``centre``. With the field ``freiburg`` the rotation's centre is half the
    size, as in CreateDeformation: half a pixel beyond the middle of the tile.

    Parameters
    ----------
    shape : ([Z,] Y, X)
        Size of the tile in pixels.
    centre : ([z,] y, x)
        Where the middle of the tile lies in the image, in pixel coordinates.
    augmentation : Augmentation
        What to vary.
    rng : numpy Generator
        Source of randomness.

    Returns
    -------
    ndarray of float32, shape (axes, [Z,] Y, X)
        Coordinates in the image; they may lie outside of it.

    Examples
    --------
    >>> still = Augmentation(elastic_std=0, rotate=False, mirror=False)
    >>> rng = np.random.default_rng(0)
    >>> random_coordinates((1, 3), (10, 20), still, rng).tolist()
    [[[10.0, 10.0, 10.0]], [[19.0, 20.0, 21.0]]]
    """
    at = elastic_field(
        shape,
        rng,
        std=augmentation.elastic_std,
        grid=augmentation.elastic_grid,
        field=augmentation.field,
        spacing=augmentation.elastic_spacing,
    )
    angle = rng.uniform(0, 2 * np.pi) if augmentation.rotate else 0.0
    mirrored = bool(augmentation.mirror and rng.random() < 0.5)
    beyond = 0.5 if augmentation.field == "freiburg" else 0.0
    for axis, (place, length) in enumerate(zip(at, shape, strict=True)):
        ruler = np.arange(length, dtype=np.float32) - np.float32(
            (length - 1) / 2 + beyond
        )
        place += ruler.reshape(-1, *(1,) * (len(shape) - 1 - axis))
    if mirrored:
        np.negative(at[-1], out=at[-1])
    if angle:
        _turn(at, angle)
    for place, middle in zip(at, centre, strict=True):
        place += np.float32(middle + beyond)
    return at


def _turn(at: Field, angle: float) -> None:
    """Rotate y and x in place."""
    y, x = at[-2], at[-1]
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    turned = cos * y - sin * x
    x *= cos
    x += sin * y
    y[...] = turned


def prepare_image(
    image: NDArray[np.float32], interpolation: Interpolation, *, axes: int = 2
) -> NDArray[np.float32]:
    """Give what `warp_image` reads: spline coefficients for cubic, else the image.

    Parameters
    ----------
    image : ndarray of float32, shape (..., [Z,] Y, X)
        Grey values.
    interpolation : {"cubic", "linear"}
    axes : int, default 2
        How many of the last axes are space.

    Returns
    -------
    ndarray of float32, same shape
    """
    return image if interpolation == "linear" else spline_coefficients(image, axes)


def warp_image(
    prepared: NDArray[np.float32], coordinates: Field, interpolation: Interpolation
) -> NDArray[np.float32]:
    """Read an image at coordinates, smoothly.

    Parameters
    ----------
    prepared : ndarray of float32, shape (C, [Z,] Y, X)
        From `prepare_image`, with the same interpolation.
    coordinates : ndarray, shape (axes, tile ...)
        Pixel coordinates ([z,] y, x).
    interpolation : {"cubic", "linear"}

    Returns
    -------
    ndarray of float32, shape (C, tile ...)

    Examples
    --------
    >>> image = np.array([[[0.0, 1.0, 4.0]]], np.float32)
    >>> at = np.array([[[0.0, 0.0]], [[0.5, -1.0]]], np.float32)
    >>> warp_image(prepare_image(image, "linear"), at, "linear").tolist()
    [[[0.5, 1.0]]]
    """
    read = read_linear if interpolation == "linear" else read_cubic
    return read(prepared, coordinates)


def warp_labels(labels: NDArray[Number], coordinates: Field) -> NDArray[Number]:
    """Read a label image ([Z,] Y, X) at coordinates (axes, tile ...): nearest pixel.

    Examples
    --------
    >>> at = np.array([[[0.0, 0.0]], [[0.6, 1.4]]], np.float32)
    >>> warp_labels(np.array([[3, 7, 9]], np.uint8), at).tolist()
    [[7, 7]]
    """
    return read_nearest(labels, coordinates)


def warp_weights(weights: NDArray[np.float32], coordinates: Field) -> Field:
    """Read a weight map ([Z,] Y, X) at coordinates (axes, tile ...): linear."""
    return np.asarray(read_linear(weights[None], coordinates)[0])


def vary_grey(
    image: NDArray[np.float32], rng: np.random.Generator, magnitude: float
) -> NDArray[np.float32]:
    """Put grey values of 0..1 through a random rising curve, clipped to 0..1.

    ``gain * (v**gamma - 1/2) + 1/2 + offset`` with gain uniform in 1 -+ g, log(gamma)
    uniform in -+ g and offset uniform in -+ g/2, where g is the magnitude.

    Parameters
    ----------
    image : ndarray of float32, any shape
        Grey values 0..1.
    rng : numpy Generator
        Source of randomness.
    magnitude : float
        From 0 (only clipping changes anything) to below 1.

    Returns
    -------
    ndarray of float32, same shape, 0..1

    Examples
    --------
    >>> grey = np.array([0.0, 0.25, 1.0], np.float32)
    >>> vary_grey(grey, np.random.default_rng(0), 0.0).tolist()
    [0.0, 0.25, 1.0]
    """
    clipped = np.clip(image, 0, 1)
    if magnitude == 0:
        return clipped
    gain, gamma, offset = rng.uniform(-magnitude, magnitude, 3)
    curved = np.power(clipped, np.float32(np.exp(gamma)))
    curved -= np.float32(0.5)
    curved *= np.float32(1 + gain)
    curved += np.float32(0.5 + offset / 2)
    return np.clip(curved, 0, 1, out=curved)
