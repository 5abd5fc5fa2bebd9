"""How images are made ready for the net of a model definition.

Grey values are read at the net's own pixel size and normalised as the definition says
(modeldef_h5.md, section 3); scores are read back linearly.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyunet.data.images import ImageStack
from pyunet.errors import DataError
from pyunet.inference.engine import VOLUME
from pyunet.inference.tiling import Window
from pyunet.inference.trained import Trained
from pyunet.inference.windows import (
    Inputs,
    blocks,
    changed,
    everywhere,
    of_array,
    preparing_bytes,
    resampled,
)
from pyunet_fiji.modeldef.definition import ModelDefinition
from pyunet_fiji.modeldef.loading import load_definition
from pyunet_fiji.modeldef.normalisation import Range
from pyunet_fiji.modeldef.rescaling import Linear

LOG = logging.getLogger(__name__)


def trained_definition(
    path: str | Path, weights: str | Path, *, gpu: int | None = None
) -> Trained:
    """Load a model definition and its weights, ready to segment.

    Parameters
    ----------
    path, weights, gpu
        As for `load_definition`.

    Raises
    ------
    DataError
        What `load_definition` refuses.
    """
    model, definition = load_definition(path, weights, gpu=gpu)

    def prepare(
        stack: ImageStack,
        pixel_size_um: Sequence[float] | None,
        *,
        frames: int = 1,
        free: int | None = None,
    ) -> Inputs:
        del free  # images are read in windows only
        own = pixel_size_um or definition.element_size_um
        listed = [_listed(one) for one in (own, definition.element_size_um)]
        LOG.info("%s: %s um a pixel, the model's are %s um", stack.name, *listed)
        return definition_inputs(stack, definition, own, frames=frames)

    return Trained(
        model,
        prepare,
        pixel_size_um=definition.element_size_um,
        several_volumes=definition.dimensions == VOLUME,
    )


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
    >>> model = ModelDefinition("id", "", "data", (1.0, 1.0), (1, 1), (0, 0), (-2, -2))
    >>> stack = ImageStack(np.arange(8.0).reshape(1, 1, 2, 4), "a", [])
    >>> inputs = definition_inputs(stack, model, (0.5, 0.5))
    >>> inputs.extent, next(inputs.windows())(everywhere((1, 2))).tolist()
    ((1, 2), [[[0.0, 1.0]]])
    >>> scores = np.array([[[0.0, 1.0]]], np.float32)
    >>> inputs.back.apply(scores, everywhere((2, 4))).tolist()
    [[[0.0, 0.5, 1.0, 1.0], [0.0, 0.5, 1.0, 1.0]]]
    """
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


def _listed(sizes: Sequence[float]) -> str:
    return " x ".join(f"{size:g}" for size in sizes)
