"""Images of round cells and nuclei, of several kinds of light microscopy, with truth.

Outlines are ellipses with some harmonics, apart or touching; where two would overlap,
each has the pixels that are deeper inside it, except for a thin line between them.
What a microscope makes of them is in `pyunet_synthetic.optics`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from skimage import measure

from pyunet.errors import DataError
from pyunet_synthetic.optics import OPTICS, Scene, broad_noise, display

KINDS = tuple(OPTICS)
RADII = (6.0, 30.0)
SIZE_SPREAD = 0.15  # of the logarithm of radii within an image
NEIGHBOURS = 6
FAR = 2.0
GAP_PX = 2.0  # background between cells that touch
HARMONICS = np.arange(2, 6)
LEAST_PX = 30  # smaller pieces are cells that another one covers, or the border cuts


def synthetic_cells(
    images: int,
    size: int,
    *,
    kinds: Sequence[str] = KINDS,
    rng: np.random.Generator | int = 0,
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Make images of cells and their true numbers.

    Parameters
    ----------
    images : int
        How many, 1 or more.
    size : int
        Height and width in pixels, 64 or more.
    kinds : sequence of {"fluorescence", "phase", "dic", "bright-field", "histology"}
        Kinds of images, taken in turn; default: all.
    rng : numpy Generator or int, default 0
        Source of randomness; equal seeds give equal images.

    Returns
    -------
    images : ndarray of uint8, shape (images, size, size)
        Mean grey values are 0.30 to 0.60 of 255, standard deviations 0.10 to 0.225,
        before what is too bright or dark is cut off.
    labels : ndarray of uint16, same shape
        0 background, cells 1, 2, ... in each image; mean radii are 6 to 30 pixels.
        Cells that touch are parted by about 2 pixels of background.

    Raises
    ------
    DataError
        No image, less than 64 pixels, an unknown kind.

    Examples
    --------
    >>> images, labels = synthetic_cells(2, 96, kinds=["phase"], rng=1)
    >>> images.shape, images.dtype, labels.dtype, bool(labels.max() > 1)
    ((2, 96, 96), dtype('uint8'), dtype('uint16'), True)
    """
    unknown = [kind for kind in kinds if kind not in OPTICS]
    if images < 1 or size < 64 or unknown or not kinds:
        raise DataError(
            f"{images} images of {size} pixels, {', '.join(kinds) or 'of no kind'}: "
            f"expected 1 or more images of 64 or more pixels, {', '.join(KINDS)}"
        )
    rng = np.random.default_rng(rng)
    grey = np.empty((images, size, size), np.uint8)
    labels = np.empty((images, size, size), np.uint16)
    for number in range(images):
        scene = draw_cells(size, rng)
        kind = kinds[number % len(kinds)]
        grey[number] = display(OPTICS[kind](scene, rng), rng)
        labels[number] = scene.owner
    return grey, labels


def draw_cells(size: int, rng: np.random.Generator) -> Scene:
    """Draw the outlines of one image's cells.

    Parameters
    ----------
    size : int
        Height and width in pixels.
    rng : numpy Generator

    Returns
    -------
    Scene
    """
    mean = float(np.exp(rng.uniform(*np.log(RADII))))
    points = _places(size, mean, rng)
    radii = mean * np.exp(rng.normal(0, SIZE_SPREAD, len(points)))
    grid = np.moveaxis(np.indices((size, size), np.float64), 0, -1)
    _, near = cKDTree(points).query(grid, k=min(NEIGHBOURS, len(points)))
    near = near.reshape(size, size, -1)
    depth = _normalised_radius(grid[:, :, None] - points[near], radii, near, rng)
    first = depth.argmin(axis=2, keepdims=True)
    radius = np.take_along_axis(depth, first, 2)[..., 0]
    np.put_along_axis(depth, first, np.inf, 2)
    second = depth.min(axis=2)
    inside = (radius < 1) & ((second - radius) * mean > GAP_PX)
    owner = np.where(inside, 1 + np.take_along_axis(near, first, 2)[..., 0], 0)
    # cells that touch are flat there, too
    radius = np.maximum(radius, (radius / second) ** rng.uniform(2, 8))
    # a cell that others cut in two is two
    parts = measure.label(  # type: ignore[no-untyped-call]
        owner, background=0, connectivity=1
    )
    parts = np.where(np.bincount(parts.ravel())[parts] >= LEAST_PX, parts, 0)
    numbers, owner = np.unique(parts, return_inverse=True)
    owner = owner.reshape(parts.shape) + (0 if numbers[0] == 0 else 1)
    return Scene(
        owner.astype(np.intp), np.where(owner > 0, radius, 1).astype(np.float32), mean
    )


def _places(size: int, radius: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw centres: no two closer than a distance, gathered in some parts."""
    spacing = radius * rng.uniform(1.4, 2.6)
    count = 2 + int(4 * ((size + 2 * radius) / spacing) ** 2)
    points = rng.uniform(-radius, size + radius, (count, 2))
    points[0] = size * rng.uniform(0.25, 0.75, 2)  # so that there is one
    crowd = broad_noise(rng, (size, size), 2.5 * radius)
    covered = rng.uniform(0.05, 1.0)
    at = np.clip(points, 0, size - 1).astype(int)
    kept = crowd[at[:, 0], at[:, 1]] >= np.quantile(crowd, 1 - covered)
    kept[0] = True
    points = points[kept]
    taken = np.zeros(len(points), bool)
    for number, others in enumerate(cKDTree(points).query_ball_point(points, spacing)):
        taken[number] = not taken[others].any()
    return np.asarray(points[taken])


def _normalised_radius(
    offset: NDArray[np.float64],
    radii: NDArray[np.float64],
    near: NDArray[np.intp],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Give where a pixel lies in cells: 0 in the middle, 1 at the outline.

    Parameters
    ----------
    offset : ndarray, shape (Y, X, K, 2)
        From the centres of K cells.
    radii : ndarray, shape (cells,)
    near : ndarray of int, shape (Y, X, K)
        The cells' numbers.

    Returns
    -------
    ndarray, shape (Y, X, K)
    """
    count = len(radii)
    longest, rough = rng.uniform(1, 3), rng.uniform(0.0, 0.1)
    stretch = np.sqrt(rng.uniform(1, longest, count))[near]
    angle = rng.uniform(0, np.pi, count)
    along = np.stack([np.sin(angle), np.cos(angle)], axis=-1)[near]
    u = (offset * along).sum(-1)
    v = offset[..., 0] * along[..., 1] - offset[..., 1] * along[..., 0]
    radius = np.asarray(np.hypot(u / stretch, v * stretch) / radii[near])
    close = radius < FAR  # no outline reaches farther
    phi, cell = np.arctan2(v[close], u[close]), near[close]
    outline = np.ones_like(phi)
    for k in HARMONICS:
        height = rng.normal(0, rough * 2 / k, count)[cell]
        outline += height * np.cos(k * phi + rng.uniform(0, 2 * np.pi, count)[cell])
    radius[close] /= np.maximum(outline, 0.5)
    return radius
