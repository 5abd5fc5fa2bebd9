"""Segment what a layer holds, image by image; nothing here knows of windows."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyunet.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pyunet.inference.trained import Trained

FILES = "files"
TO_FETCH = "{} (to be fetched)"
COLOURS = 3


@dataclass(frozen=True)
class Choice:
    """The model that a person chose.

    Attributes
    ----------
    name : str
        Of the zoo; empty: of files.
    net, weights : Path
        A prototxt, a folder with one or a ``.modeldef.h5``, and its weights.
    """

    name: str = ""
    net: Path = Path()
    weights: Path = Path()


@dataclass(frozen=True)
class Segmented:
    """What was found.

    Attributes
    ----------
    labels : ndarray of uint8, shape as the layer's axes
    scores : ndarray of float32 or None, shape (K, ...)
    """

    labels: NDArray[np.uint8]
    scores: NDArray[np.float32] | None


def model_choices() -> list[tuple[str, str]]:
    """List what can be chosen: text and name; models whose files are here first.

    Examples
    --------
    >>> model_choices()[-1]
    ('from files', 'files')
    """
    from pyunet.zoo.manifest import entries, state

    found = {
        name: state(entry) for name, entry in entries().items() if not entry.collection
    }
    here = [(name, name) for name, where in found.items() if where == "here"]
    away = [
        (TO_FETCH.format(name), name)
        for name, where in found.items()
        if where == "to fetch"
    ]
    return [*here, *away, ("from files", FILES)]


def load_choice(choice: Choice) -> Trained:
    """Load the model that was chosen; one of the zoo is fetched if it is not here.

    Raises
    ------
    DataError
        No such model, files that are not there or do not fit each other.
    """
    import pyunet

    if choice.name:
        return pyunet.load(choice.name)
    for path, what in ((choice.net, "net"), (choice.weights, "weights")):
        if path == Path():
            raise DataError(f"no {what}: choose a file, or a model by its name")
    return pyunet.load(choice.net, choice.weights)


def segment_steps(
    array: NDArray[Any],
    model: Trained,
    *,
    rgb: bool = False,
    pixel_size_um: Sequence[float] | None = None,
    scores: bool = False,
) -> Generator[tuple[int, int], None, Segmented]:
    """Segment a layer's array, and say after each image how many are done.

    Parameters
    ----------
    array : ndarray, shape (..., [Z,] Y, X), with `rgb` (..., Y, X, 3 or 4)
        A 2-D net takes each (Y, X) by itself, a net of volumes each (Z, Y, X).
    model : Trained
    rgb : bool, default False
        The last axis is colour; transparency is left out.
    pixel_size_um : sequence of float, optional
        Of the net's axes; default: that of the net.
    scores : bool, default False
        Keep the scores.

    Yields
    ------
    done, total : int
        Images.

    Returns
    -------
    Segmented

    Raises
    ------
    DataError
        Fewer axes than the net's, and what the model refuses.
    """
    import numpy as np

    from pyunet.inference.outputs import most_likely

    images, lead = _images(array, len(model.model.axes), rgb=rgb)
    labels, kept = [], []
    yield 0, len(images)
    for number, image in enumerate(images, 1):
        found = model(image, pixel_size_um=pixel_size_um)
        labels.append(most_likely(found, model.values))
        if scores:
            kept.append(found)
        yield number, len(images)
    whole = np.stack(labels).astype(np.uint8)
    extent = (*lead, *whole.shape[1:])
    shown = None
    if scores:
        every = np.stack(kept, axis=1)
        shown = every.reshape(len(every), *extent)
    return Segmented(whole.reshape(extent), shown)


def pixel_size_um(scale: Sequence[float], units: Sequence[Any]) -> list[float] | None:
    """Give the size of pixels in micrometres; None where units are no lengths.

    Parameters
    ----------
    scale : sequence of float
        Of a layer's last axes.
    units : sequence
        Theirs, as pint gives them.
    """
    import pint

    registry = pint.get_application_registry()
    try:
        sizes = [
            float(registry.Quantity(float(one), str(unit)).to("micrometer").magnitude)
            for one, unit in zip(scale, units, strict=True)
        ]
    except pint.DimensionalityError:
        return None
    return [round(size, 12) for size in sizes]


def _images(
    array: NDArray[Any], axes: int, *, rgb: bool
) -> tuple[NDArray[Any], tuple[int, ...]]:
    """Arrange an array as images (N, C, [Z,] Y, X); give its further axes as well."""
    import numpy as np

    whole = np.asarray(array)
    whole = np.moveaxis(whole[..., :COLOURS], -1, 0) if rgb else whole[None]
    lead = whole.shape[1:-axes]
    if whole.ndim - 1 < axes:
        raise DataError(
            f"the layer has {whole.ndim - 1} axes; the net takes volumes of {axes}"
        )
    flat = whole.reshape(len(whole), math.prod(lead), *whole.shape[-axes:])
    return flat.swapaxes(0, 1), lead
