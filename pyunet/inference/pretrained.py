"""A trained model that takes an image and gives scores: ``pyunet.load(NAME)``."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyunet.data.images import ImageStack
from pyunet.errors import DataError
from pyunet.inference.adapting import adapted_inputs
from pyunet.inference.definitions import load_definition
from pyunet.inference.engine import FLOAT_BYTES, Model, load_model
from pyunet.inference.inputs import Inputs, definition_inputs
from pyunet.inference.outputs import Values, most_likely
from pyunet.inference.passes import parse_passes
from pyunet.inference.segmenting import Segmenter
from pyunet.inference.windows import FloatArray
from pyunet.memory import available_bytes, used_bytes
from pyunet.modeldef import ModelDefinition
from pyunet.zoo import is_definition
from pyunet.zoo.fetching import fetch
from pyunet.zoo.manifest import Entry, find_entry

LOG = logging.getLogger(__name__)
VOLUME = 3


@dataclass(frozen=True)
class Pretrained:
    """A trained model, ready to segment.

    Attributes
    ----------
    entry : Entry
        What is known of it.
    model : Model
        The net with its weights.
    definition : ModelDefinition or None
        Of a model that came as one.
    """

    entry: Entry
    model: Model
    definition: ModelDefinition | None = None
    _turn: AbstractContextManager[object] = field(
        default_factory=Lock, init=False, repr=False, compare=False
    )

    @property
    def classes(self) -> tuple[str, ...]:
        """Meaning of the scores' channels, in order; empty where it is not known."""
        return tuple(self.entry.classes)

    @property
    def pixel_size_um(self) -> tuple[float, ...] | None:
        """Pixel size that the net was trained on, (z)yx; None: any."""
        if self.definition is not None:
            return self.definition.element_size_um
        size = self.entry.input.pixel_size_um
        return (size, size) if size else None

    def __call__(
        self,
        image: NDArray[Any],
        *,
        pixel_size_um: float | Sequence[float] | None = None,
    ) -> FloatArray:
        """Compute the scores of an image.

        Parameters
        ----------
        image : ndarray, shape (Y, X), (C, Y, X) or (N, C, Y, X)
            uint8, uint16 or floats (0..1, or any range, which is then stretched). C is
            1, or 3 for colour. For a net of volumes with Z before Y.
        pixel_size_um : float or sequence of float, optional
            Of the image, one number or one an axis, in micrometres; default: that of
            the net.

        Returns
        -------
        ndarray of float32, shape (K, Y, X), or (N, K, Y, X) for N images
            A channel a class, at the image's own pixels.

        Raises
        ------
        DataError
            Other axes or channels, a pixel size far from the net's, NaN.
        """
        array, several = self._arranged(np.asarray(image))
        sizes = self._sizes(pixel_size_um)
        with self._turn:  # threads may share the model: one image after the other
            found = [self._scores_of(one, sizes) for one in array]
        return np.stack(found) if several else found[0]

    def labels(
        self,
        image: NDArray[Any],
        *,
        pixel_size_um: float | Sequence[float] | None = None,
    ) -> NDArray[np.uint8]:
        """Give the most likely class of every pixel.

        Parameters
        ----------
        image, pixel_size_um
            As for scores.

        Returns
        -------
        ndarray of uint8, shape (Y, X), or (N, Y, X) for N images
        """
        scores = self(image, pixel_size_um=pixel_size_um)
        by_class = scores if scores.ndim == self._axes + 1 else scores.swapaxes(0, 1)
        kind: Values = "probabilities" if self.model.gives_probabilities else "scores"
        return most_likely(by_class, kind).astype(np.uint8)

    def inputs(
        self,
        stack: ImageStack,
        pixel_size_um: Sequence[float] | None,
        *,
        frames: int = 1,
        free: int | None = None,
    ) -> Inputs:
        """Prepare a stack: pixel size and grey values as the net was trained on.

        Parameters
        ----------
        stack : ImageStack
            (N, C, Y, X).
        pixel_size_um : sequence of float or None
            Of its pixels, (z)yx; None: that of the net.
        frames : int, default 1
            Volumes that it holds, for a net of volumes.
        free : int, optional
            Bytes that may be taken to look at images whole; default: any number.

        Returns
        -------
        Inputs
        """
        if self.definition is None:
            return adapted_inputs(
                stack, self.entry.input,
                dimensions=self._axes, pixel_size_um=pixel_size_um, free=free,
            )  # fmt: skip
        wanted = self.definition.element_size_um
        size = wanted if pixel_size_um is None else pixel_size_um
        listed = [" x ".join(f"{one:g}" for one in sizes) for sizes in (size, wanted)]
        LOG.info("%s: %s um a pixel, the model's are %s um", stack.name, *listed)
        return definition_inputs(stack, self.definition, size, frames=frames)

    @property
    def _axes(self) -> int:
        return len(self.model.axes)

    def _arranged(self, array: NDArray[Any]) -> tuple[NDArray[Any], bool]:
        """Give images (N, C, [Z,] Y, X), and whether several were given."""
        if array.dtype.kind not in "buif":
            raise DataError(f"image of type {array.dtype}: accepted are numbers")
        names = "CZYX" if self._axes == VOLUME else "CYX"
        more = array.ndim - self._axes
        if more not in (0, 1, 2) or 0 in array.shape:
            raise DataError(
                f"image of shape {array.shape}: accepted are {names[1:]}, {names} and "
                f"N{names}"
            )
        whole = array[(None,) * (2 - more)]
        if array.dtype == bool:
            whole = whole * np.uint8(255)
        if whole.shape[1] not in (1, 3, self.model.channels):
            raise DataError(
                f"image of shape {array.shape}: axis C has {whole.shape[1]}; a stack "
                "of grey images is stack[:, None], colours at the end are moved by "
                "numpy.moveaxis(image, -1, 0)"
            )
        return whole, more == 2

    def _sizes(self, given: float | Sequence[float] | None) -> tuple[float, ...] | None:
        if given is None:
            return None
        sizes = (given,) * self._axes if isinstance(given, (int, float)) else given
        if len(sizes) != self._axes or not all(size > 0 for size in sizes):
            raise DataError(
                f"pixel_size_um {given}: accepted are one number above 0, or "
                f"{self._axes}"
            )
        return tuple(float(size) for size in sizes)

    def _scores_of(
        self, image: NDArray[Any], sizes: tuple[float, ...] | None
    ) -> FloatArray:
        """Compute the scores of one image (C, [Z,] Y, X)."""
        slices = image.swapaxes(0, 1) if self._axes == VOLUME else image[None]
        inputs = self.inputs(ImageStack(slices, "image", []), sizes)
        segmenter = self._segmenter(inputs)
        scores = np.empty((segmenter.classes, *inputs.own), np.float32)
        by_slice = scores.swapaxes(0, 1) if self._axes == VOLUME else scores[None]
        for part in segmenter.plan(inputs).parts("image"):
            target: tuple[slice, ...] = (slice(None), *part.target)
            by_slice[part.image][target] = part.scores
        return scores

    def _segmenter(self, inputs: Inputs) -> Segmenter:
        """Take half of the memory that is free, and average as the list says."""
        held = used_bytes()
        limit = held + available_bytes() // 2
        passes = parse_passes(self.entry.average) if self.entry.average else None
        segmenter = Segmenter(self.model, limit, held, passes)
        result = FLOAT_BYTES * segmenter.classes * math.prod(inputs.own)
        return replace(segmenter, held=held + result)


def load_pretrained(model: str | Entry, *, gpu: int | None = None) -> Pretrained:
    """Load a trained model by its name; it is fetched if it is not here.

    Parameters
    ----------
    model : str or Entry
        A name of ``pyunet zoo list``.
    gpu : int, optional
        Number of the GPU to run on; default: the CPU.

    Returns
    -------
    Pretrained

    Raises
    ------
    DataError
        No such model, one that cannot be fetched, files that do not fit each other.
    """
    entry = find_entry(model) if isinstance(model, str) else model
    files = fetch(entry)
    if is_definition(files.model):
        net, definition = load_definition(files.model, files.weights, gpu=gpu)
        return Pretrained(entry, net, definition)
    net = load_model(files.model, files.weights, gpu=gpu)
    if net.channels != entry.input.channels:
        raise DataError(
            f"{entry.name}: its net {files.model} takes {net.channels} channel(s), its "
            f"list says {entry.input.channels}"
        )
    return Pretrained(entry, net)
