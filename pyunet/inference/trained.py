"""A trained net and what it was trained to see: what ``pyunet.load`` gives.

Three things become one: a model of the list, the user's own net with its weights, and
files that packages beside pyunet open (`pyunet.zoo.finding.ModelKind`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pyunet.data.images import ImageStack
from pyunet.errors import DataError
from pyunet.inference.adapting import adapted_inputs
from pyunet.inference.engine import VOLUME, Model, load_model
from pyunet.inference.outputs import Values, most_likely
from pyunet.inference.passes import parse_passes
from pyunet.inference.segmenting import Segmenter
from pyunet.inference.windows import FloatArray, Inputs
from pyunet.zoo.finding import find_model, kind_of
from pyunet.zoo.manifest import Entry, Input, find_entry


class Prepare(Protocol):
    """Makes images ready for a net: its pixel size and its range of grey values."""

    def __call__(
        self,
        stack: ImageStack,
        pixel_size_um: Sequence[float] | None,
        *,
        frames: int = 1,
        free: int | None = None,
    ) -> Inputs:
        """Prepare a stack.

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

        Raises
        ------
        DataError
            Images that the net cannot take.
        """


@dataclass(frozen=True)
class Trained:
    """A trained net, ready to segment.

    Attributes
    ----------
    model : Model
        The net with its weights.
    prepare : callable
        Makes `Inputs` of a stack of images; see `Prepare`.
    pixel_size_um : tuple of float or None
        Pixel size that the net was trained on, (z)yx; None: any.
    any_channels : bool, default False
        Whether grey and colour images are made what the net takes; otherwise images
        must have its channels.
    several_volumes : bool, default False
        Whether every time frame of a file is a volume for the net.
    classes : tuple of str
        Meaning of the scores' channels, in order; empty where it is not known.
    object_classes : tuple of int
        Numbers of the classes whose objects are counted; empty: all but 0.
    average : str
        Test-time averaging where nobody asks for another, as for `parse_passes`.
    """

    model: Model
    prepare: Prepare
    pixel_size_um: tuple[float, ...] | None = None
    any_channels: bool = False
    several_volumes: bool = False
    classes: tuple[str, ...] = ()
    object_classes: tuple[int, ...] = ()
    average: str = ""
    _turn: AbstractContextManager[object] = field(
        default_factory=Lock, init=False, repr=False, compare=False
    )

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
        return most_likely(by_class, self.values).astype(np.uint8)

    def check_channels(self, stack: ImageStack) -> None:
        """See that images have the channels that the net takes.

        Raises
        ------
        DataError
            They have others.
        """
        channels, model = stack.array.shape[1], self.model
        if not self.any_channels and channels != model.channels:
            raise DataError(
                f"{stack.place}: has {channels} channel(s); the net {model.deploy} "
                f"takes {model.channels} (blob '{model.source}')"
            )

    @property
    def values(self) -> Values:
        """Say what the numbers are that an image gets."""
        return "probabilities" if self.model.gives_probabilities else "scores"

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
        stack = ImageStack(slices, "image", [])
        self.check_channels(stack)
        inputs = self.prepare(stack, sizes)
        passes = parse_passes(self.average) if self.average else None
        segmenter = Segmenter.within(self.model, passes=passes)
        (scores,) = segmenter.scores(inputs, label="image")
        return np.asarray(scores)


def load_trained(
    model: str | Path, weights: str | Path | None = None, *, gpu: int | None = None
) -> Trained:
    """Load a trained net.

    Parameters
    ----------
    model : str or Path
        A name of ``pyunet zoo list``, which is fetched if it is not here. With
        `weights` what `find_model` finds.
    weights : str or Path, optional
        ``.caffemodel`` or ``.caffemodel.h5`` of the user's own.
    gpu : int, optional
        Number of the GPU to run on; default: the CPU.

    Returns
    -------
    Trained

    Raises
    ------
    DataError
        No such model, one that cannot be fetched, files that do not fit each other.
    """
    if weights is None:
        return _load_listed(find_entry(str(model)), gpu=gpu)
    return open_model(find_model(model), weights, gpu=gpu)


def open_model(
    path: str | Path, weights: str | Path, *, gpu: int | None = None
) -> Trained:
    """Load a prototxt, or a model file of another kind, with its weights.

    A net of a prototxt takes images as they are stored, grey values as 0..1.

    Raises
    ------
    DataError
        Files that cannot be read, or do not fit each other.
    """
    kind = kind_of(path)
    if kind is not None:
        trained: Trained = kind.open_model(Path(path), Path(weights), gpu=gpu)
        return trained
    model = load_model(path, weights, gpu=gpu)
    return _of_net(model, Input(channels=model.channels, take="as stored"))


def _load_listed(entry: Entry, *, gpu: int | None) -> Trained:
    """Load a model of the list; it is fetched if it is not here."""
    from pyunet.zoo.fetching import fetch  # slow to import

    files = fetch(entry)
    if entry.definition:
        trained = open_model(files.model, files.weights, gpu=gpu)
    else:
        model = load_model(files.model, files.weights, gpu=gpu)
        if model.channels != entry.input.channels:
            raise DataError(
                f"{entry.name}: its net {files.model} takes {model.channels} "
                f"channel(s), its list says {entry.input.channels}"
            )
        trained = _of_net(model, entry.input)
    return replace(
        trained,
        classes=tuple(entry.classes),
        object_classes=tuple(entry.object_classes),
        average=entry.average,
    )


def _of_net(model: Model, sees: Input) -> Trained:
    """Say how images are prepared for the net of a prototxt."""

    def prepare(
        stack: ImageStack,
        pixel_size_um: Sequence[float] | None,
        *,
        frames: int = 1,
        free: int | None = None,
    ) -> Inputs:
        del frames  # all slices are one volume
        return adapted_inputs(
            stack, sees,
            dimensions=len(model.axes), pixel_size_um=pixel_size_um, free=free,
        )  # fmt: skip

    net_um = sees.pixel_size_um
    return Trained(
        model,
        prepare,
        pixel_size_um=(net_um, net_um) if net_um else None,
        any_channels=sees.take != "as stored",
    )
