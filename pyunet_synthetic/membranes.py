"""A small stack that looks like electron micrographs, with known truth.

Cells with thin dark membranes of changing width and contrast, and inside them what
fools a threshold: mitochondria, vesicles, a mottled cytoplasm, uneven light, noise.
Cell bodies change slowly from slice to slice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from pyunet.errors import DataError
from pyunet.files import new_files

Plane = NDArray[np.float32]
DIAMETER = 36.0
CELL_SLICES = 18.0
PHOTONS = 110.0


def synthetic_stack(
    slices: int, size: int, *, rng: np.random.Generator | int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Make images and their true labels.

    Parameters
    ----------
    slices : int
        Number of slices, 1 or more.
    size : int
        Height and width in pixels, 32 or more.
    rng : numpy Generator or int, default 0
        Source of randomness; equal seeds give equal stacks.

    Returns
    -------
    images : ndarray of uint8, shape (slices, size, size)
        Grey values.
    labels : ndarray of uint8, same shape
        255 inside of cells (organelles included), 0 membrane.

    Raises
    ------
    DataError
        Less than one slice or 32 pixels.

    Examples
    --------
    >>> images, labels = synthetic_stack(2, 64, rng=1)
    >>> images.shape, images.dtype, np.unique(labels).tolist()
    ((2, 64, 64), dtype('uint8'), [0, 255])
    """
    if slices < 1 or size < 32:
        raise DataError(
            f"{slices} slices of {size} pixels: expected 1 or more slices of 32 "
            "or more pixels"
        )
    rng = np.random.default_rng(rng)
    border, owner = _cells(slices, size, rng)
    width = np.clip(2.0 + 0.4 * smooth_noise(rng, border.shape, (2, 20, 20)), 1.5, 3.0)
    depth = np.clip(
        0.36 + 0.09 * smooth_noise(rng, border.shape, (1, 14, 14)), 0.15, 0.5
    )
    shade = np.float32(0.68) + 0.05 * smooth_noise(rng, border.shape, (0.6, 1.5, 1.5))
    shade += 0.03 * smooth_noise(rng, border.shape, (0.3, 7.0, 7.0))
    shade += rng.normal(0, 0.03, int(owner.max()) + 1).astype(np.float32)[owner]
    _draw_mitochondria(shade, border, rng)
    _draw_vesicles(shade, border, rng)
    shade -= depth * np.exp(-((border / width) ** 2))
    labels = np.where(border < width, 0, 255).astype(np.uint8)
    return _expose(shade, rng), labels


def write_synthetic(
    images: NDArray[np.uint8],
    labels: NDArray[np.unsignedinteger[Any]],
    out: str | Path,
) -> list[Path]:
    """Write ``images.tif`` and ``labels.tif`` into a folder, and give their paths.

    Raises
    ------
    DataError
        A folder that cannot be written.
    """
    out = Path(out)
    stacks = {"images.tif": images, "labels.tif": labels}
    with new_files(out) as place:
        for name, stack in stacks.items():
            axes = {"axes": "ZYX"}
            tifffile.imwrite(place(name), stack, imagej=True, metadata=axes)
    return [out / name for name in stacks]


def smooth_noise(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    scale: float | tuple[float, ...],
) -> Plane:
    """Give smooth noise of mean 0 and standard deviation 1.

    Parameters
    ----------
    rng : numpy Generator
    shape : tuple of int
    scale : float or one an axis
        Standard deviation, in pixels, of the Gaussian that makes it smooth.

    Returns
    -------
    ndarray of float32
    """
    noise = rng.standard_normal(shape, dtype=np.float32)
    smooth = ndimage.gaussian_filter(noise, scale, mode="mirror")
    return np.asarray((smooth - smooth.mean()) / max(float(smooth.std()), 1e-6))


def _cells(
    slices: int, size: int, rng: np.random.Generator
) -> tuple[Plane, NDArray[np.intp]]:
    """Cut warped space into Voronoi cells around random points.

    Returns the distance of every pixel to the border of its cell, in pixels within
    the slice, and the number of its cell.
    """
    scale = np.array([DIAMETER / CELL_SLICES, 1.0, 1.0])
    margin = np.array([CELL_SLICES, DIAMETER, DIAMETER])
    space = (np.array([slices, size, size]) + 2 * margin) * scale
    points = rng.uniform(0, space, (int(space.prod() / DIAMETER**3), 3))
    points = _give_room(points, rng)
    shape = (slices, size, size)
    grid = np.moveaxis(np.indices(shape, float), 0, -1) + margin
    for axis in (1, 2):
        grid[..., axis] += 6 * smooth_noise(rng, shape, (2.5, 12, 12))
        grid[..., axis] += 1.0 * smooth_noise(rng, shape, (1.0, 4, 4))
    distance, index = cKDTree(points).query(grid * scale, k=2)
    apart = points[index[..., 1]] - points[index[..., 0]]
    in_plane = np.maximum(np.hypot(apart[..., 1], apart[..., 2]), 6.0)
    border = (distance[..., 1] ** 2 - distance[..., 0] ** 2) / (2 * in_plane)
    return border.astype(np.float32), index[..., 0]


def _give_room(
    points: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Take away the neighbours of some points, so that a few cells are large."""
    large = rng.choice(len(points), len(points) // 12, replace=False)
    near = cKDTree(points).query_ball_point(points[large], 1.3 * DIAMETER)
    gone = np.zeros(len(points), bool)
    gone[[index for group in near for index in group]] = True
    gone[large] = False
    kept: NDArray[np.float64] = points[~gone]
    return kept


def _draw_mitochondria(shade: Plane, border: Plane, rng: np.random.Generator) -> None:
    """Darken ellipsoids in cell bodies, with a dark rim and stripes inside."""
    room = np.argwhere(border > 7)
    number = min(len(room), int(shade.size / 7000) + 1)
    for z, y, x in room[rng.choice(len(room), number, replace=False)]:
        depth, height, width = rng.uniform((2, 5, 7), (5, 8, 14))
        angle, period, phase = rng.uniform((0, 3.5, 0), (np.pi, 5, 6))
        box = tuple(
            slice(max(centre - reach, 0), min(centre + reach + 1, length))
            for centre, reach, length in zip(
                (z, y, x), (5, 14, 14), shade.shape, strict=True
            )
        )
        dz, dy, dx = np.ogrid[box]
        dz, dy, dx = dz - z, dy - y, dx - x
        along = np.cos(angle) * dx + np.sin(angle) * dy
        across = np.cos(angle) * dy - np.sin(angle) * dx
        radius = np.sqrt(
            (dz / depth) ** 2 + (across / height) ** 2 + (along / width) ** 2
        )
        body = (radius < 1) & (border[box] > 3)
        rim = body & (radius > 0.8)
        stripes = 0.07 * np.sin(2 * np.pi * along / period + phase)
        shade[box] -= np.where(rim, 0.30, np.where(body, 0.20 + stripes, 0))


def _draw_vesicles(shade: Plane, border: Plane, rng: np.random.Generator) -> None:
    """Put clouds of small dark rings into some cells."""
    cloud = smooth_noise(rng, shade.shape, (1.5, 14, 14)) > 0.6
    seeds = (rng.random(shade.shape) < 0.012) & cloud & (border > 5)
    y, x = np.mgrid[-4:5, -4:5]
    ring = np.exp(-((np.hypot(y, x) - 2.3) ** 2))
    rings = ndimage.convolve(seeds.astype(np.float32), ring[None], mode="constant")
    shade -= 0.22 * np.minimum(rings, 1.2)


def _expose(shade: Plane, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Take the picture: uneven light, blur, shot noise, 8 bits."""
    size = shade.shape[-1]
    light = 1 + 0.07 * smooth_noise(rng, shade.shape, (1, size / 5, size / 5))
    ramp = np.linspace(-0.10, 0.10, size, dtype=np.float32)
    light += ramp * rng.choice((-1, 1)) + 0.5 * ramp[:, None] * rng.choice((-1, 1))
    light *= rng.normal(1, 0.03, (len(shade), 1, 1))
    blurred = ndimage.gaussian_filter(np.clip(shade, 0.05, 1) * light, (0, 0.8, 0.8))
    photons = rng.poisson(np.clip(blurred, 0, None) * PHOTONS) / PHOTONS
    return np.asarray(np.clip(np.rint(photons * 235), 0, 255), np.uint8)
