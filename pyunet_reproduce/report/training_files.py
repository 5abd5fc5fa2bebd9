"""What a list of HDF5 training files holds, for a report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pyunet.boundary import reading
from pyunet.data.hdf5 import read_training_set
from pyunet.errors import DataError
from pyunet_reproduce.report.run import WeightExample

LARGEST = 2**16 - 1  # of labels
ENOUGH = 64  # tiles are looked at for the shares of the classes


def describe_training_set(list_file: Path) -> list[tuple[str, str]]:
    """Say what a training set holds, as names and values.

    Parameters
    ----------
    list_file : Path
        As `pyunet data make` wrote it; its paths count from the working directory.

    Raises
    ------
    DataError
        A list or a file that cannot be read.
    """
    names = _listed(list_file)
    shapes, count, arguments = {}, 0, "{}"
    for name in names:
        where = f"{name} (named in {list_file})"
        with reading(where), h5py.File(name, "r") as file:
            shapes = {
                key: (dataset.shape, dataset.dtype) for key, dataset in _arrays(file)
            }
            count += next(iter(shapes.values()))[0][0] if shapes else 0
            arguments = file.attrs.get("arguments", "{}")
    rows = [("list", str(list_file)), ("files", str(len(names)))]
    rows.append(("tiles", str(count)))
    rows += [
        (key, f"{' x '.join(map(str, shape[1:]))} a tile, {dtype}")
        for key, (shape, dtype) in shapes.items()
    ]
    rows += _made_with(arguments)
    return [*rows, *_class_shares(list_file)]


def read_weight_example(list_file: Path) -> WeightExample:
    """Give the first tile of a training set.

    Raises
    ------
    DataError
        A list or a file that cannot be read.
    """
    for data, label, weights in read_training_set(list_file):
        image, classes, weight = data.astype(np.float32), label[0], weights[0]
        if classes.ndim > 2:
            middle = len(classes) // 2
            image = image[:, image.shape[1] // 2]
            classes, weight = classes[middle], weight[middle]
        return WeightExample("The first training tile.", image, classes, weight)
    raise DataError(f"{list_file}: its files hold no tile; expected at least one")


def _listed(list_file: Path) -> list[str]:
    with reading(list_file, "no list file of HDF5 files"):
        names = list_file.read_text(encoding="utf-8").split()
    if not names:
        raise DataError(f"{list_file}: names no file; expected at least one")
    return names


def _arrays(file: h5py.File) -> Iterator[tuple[str, Any]]:
    for key, dataset in file.items():
        if isinstance(dataset, h5py.Dataset) and dataset.ndim > 1:
            yield key, dataset


def _made_with(arguments: Any) -> list[tuple[str, str]]:
    try:
        options = json.loads(arguments)
    except (ValueError, TypeError, RecursionError):
        return []
    if not isinstance(options, dict):
        return []
    return [
        (f"made with {key}", str(value))
        for key, value in options.items()
        if value not in (None, False)
    ]


def _class_shares(list_file: Path) -> list[tuple[str, str]]:
    """Give the share of each class in the first tiles; none if they are not ours."""
    counts: NDArray[np.int64] = np.zeros(0, np.int64)
    try:
        for number, sample in enumerate(read_training_set(list_file)):
            if number == ENOUGH:
                break
            with reading(list_file):
                labels = sample.label.ravel().astype(np.intp)
            if not 0 <= labels.min(initial=0) <= labels.max(initial=0) <= LARGEST:
                return []
            pixels = np.bincount(labels)
            size = max(len(counts), len(pixels))
            counts = np.pad(counts, (0, size - len(counts)))
            counts[: len(pixels)] += pixels
    except DataError:
        return []
    shares = ", ".join(
        f"{number}: {100 * part:.1f} %"
        for number, part in enumerate(counts / max(int(counts.sum()), 1))
    )
    return [(f"pixels of each class (first {ENOUGH} tiles at most)", shares)]
