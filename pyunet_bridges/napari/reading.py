"""Readers: HDF5 training tiles, and the results of ``pyunet segment``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyunet.boundary import reading
from pyunet.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[str | Sequence[str]], list[LayerData]]
DATA, LABELS, WEIGHTS = ("data", "data2", "data3"), ("label", "labels"), ("weights",)


def training_tiles_reader(path: str | Sequence[str]) -> Reader | None:
    """Give a reader of HDF5 files of training tiles, as Caffe's HDF5Data reads them.

    Parameters
    ----------
    path : str or sequence of str

    Returns
    -------
    callable or None
        None where a file has no dataset of images, or is no HDF5 file.
    """
    import h5py

    for one in _paths(path):
        try:
            with reading(one), h5py.File(one, "r") as file:
                if not _first(file, DATA):
                    return None
        except DataError:
            return None
    return read_training_tiles


def read_training_tiles(path: str | Sequence[str]) -> list[LayerData]:
    """Read images, labels and weights of training tiles as layers.

    Labels and weights of nets without padding are smaller than their images; they are
    put over the middle of them.

    Parameters
    ----------
    path : str or sequence of str

    Returns
    -------
    list of (array, settings, kind of layer)
        Image (N, [Z,] Y, X), a layer for each channel; labels; weights, hidden.

    Raises
    ------
    DataError
        A file that cannot be read.
    """
    import h5py

    layers: list[LayerData] = []
    for one in _paths(path):
        with reading(one), h5py.File(one, "r") as file:
            layers += _layers(file, Path(one).stem)
    return layers


def results_reader(path: str | Sequence[str]) -> Reader:
    """Give a reader of ``NAME_labels.tif`` and ``NAME_scores.tif``."""
    return read_results


def read_results(path: str | Sequence[str]) -> list[LayerData]:
    """Read labels as a layer of labels, scores as a layer for each class.

    Parameters
    ----------
    path : str or sequence of str

    Returns
    -------
    list of (array, settings, kind of layer)

    Raises
    ------
    DataError
        A file that is no TIFF image or damaged.
    """
    from pyunet.data.images import read_stack

    layers: list[LayerData] = []
    for one in _paths(path):
        stack = read_stack(one)
        whole = stack.array[0] if len(stack.array) == 1 else stack.array.swapaxes(0, 1)
        if stack.name.endswith("_scores"):
            layers += score_layers(whole, stack.name)
        else:
            layers.append((whole[0].astype(int), {"name": stack.name}, "labels"))
    return layers


def score_layers(scores: NDArray[Any], name: str, **settings: Any) -> list[LayerData]:
    """Make hidden image layers of scores, the class's number in their names.

    Parameters
    ----------
    scores : ndarray, shape (K, ...)
    name : str
    settings
        Of every layer, as ``scale``.

    Examples
    --------
    >>> import numpy as np
    >>> [meta["name"] for _, meta, _ in score_layers(np.zeros((2, 4, 4)), "cells")]
    ['cells, class 0', 'cells, class 1']
    """
    return [
        (one, {"name": f"{name}, class {number}", "visible": False} | settings, "image")
        for number, one in enumerate(scores)
    ]


def _layers(file: Any, stem: str) -> list[LayerData]:
    data = file[_first(file, DATA)][...].astype("float32")
    layers: list[LayerData] = [
        (data[:, number], {"name": f"{stem} {words}".strip()}, "image")
        for number, words in _channels(data)
    ]
    for names, kind in ((LABELS, "labels"), (WEIGHTS, "image")):
        name = _first(file, names)
        if not name:
            continue
        maps = file[name][:, 0]
        border = [
            (have - own) / 2
            for have, own in zip(data.shape[2:], maps.shape[1:], strict=True)
        ]
        settings = {"name": f"{stem} {name}", "translate": [0.0, *border]}
        if kind == "labels":
            layers.append((maps.astype(int), settings, kind))
        else:
            shown = settings | {"colormap": "magma", "visible": False}
            layers.append((maps.astype("float32"), shown, kind))
    return layers


def _channels(data: NDArray[Any]) -> list[tuple[int, str]]:
    count = data.shape[1]
    return [(n, f"channel {n}" if count > 1 else "") for n in range(count)]


def _first(file: Any, names: Sequence[str]) -> str:
    """Give the first name that is a dataset of tiles; none is empty."""
    found = (
        name
        for name in names
        if name in file and len(getattr(file[name], "shape", ())) in (4, 5)
    )
    return next(found, "")


def _paths(path: str | Sequence[str]) -> list[str]:
    return [path] if isinstance(path, str) else list(path)
