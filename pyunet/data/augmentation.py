"""Augmentation of the U-Net paper: elastic deformation, rotation, mirroring, greys.

Source: Ronneberger, Fischer, Brox: U-Net (MICCAI 2015), section 3.1: random
displacement vectors on a coarse 3 x 3 grid, Gaussian with 10 pixels standard
deviation, per-pixel displacements by bicubic interpolation. A deformation is a field
of source coordinates, made once and applied to image, label and weights alike.
Beyond its border an image is mirrored without repeating the edge.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pyunet.errors import DataError

Field = NDArray[np.float32]
Number = TypeVar("Number", bound=np.generic)
ORDERS = {"linear": 1, "cubic": 3}


@dataclass(frozen=True)
class Augmentation:
    """What is varied at random, and how much.

    Attributes
    ----------
    elastic_std : float, default 10
        Standard deviation of the grid's displacements in pixels; 0 turns it off.
    elastic_grid : int, default 3
        Grid nodes along each axis, the outer ones on the tile's corners.
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
        A magnitude below 0, a grid of fewer than 2 nodes, grey of 1 or more.

    Examples
    --------
    >>> Augmentation(elastic_std=0, rotate=False).elastic_grid
    3
    """

    elastic_std: float = 10.0
    elastic_grid: int = 3
    rotate: bool = True
    mirror: bool = True
    shift: bool = True
    grey: float = 0.2
    interpolation: Literal["cubic", "linear"] = "cubic"

    def __post_init__(self) -> None:
        if not self.elastic_std >= 0 or self.elastic_grid < 2:
            raise DataError(
                f"elastic deformation of {self.elastic_std} pixels on a grid of "
                f"{self.elastic_grid} nodes: accepted are >= 0 pixels and >= 2 nodes"
            )
        if not 0 <= self.grey < 1:
            raise DataError(f"grey variation {self.grey}: accepted is 0 up to below 1")


def elastic_field(
    shape: tuple[int, int], rng: np.random.Generator, *, std: float, grid: int = 3
) -> Field:
    """Draw a smooth random displacement of every pixel.

    Between the nodes of the grid the displacement is a bicubic spline that passes
    through them (uniform cubic B-spline, mirrored at the outer nodes, as
    ``scipy.ndimage`` with order 3 and mode "mirror").

    Parameters
    ----------
    shape : (Y, X)
        Size of the tile in pixels.
    rng : numpy Generator
        Source of randomness.
    std : float
        Standard deviation at the nodes, pixels.
    grid : int, default 3
        Nodes along each axis.

    Returns
    -------
    ndarray of float32, shape (2, Y, X)
        Displacements along y and x, pixels.

    Examples
    --------
    >>> field = elastic_field((5, 7), np.random.default_rng(0), std=10.0)
    >>> node = 10 * np.random.default_rng(0).standard_normal()
    >>> field.shape, bool(np.isclose(field[0, 0, 0], node))
    ((2, 5, 7), True)
    """
    nodes = rng.normal(0.0, std, (2, grid, grid)) if std else np.zeros((2, grid, grid))
    rows, columns = (_spline_basis(length, grid) for length in shape)
    field: Field = (rows @ nodes @ columns.T).astype(np.float32)
    return field


@functools.lru_cache(maxsize=8)
def _spline_basis(length: int, nodes: int) -> NDArray[np.float64]:
    """Weights of the nodes at every pixel of an axis, shape (length, nodes)."""
    at = np.linspace(0, nodes - 1, length)
    columns = [
        ndimage.map_coordinates(unit, [at], order=3, mode="mirror")
        for unit in np.eye(nodes)
    ]
    return np.stack(columns, axis=1)


def random_coordinates(
    shape: tuple[int, int],
    centre: tuple[float, float],
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> Field:
    """Draw where every pixel of a tile is read in the image.

    The tile is displaced elastically, then mirrored, rotated about its centre and
    moved to ``centre``.

    Parameters
    ----------
    shape : (Y, X)
        Size of the tile in pixels.
    centre : (y, x)
        Where the middle of the tile lies in the image, in pixel coordinates.
    augmentation : Augmentation
        What to vary.
    rng : numpy Generator
        Source of randomness.

    Returns
    -------
    ndarray of float32, shape (2, Y, X)
        Coordinates y and x in the image; they may lie outside of it.

    Examples
    --------
    >>> still = Augmentation(elastic_std=0, rotate=False, mirror=False)
    >>> rng = np.random.default_rng(0)
    >>> random_coordinates((1, 3), (10, 20), still, rng).tolist()
    [[[10.0, 10.0, 10.0]], [[19.0, 20.0, 21.0]]]
    """
    y, x = elastic_field(
        shape, rng, std=augmentation.elastic_std, grid=augmentation.elastic_grid
    )
    y += (np.arange(shape[0], dtype=np.float32) - (shape[0] - 1) / 2)[:, None]
    x += np.arange(shape[1], dtype=np.float32) - (shape[1] - 1) / 2
    angle = rng.uniform(0, 2 * np.pi) if augmentation.rotate else 0.0
    side = np.float32(-1 if augmentation.mirror and rng.random() < 0.5 else 1)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    x *= side
    return np.stack(
        [
            cos * y - sin * x + np.float32(centre[0]),
            sin * y + cos * x + np.float32(centre[1]),
        ]
    )


def prepare_image(
    image: NDArray[np.float32], interpolation: Literal["cubic", "linear"]
) -> NDArray[np.float32]:
    """Give what `warp_image` reads: spline coefficients for cubic, else the image.

    Parameters
    ----------
    image : ndarray of float32, shape (..., Y, X)
        Grey values.
    interpolation : {"cubic", "linear"}

    Returns
    -------
    ndarray of float32, same shape
    """
    if interpolation == "linear":
        return image
    prepared = image
    for axis in (-2, -1):
        prepared = ndimage.spline_filter1d(
            prepared, 3, axis=axis, output=np.float32, mode="mirror"
        )
    return prepared


def warp_image(
    prepared: NDArray[np.float32],
    coordinates: Field,
    interpolation: Literal["cubic", "linear"],
) -> NDArray[np.float32]:
    """Read an image at coordinates, smoothly.

    Parameters
    ----------
    prepared : ndarray of float32, shape (C, Y, X)
        From `prepare_image`, with the same interpolation.
    coordinates : ndarray, shape (2, tile Y, tile X)
        Pixel coordinates y, x.
    interpolation : {"cubic", "linear"}

    Returns
    -------
    ndarray of float32, shape (C, tile Y, tile X)

    Examples
    --------
    >>> image = np.array([[[0.0, 1.0, 4.0]]], np.float32)
    >>> at = np.array([[[0.0, 0.0]], [[0.5, -1.0]]], np.float32)
    >>> warp_image(prepare_image(image, "linear"), at, "linear").tolist()
    [[[0.5, 1.0]]]
    """
    order = ORDERS[interpolation]
    return np.stack([_read(c, coordinates, order, np.float32) for c in prepared])


def warp_labels(labels: NDArray[Number], coordinates: Field) -> NDArray[Number]:
    """Read a label image (Y, X) at coordinates (2, tile Y, tile X): nearest pixel.

    Examples
    --------
    >>> at = np.array([[[0.0, 0.0]], [[0.6, 1.4]]], np.float32)
    >>> warp_labels(np.array([[3, 7, 9]], np.uint8), at).tolist()
    [[7, 7]]
    """
    read: NDArray[Number] = _read(labels, coordinates, 0, labels.dtype)
    return read


def warp_weights(weights: NDArray[np.float32], coordinates: Field) -> Field:
    """Read a weight map (Y, X) at coordinates (2, tile Y, tile X): linear."""
    read: Field = _read(weights, coordinates, 1, np.float32)
    return read


def _read(plane: NDArray[Any], coordinates: Field, order: int, dtype: Any) -> Any:
    return ndimage.map_coordinates(
        plane, coordinates, order=order, mode="mirror", prefilter=False, output=dtype
    )


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
        0 (no change, but for clipping) up to below 1.

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
