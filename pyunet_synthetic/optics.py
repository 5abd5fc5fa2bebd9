"""What light microscopes make of cells: one function a kind of image.

Each takes a `Scene` and gives the light that a camera counts, in any unit; `display`
makes 8-bit grey values of it, as the person at the microscope sets their range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pyunet_synthetic.membranes import Plane, smooth_noise

MEAN, MEAN_SPREAD = 0.45, 0.15
DEVIATION, DEVIATION_SPREAD = 0.15, 1.5


@dataclass(frozen=True)
class Scene:
    """The cells of an image.

    Attributes
    ----------
    owner : ndarray of int, shape (Y, X)
        Number of the cell at a pixel, 0 for none.
    radius : ndarray of float32, shape (Y, X)
        0 in the middle of a cell, 1 at its outline and outside.
    mean_radius : float
        Of the cells, in pixels.
    """

    owner: NDArray[np.intp]
    radius: Plane
    mean_radius: float

    @property
    def height(self) -> Plane:
        """Of a ball cut in half: 1 in the middle of a cell, 0 at its outline."""
        return np.asarray(np.sqrt(np.maximum(1 - self.radius**2, 0)))

    def each(self, spread: float, rng: np.random.Generator) -> Plane:
        """Draw a factor for every cell, log-normal about 1; 0 outside."""
        factors = np.exp(rng.normal(0, spread, int(self.owner.max()) + 1))
        factors[0] = 0
        return factors.astype(np.float32)[self.owner]

    def noise(self, scale: float, rng: np.random.Generator) -> Plane:
        """Give smooth noise of some share of a cell's radius, at least 0.7 pixels."""
        sigma = max(scale * self.mean_radius, 0.7)
        return broad_noise(rng, self.owner.shape, sigma)


def fluorescence(scene: Scene, rng: np.random.Generator) -> Plane:
    """Bright nuclei on dark ground: haze from out of focus, few photons.

    Nuclei differ in brightness and have spots without dye; some dirt shines, too.
    """
    dye = scene.height ** rng.uniform(0.2, 1) * scene.each(rng.uniform(0.1, 0.5), rng)
    dye *= np.maximum(1 + rng.uniform(0, 0.3) * scene.noise(0.15, rng), 0)
    dye *= 1 - rng.uniform(0, 0.5) * (scene.noise(0.2, rng) > 1.3)
    dye += rng.uniform(0, 2) * _specks(scene, rng)
    blurred = _blurred(dye, rng, scene.mean_radius)
    haze = ndimage.gaussian_filter(dye, scene.mean_radius * rng.uniform(0.5, 1.5))
    light = blurred + rng.uniform(0, 0.4) * haze + rng.uniform(0.02, 0.3)
    return _counted(light * _uneven(scene, rng), rng, 10 ** rng.uniform(1, 2.7))


def phase_contrast(scene: Scene, rng: np.random.Generator) -> Plane:
    """Give phase contrast: a halo about every cell, flat cells grey within.

    The ring in the objective lets little of the undiffracted light through, which is
    taken here as a high pass of the thickness (positive contrast: thick is dark).
    Cells that are rounded up are so thick that they become bright.
    """
    thick = _thickness(scene, rng)
    bright = rng.random(int(scene.owner.max()) + 1) < rng.choice((0, 0.2, 1))
    thick *= np.where(bright, -1, 1).astype(np.float32)[scene.owner]
    spread = scene.mean_radius * rng.uniform(0.25, 0.9)
    thick -= rng.uniform(0.6, 1) * ndimage.gaussian_filter(thick, spread)
    light = 1 - rng.uniform(0.2, 0.6) * _blurred(thick, rng, scene.mean_radius)
    light += rng.choice((-1, 1)) * rng.uniform(0, 0.3) * _specks(scene, rng)
    return _counted(light * _uneven(scene, rng), rng, 10 ** rng.uniform(2.3, 4))


def differential_contrast(scene: Scene, rng: np.random.Generator) -> Plane:
    """Give a relief: how steep the thickness is along one direction."""
    thick = _thickness(scene, rng) * scene.mean_radius
    down, right = np.gradient(_blurred(thick, rng, scene.mean_radius))
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 + rng.uniform(0.15, 0.4) * (np.sin(angle) * down + np.cos(angle) * right)
    return _counted(light * _uneven(scene, rng), rng, 10 ** rng.uniform(2.3, 4))


def bright_field(scene: Scene, rng: np.random.Generator) -> Plane:
    """Dark cells on bright ground: stained ones, or such with a dark outline only."""
    body = scene.height ** rng.uniform(0.2, 1) * scene.each(0.25, rng)
    body *= np.maximum(1 + rng.uniform(0, 0.3) * scene.noise(0.15, rng), 0)
    edge = (1 - scene.radius) * scene.mean_radius  # pixels, nearly
    width = rng.uniform(1, 2.5)
    rim = (scene.owner > 0) * np.exp(-((edge / width) ** 2))
    within = (scene.owner > 0) * np.exp(-(((edge - 2.5 * width) / width) ** 2))
    stained = rng.random() < 0.6
    dark = rng.uniform(0.3, 1.5) * body if stained else 0.1 * body
    dark = dark + rng.uniform(0.2, 0.9) * rim * (0.3 if stained else 1)
    dark = dark - rng.uniform(0, 0.4) * within * (0 if stained else 1)
    dark += rng.uniform(0, 0.5) * _specks(scene, rng)
    light = np.exp(-_blurred(dark, rng, scene.mean_radius))
    return _counted(light * _uneven(scene, rng), rng, 10 ** rng.uniform(2, 4))


def histology(scene: Scene, rng: np.random.Generator) -> Plane:
    """Dark nuclei in a stained section: fibres, gaps, chromatin."""
    across = (1.0, 6.0) if rng.random() < 0.5 else (6.0, 1.0)
    fibres = smooth_noise(rng, scene.owner.shape, across)
    tissue = 0.3 + 0.06 * fibres + 0.08 * scene.noise(0.8, rng)
    gaps = scene.noise(1.5, rng) > rng.uniform(1.2, 3)
    tissue = np.where(gaps & (scene.owner == 0), 0.03, np.maximum(tissue, 0))
    dye = scene.height ** rng.uniform(0.1, 0.5) * scene.each(0.25, rng)
    dye *= np.maximum(1 + rng.uniform(0.1, 0.5) * scene.noise(0.2, rng), 0)
    density = tissue + rng.uniform(0.5, 1.5) * dye
    light = np.exp(-_blurred(density, rng, scene.mean_radius))
    return _counted(light * _uneven(scene, rng), rng, 10 ** rng.uniform(2.5, 4))


OPTICS: Mapping[str, Callable[[Scene, np.random.Generator], Plane]] = {
    "fluorescence": fluorescence,
    "phase": phase_contrast,
    "dic": differential_contrast,
    "bright-field": bright_field,
    "histology": histology,
}


def display(light: Plane, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Make grey values: mean and contrast as people set them, within limits.

    The limits are those within which ``pyunet segment`` leaves the images for a model
    of the list as they are.

    Parameters
    ----------
    light : ndarray of float32, shape (Y, X)
    rng : numpy Generator

    Returns
    -------
    ndarray of uint8, same shape
    """
    mean = MEAN + rng.uniform(-MEAN_SPREAD, MEAN_SPREAD)
    deviation = DEVIATION * DEVIATION_SPREAD ** rng.uniform(-1, 1)
    grey = mean + deviation * (light - light.mean()) / max(float(light.std()), 1e-6)
    return np.asarray(np.rint(np.clip(grey, 0, 1) * 255), np.uint8)


def broad_noise(
    rng: np.random.Generator, shape: tuple[int, ...], sigma: float
) -> Plane:
    """Give smooth noise of mean 0 and standard deviation 1, on a coarser grid.

    Parameters
    ----------
    rng : numpy Generator
    shape : (int, int)
    sigma : float
        Standard deviation, in pixels, of the Gaussian that makes it smooth; the grid
        has at least four points in it.

    Returns
    -------
    ndarray of float32
    """
    step = max(int(sigma / 4), 1)
    coarse = tuple(-(-length // step) + 1 for length in shape)
    noise = smooth_noise(rng, coarse, sigma / step)
    if step == 1:
        return noise[: shape[0], : shape[1]]
    at = np.meshgrid(*(np.arange(n) / step for n in shape), indexing="ij")
    return np.asarray(ndimage.map_coordinates(noise, at, order=1), np.float32)


def _thickness(scene: Scene, rng: np.random.Generator) -> Plane:
    """Cells of some roundness, with a nucleus or none, and granules."""
    thick = scene.height ** rng.uniform(0.25, 1) * scene.each(0.25, rng)
    thick *= 1 + rng.uniform(0, 0.4) * scene.noise(0.12, rng)
    inner = np.maximum(1 - (scene.radius / rng.uniform(0.4, 0.7)) ** 2, 0)
    thick += rng.uniform(0, 0.6) * np.sqrt(inner)
    granules = (scene.noise(0.06, rng) > 1.8) & (scene.radius < 0.9)
    return np.asarray(thick + rng.uniform(0, 0.5) * granules, np.float32)


def _specks(scene: Scene, rng: np.random.Generator) -> Plane:
    """Dirt: spots much smaller than cells."""
    share = rng.uniform(0, 1) / (30 * scene.mean_radius**2)
    seeds = (rng.random(scene.owner.shape) < share).astype(np.float32)
    sigma = rng.uniform(0.7, 0.12 * scene.mean_radius + 0.7)
    spots = ndimage.gaussian_filter(seeds, sigma) * (2 * np.pi * sigma**2)
    return np.asarray(spots, np.float32)


def _blurred(light: Plane, rng: np.random.Generator, radius: float) -> Plane:
    """Apply the point-spread function, taken as a Gaussian."""
    return np.asarray(
        ndimage.gaussian_filter(light, rng.uniform(0.6, max(1.0, min(2.5, radius / 8))))
    )


def _uneven(scene: Scene, rng: np.random.Generator) -> Plane:
    """Give the illumination: a few percent to a third brighter and darker."""
    size = scene.owner.shape[0]
    smooth = broad_noise(rng, scene.owner.shape, size / 4)
    return np.asarray(np.maximum(1 + rng.uniform(0, 0.15) * smooth, np.float32(0.3)))


def _counted(light: Plane, rng: np.random.Generator, photons: float) -> Plane:
    """Count photons, and add the noise of reading them out."""
    counts = rng.poisson(np.maximum(light, 0) * photons) / photons
    read = rng.normal(0, rng.uniform(0, 0.02), light.shape)
    return np.asarray(counts + read, np.float32)
