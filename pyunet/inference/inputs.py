"""What a net gets of a stack of images, and how its scores come back to their pixels.

A net of a prototxt gets grey values of 0..1 at the image's own pixel size. A net of
a model definition gets them at its own pixel size, normalised as the definition says
(modeldef_h5.md, section 3); its scores are read back linearly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyunet.data.images import ImageStack, to_unit_range
from pyunet.errors import DataError
from pyunet.inference.mapped import forget
from pyunet.inference.tiling import Window

if TYPE_CHECKING:
    from pyunet.modeldef import ModelDefinition

FloatArray = NDArray[np.float32]
VOLUME = 3


@dataclass(frozen=True)
class Inputs:
    """Images of one size for a net.

    Attributes
    ----------
    count : int
        How many there are: slices for a 2-D net, volumes for a 3-D one.
    extent : tuple of int
        ([Z,] Y, X) of each, as the net sees it.
    arrays : callable
        Gives an iterator over them, each (C, [Z,] Y, X).
    restore : callable
        Brings scores (K, [Z,] Y, X) to the image's own pixels.
    windows : callable or None
        Gives an iterator over them as functions that read a part, one slice an axis;
        None where an image can only be had whole.
    """

    count: int
    extent: tuple[int, ...]
    arrays: Callable[[], Iterator[FloatArray]]
    restore: Callable[[FloatArray], FloatArray]
    windows: Callable[[], Iterator[Window]] | None = None


def plain_inputs(stack: ImageStack, dimensions: int) -> Inputs:
    """Prepare a stack for a net that takes grey values of 0..1.

    Parameters
    ----------
    stack : ImageStack
        (N, C, Y, X).
    dimensions : int
        Of the net: 2 takes slice by slice, 3 the stack as one volume.

    Returns
    -------
    Inputs
    """
    count, _, *plane = stack.array.shape
    volume = dimensions == VOLUME

    def windows() -> Iterator[Window]:
        array = stack.array
        if array.dtype.newbyteorder("=") not in (np.uint8, np.uint16):
            array = to_unit_range(array, name=stack.name)
        images = [array.swapaxes(0, 1)] if volume else array
        for one in images:
            yield partial(_read, one)

    def arrays() -> Iterator[FloatArray]:
        whole = (slice(None),) * dimensions
        for window in windows():
            yield window(whole)

    extent = (count, *plane) if volume else tuple(plane)
    images = 1 if volume else count
    return Inputs(images, extent, arrays, lambda scores: scores, windows)


def _read(image: NDArray[Any], at: tuple[slice, ...]) -> FloatArray:
    """Read a part of an image whose scale does not depend on the rest of it."""
    every: tuple[slice, ...] = (slice(None), *at)
    part: NDArray[Any] = image[every]
    if part.dtype == np.float32:
        return part
    scaled = to_unit_range(part.astype(part.dtype.newbyteorder("="), copy=False))
    forget(part)
    return scaled


def definition_inputs(
    stack: ImageStack,
    definition: ModelDefinition,
    element_size_um: Sequence[float],
    *,
    frames: int = 1,
) -> Inputs:
    """Prepare a stack for the net of a model definition.

    Parameters
    ----------
    stack : ImageStack
        (N, C, Y, X); frames one after the other, each with all its slices.
    definition : ModelDefinition
    element_size_um : sequence of float
        Of the stack's pixels, (z)yx.
    frames : int, default 1
        Volumes that the stack holds, for a 3-D net. A 2-D net takes every slice by
        itself.

    Returns
    -------
    Inputs

    Raises
    ------
    DataError
        A single slice for a 3-D net, frames of different numbers of slices, an image
        too small to have a pixel left; from ``arrays`` what `normalise` refuses.

    Examples
    --------
    >>> from pyunet.modeldef import ModelDefinition
    >>> model = ModelDefinition("id", "", "data", (1.0, 1.0), (1, 1), (0, 0), (-2, -2))
    >>> stack = ImageStack(np.arange(8.0).reshape(1, 1, 2, 4), "a", [])
    >>> inputs = definition_inputs(stack, model, (0.5, 0.5))
    >>> inputs.extent, next(inputs.arrays()).tolist()
    ((1, 2), [[[0.0, 1.0]]])
    >>> inputs.restore(np.array([[[0.0, 1.0]]], np.float32)).tolist()
    [[[0.0, 0.5, 1.0, 1.0], [0.0, 0.5, 1.0, 1.0]]]
    """
    from pyunet.modeldef.normalisation import normalise
    from pyunet.modeldef.rescaling import rescale_image, rescaled_shape

    wanted = definition.element_size_um
    images = stack.array
    if definition.dimensions == VOLUME:
        images = _volumes(stack, frames)
    own = images.shape[2:]
    try:
        extent = rescaled_shape(own, element_size_um, wanted)
    except DataError as error:
        raise DataError(f"{stack.name}: {error}") from error
    scales = [a / b for a, b in zip(element_size_um, wanted, strict=True)]

    def arrays() -> Iterator[FloatArray]:
        for number, image in enumerate(images):
            scaled = rescale_image(image, element_size_um, wanted)
            name = f"{stack.name}, image {number}" if len(images) > 1 else stack.name
            yield normalise(scaled[None], definition.normalization_type, name=name)[0]

    return Inputs(
        len(images), extent, arrays, lambda scores: read_back(scores, own, scales)
    )


def read_back(
    scores: FloatArray, shape: Sequence[int], scales: Sequence[float]
) -> FloatArray:
    """Read scores of a rescaled image at the pixels of the image itself.

    Pixel i of the image lies at ``i * scale`` of the rescaled one; it is read linearly
    there, and beyond the last pixel as that one.

    Parameters
    ----------
    scores : ndarray of float32, shape (K, [Z,] Y, X)
    shape : sequence of int
        The image's own extents.
    scales : sequence of float
        Own pixel size by that of the net, one an axis.

    Returns
    -------
    ndarray of float32, shape (K, *shape)

    Examples
    --------
    >>> read_back(np.array([[[0.0, 4.0, 8.0]]], np.float32), (1, 2), (1, 1.5)).tolist()
    [[[0.0, 6.0]]]
    """
    result = scores
    for axis, (count, scale) in enumerate(zip(shape, scales, strict=True), 1):
        if scale == 1:
            continue
        last = scores.shape[axis] - 1
        place = np.minimum(np.arange(count) * scale, last)
        lower = np.floor(place).astype(np.intp)
        along = [1] * result.ndim
        along[axis] = count
        share = (place - lower).astype(np.float32).reshape(along)
        below = result.take(lower, axis)
        above = result.take(np.minimum(lower + 1, last), axis)
        result = below * (np.float32(1) - share) + above * share
    return result


def _volumes(stack: ImageStack, frames: int) -> NDArray[np.generic]:
    """Arrange slices (T Z, C, Y, X) as volumes (T, C, Z, Y, X)."""
    count, *rest = stack.array.shape
    slices, left = divmod(count, frames)
    if left:
        raise DataError(
            f"{stack.name}: {count} slices are no {frames} frames of one length"
        )
    if slices == 1:
        raise DataError(
            f"{stack.name}: has a single slice, and the net is 3-D; accepted are two "
            "slices and more"
        )
    array: NDArray[np.generic] = stack.array.reshape(frames, slices, *rest)
    return array.swapaxes(1, 2)
