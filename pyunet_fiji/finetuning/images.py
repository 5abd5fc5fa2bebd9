"""Images as ImageJ opens them: with frames, channels and slices told apart.

Source: modeldef_h5.md, section 3; caffe_unet_cli.md, section 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from pyunet.data.images import TIFF, Resolution, read_image_file
from pyunet.errors import DataError
from pyunet.tiffs import opened_tiff
from pyunet_fiji.modeldef import ModelDefinition
from pyunet_fiji.modeldef.normalisation import normalise
from pyunet_fiji.modeldef.rescaling import rescale_image

RGB = 3
VOLUME = 3


@dataclass(frozen=True)
class Hyperstack:
    """An image with all five axes.

    Attributes
    ----------
    array : ndarray, shape (T, C, Z, Y, X)
        Grey values in the file's own type; colours are three channels.
    path : Path
        Where it was read.
    resolution : Resolution or None
        Pixel size as the file gives it.
    stack_channels : int
        Channels that are slices of an ImageJ stack; 1 where they are colours.
    """

    array: NDArray[Any]
    path: Path
    resolution: Resolution | None = None
    stack_channels: int = 1


def read_hyperstack(path: str | Path, *, labels: bool = False) -> Hyperstack:
    """Read an image file as ImageJ opens it.

    Pages of a TIFF file are slices, or what its axes say.

    Parameters
    ----------
    path : str or Path
        TIFF, PNG or another picture.
    labels : bool, default False
        Give numbers of a palette, not its colours.

    Returns
    -------
    Hyperstack

    Raises
    ------
    DataError
        No such file, no image, a damaged one, or axes that are no image's.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "cells.tif")
    ...     tifffile.imwrite(file, np.zeros((3, 4, 8, 9), np.uint8), imagej=True,
    ...                      metadata={"axes": "TZYX"})
    ...     read_hyperstack(file).array.shape
    (3, 1, 4, 8, 9)
    """
    path = Path(path)
    pages, resolution = read_image_file(path, palette_as_index=labels)
    axes, sizes = "", {}
    if path.suffix.lower() in TIFF:
        with opened_tiff(path) as tiff:
            if len(tiff.series) == 1:
                axes, shape = tiff.series[0].axes, tiff.series[0].shape
                sizes = dict(zip(axes, shape, strict=True))
            if not labels:
                pages = _coloured(pages, tiff)
    count, *rest = pages.shape
    frames = sizes.get("T", 1)
    if axes.find("Z") < axes.find("T"):
        # slices of all frames one after the other, seldom but legal
        whole = pages.reshape(count // frames, frames, *rest).swapaxes(0, 1)
    else:
        whole = pages.reshape(frames, count // frames, *rest)
    return Hyperstack(whole.swapaxes(1, 2), path, resolution, sizes.get("C", 1))


def to_frames(array: NDArray[Any], dimensions: int) -> NDArray[Any]:
    """Arrange a hyperstack for a net: for a 2-D net each slice is a frame.

    Parameters
    ----------
    array : ndarray, shape (T, C, Z, Y, X)
    dimensions : int
        2 or 3.

    Returns
    -------
    ndarray, shape (T * Z, C, Y, X) or (T, C, Z, Y, X)
        Slices of a frame stand side by side.

    Examples
    --------
    >>> to_frames(np.zeros((3, 1, 4, 8, 9)), 2).shape
    (12, 1, 8, 9)
    """
    if dimensions == VOLUME:
        return array
    times, channels, slices, *plane = array.shape
    return array.swapaxes(1, 2).reshape(times * slices, channels, *plane)


def to_model_input(
    image: Hyperstack, definition: ModelDefinition, element_size_um: Sequence[float]
) -> NDArray[np.float32]:
    """Convert an image to what a net takes: frames, pixel size, grey values.

    Parameters
    ----------
    image : Hyperstack
    definition : ModelDefinition
    element_size_um : sequence of float
        Of the image's pixels, (z)yx.

    Returns
    -------
    ndarray of float32, shape (N, C, [Z,] Y, X)

    Raises
    ------
    DataError
        A single slice for a 3-D net; what `rescale_image` and `normalise` refuse.
    """
    if definition.dimensions == VOLUME and image.array.shape[2] == 1:
        raise DataError(
            f"{image.path}: has a single slice, and the net is 3-D; accepted are two "
            "slices and more"
        )
    frames = to_frames(image.array, definition.dimensions)
    try:
        scaled = rescale_image(frames, element_size_um, definition.element_size_um)
    except DataError as error:
        raise DataError(f"{image.path}: {error}") from error
    return normalise(scaled, definition.normalization_type, name=str(image.path))


def _coloured(pages: NDArray[Any], tiff: tifffile.TiffFile) -> NDArray[Any]:
    """Give 8-bit pages with a palette their colours, as ImageJ's 8-bit colour has."""
    page = tiff.pages.first
    palette = page.colormap
    if palette is None or pages.dtype != np.uint8 or pages.shape[1] != 1:
        return pages
    if (palette == palette[:1]).all():
        return pages
    colours = (np.asarray(palette) >> 8).astype(np.uint8)
    return np.concatenate([colours[channel][pages] for channel in range(RGB)], axis=1)
