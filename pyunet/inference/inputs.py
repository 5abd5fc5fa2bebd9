"""What a net gets of a stack of images, and how its scores come back to their pixels.

Three kinds of model prepare images, each a function that gives `Inputs`:

- `plain_inputs`: a net of a prototxt gets grey values of 0..1 at the image's pixels.
- `definition_inputs`: a net of a model definition gets them at its own pixel size,
  normalised as the definition says (modeldef_h5.md, section 3); its scores are read
  back linearly.
- `pyunet.inference.adapting.adapted_inputs`: a net of the list gets what the list says.

All of them are read in windows: no image has to be in memory whole.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyunet.data.greys import UnitRange
from pyunet.data.images import ImageStack
from pyunet.errors import DataError
from pyunet.inference.tiling import Window
from pyunet.inference.windows import (
    FloatArray,
    Resampling,
    blocks,
    changed,
    everywhere,
    of_array,
    preparing_bytes,
    resampled,
)

if TYPE_CHECKING:
    from pyunet.modeldef import ModelDefinition

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
    windows : callable
        Gives an iterator over them as functions that read a part, one slice an axis,
        as (C, [Z,] Y, X).
    own : tuple of int
        ([Z,] Y, X) of each, as it is stored.
    back : Resampling or None
        Brings scores (K, [Z,] Y, X) to the image's own pixels; None where the net sees
        these.
    held : int
        Bytes that are held, or taken for a moment, while an image is read.
    """

    count: int
    extent: tuple[int, ...]
    windows: Callable[[], Iterator[Window]]
    own: tuple[int, ...]
    back: Resampling | None = None
    held: int = 0

    def arrays(self) -> Iterator[FloatArray]:
        """Give the images whole, each (C, [Z,] Y, X)."""
        whole = everywhere(self.extent)
        for window in self.windows():
            yield window(whole)

    def restore(self, scores: FloatArray) -> FloatArray:
        """Bring whole scores (K, [Z,] Y, X) to the image's own pixels."""
        if self.back is None:
            return scores
        return self.back.apply(scores, everywhere(self.own))

    def restored(self, scores: Window, classes: int) -> Window:
        """Bring scores that are read in windows to the image's own pixels."""
        return resampled(scores, self.back, channels=classes)


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

    scale = functools.cache(lambda: unit_range(stack))

    def windows() -> Iterator[Window]:
        images = [stack.array.swapaxes(0, 1)] if volume else stack.array
        for one in images:
            yield changed(of_array(one), scale().apply)

    extent = (count, *plane) if volume else tuple(plane)
    return Inputs(1 if volume else count, extent, windows, extent)


def unit_range(stack: ImageStack) -> UnitRange:
    """Find the grey values that become 0 and 1, over all of a stack.

    Raises
    ------
    DataError
        NaN or infinite values.
    """
    array = stack.array
    parts = (
        window(at)
        for window in map(of_array, array)
        for at in blocks(everywhere(array.shape[2:]))
    )
    return UnitRange.of(array.dtype, parts, name=stack.name)


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
        too small to have a pixel left; when images are read what `normalise` refuses.

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
    from pyunet.modeldef.normalisation import Range
    from pyunet.modeldef.rescaling import Linear

    wanted = definition.element_size_um
    images = stack.array
    if definition.dimensions == VOLUME:
        images = _volumes(stack, frames)
    own = images.shape[2:]
    try:
        rule = Linear.forward(own, element_size_um, wanted)
    except DataError as error:
        raise DataError(f"{stack.name}: {error}") from error
    scales = [a / b for a, b in zip(element_size_um, wanted, strict=True)]

    def windows() -> Iterator[Window]:
        for number, image in enumerate(images):
            scaled = resampled(of_array(image), rule)
            name = f"{stack.name}, image {number}" if len(images) > 1 else stack.name
            parts = (scaled(at) for at in blocks(everywhere(rule.extent)))
            found = Range.of(parts, definition.normalization_type, name=name)
            yield changed(scaled, found.apply)

    same = all(scale == 1 for scale in scales)
    back = None if same else Linear.back(rule.extent, own, scales)
    held = preparing_bytes(own)
    return Inputs(len(images), rule.extent, windows, own, back, held)


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
