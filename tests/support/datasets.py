"""Small clean data sets, to be spoilt by tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from pyunet_synthetic.membranes import synthetic_stack


def em(
    count: int = 5, size: int = 128, seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Sections like electron micrographs; labels 255 inside of cells, 0 membrane.

    Every second slice of a stack, so that neighbours differ.
    """
    images, labels = synthetic_stack(2 * count, size, rng=seed)
    return images[::2], labels[::2]


def nuclei(
    count: int = 5, size: int = 160, seed: int = 0, radius: float = 9.0
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Bright round nuclei on a dark ground; labels number them in each image."""
    rng = np.random.default_rng(seed)
    images = np.empty((count, size, size), np.uint8)
    labels = np.zeros((count, size, size), np.uint16)
    y, x = np.mgrid[:size, :size]
    for image, label in zip(images, labels, strict=True):
        placed: list[tuple[float, float]] = []
        while len(placed) < 14:
            at = tuple(rng.uniform(radius, size - radius, 2))
            if all(np.hypot(at[0] - a, at[1] - b) > 3 * radius for a, b in placed):
                placed.append(at)
        for number, (a, b) in enumerate(placed, 1):
            stretch = rng.uniform(0.8, 1.2)
            shape = np.hypot((y - a) * stretch, (x - b) / stretch)
            label[shape < radius] = number
        grey = ndimage.gaussian_filter(40 + 130.0 * (label > 0), 1.5)
        texture = ndimage.gaussian_filter(rng.standard_normal((size, size)), 2)
        grey *= 1 + 0.5 * texture
        image[...] = np.clip(grey + rng.normal(0, 6, grey.shape), 0, 255)
    return images, labels


def tissue(
    count: int = 5, size: int = 128, seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Colour images (N, 3, Y, X) of three classes, 0 to 2."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(
        rng.standard_normal((count, size, size)), (0, 6, 6)
    )
    labels = np.digitize(smooth, np.quantile(smooth, (0.4, 0.75))).astype(np.uint8)
    palette = np.array([(230, 200, 220), (150, 60, 140), (220, 90, 110)], float)
    clean = np.moveaxis(palette[labels], -1, 1)
    noise = ndimage.gaussian_filter(rng.normal(0, 30, clean.shape), (0, 0, 1, 1))
    return np.clip(clean + noise, 0, 255).astype(np.uint8), labels


def write_folder(folder: Path, pictures: Any, *, ending: str = "png") -> Path:
    """Write each picture, (Y, X) or (3, Y, X), as ``00.png``, ``01.png``, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures):
        write(folder / f"{number:02}.{ending}", np.asarray(picture))
    return folder


def write(path: Path, picture: NDArray[Any]) -> None:
    """Write one picture."""
    pixels = np.moveaxis(picture, 0, -1) if picture.ndim == 3 else picture
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels)
    else:
        Image.fromarray(pixels).save(path)
