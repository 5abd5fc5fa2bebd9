"""The HDF5 files of ``tiled_predict``: images in, scores out (its sections 5, 7)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from caffe.glog import log
from pyunet.boundary import check_held, reading
from pyunet.errors import DataError
from pyunet.files import atomic_path
from pyunet_fiji.backend.ending import ending_cleanly
from pyunet_fiji.backend.errors import CheckFailedError
from pyunet_fiji.modeldef.definition import ModelDefinition

PLACE = "tiled_predict.cpp:480"
FloatArray = NDArray[np.float32]


def read_images(path: str, model: ModelDefinition, iterations: int) -> FloatArray:
    """Read images of any numeric type, and close the file.

    Parameters
    ----------
    path : str
    model : ModelDefinition
        Says the dataset's name and dimension.
    iterations : int
        How many of the images; 0 or more than there are: all.

    Returns
    -------
    ndarray of float32, shape (N, C, [Z,] Y, X)

    Raises
    ------
    CheckFailedError
        No such file, not HDF5, no such dataset, no numbers, another dimension, no
        image, NaN or infinite values.
    """
    log("tiled_predict.cpp:473", f"Loading HDF5 input file: {path}")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise CheckFailedError(
            f"Failed to open HDF5 file {path}: {_text(error)}", PLACE
        ) from None
    name = model.input_dataset_name
    log(PLACE, f"\tloading dataset: {name}")
    try:
        with file, reading(path, f"dataset '{name}' cannot be read"):
            values = _read_dataset(path, file, model, iterations)
    except CheckFailedError:
        raise
    except DataError as error:
        raise CheckFailedError(str(error), PLACE) from None
    log(
        "tiled_predict.cpp:483",
        f"\tdata blob size: ({','.join(map(str, values.shape))})",
    )
    _check_numbers(path, name, values)
    return values


def _read_dataset(
    path: str, file: h5py.File, model: ModelDefinition, iterations: int
) -> FloatArray:
    name = model.input_dataset_name
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "biuf":
        raise CheckFailedError(
            f"{path}: no dataset '{name}' of numbers; the file has "
            f"{', '.join(map(str, sorted(file))) or 'nothing'}",
            PLACE,
        )
    _check_shape(path, dataset, model)
    check_held(path, dataset.nbytes, Path(path).stat().st_size)
    with np.errstate(over="ignore"):
        return np.asarray(dataset[: iterations or None], dtype=np.float32)


def check_place(path: str) -> None:
    """Find out before the work whether a file can be written.

    Raises
    ------
    CheckFailedError
    """
    folder = Path(os.path.realpath(path)).parent
    if Path(path).is_dir() or not os.access(folder, os.W_OK):
        raise CheckFailedError(
            f"Failed to create or reopen HDF5 file{path}: "
            f"{folder if not Path(path).is_dir() else path} cannot be written",
            "tiled_predict.cpp:724",
        )


def write_scores(path: str, scores: Mapping[str, FloatArray], *, source: str) -> None:
    """Write all scores, or nothing: no signal and no full disk leaves half of them.

    Parameters
    ----------
    path : str
    scores : mapping of str to ndarray of float32
        One dataset each at the root of the file; nothing else is there.
    source : str
        The file that the images came from. If it is `path` and was deleted meanwhile,
        nobody waits for the result, and it is not made again.

    Raises
    ------
    CheckFailedError
    """
    log("tiled_predict.cpp:721", f"Saving HDF5 output file {path}")
    try:
        with ending_cleanly() as unfinished, atomic_path(Path(path)) as temporary:
            unfinished.append(temporary)
            with h5py.File(temporary, "w") as file:
                for name in sorted(scores):
                    _write_blob(file, name, scores[name])
            _check_wanted(path, source)
    except (DataError, OSError, RuntimeError, ValueError) as error:
        raise CheckFailedError(
            f"Failed to create or reopen HDF5 file{path}: {_text(error)}",
            "tiled_predict.cpp:724",
        ) from None


def _write_blob(file: h5py.File, name: str, values: FloatArray) -> None:
    """Write one channel after the other: a signal waits for no more than that."""
    dataset = file.create_dataset(name, shape=values.shape, dtype=np.float32)
    for index in np.ndindex(values.shape[:2]):
        dataset[index] = values[index]


def _check_wanted(path: str, source: str) -> None:
    """Write no result where nobody waits for it any more."""
    same = os.path.realpath(source) == os.path.realpath(path)
    if same and not Path(path).exists():
        raise DataError("it was deleted meanwhile; no result is written")


def _check_shape(path: str, dataset: h5py.Dataset, model: ModelDefinition) -> None:
    axes = len(dataset.shape or ()) - 2
    if axes != model.dimensions:
        raise CheckFailedError(
            f"Model requires {model.dimensions}-D data, but the given input blob is"
            f"{axes}-D.",
            PLACE,
        )
    if not dataset.size:
        raise CheckFailedError(
            f"{path}: the input blob {dataset.shape} is empty", PLACE
        )


def _check_numbers(path: str, name: str, values: FloatArray) -> None:
    """Refuse what the plugin makes of an image of one grey value: 0 / 0."""
    for number, image in enumerate(values, 1):
        if not np.isfinite(image).all():
            raise CheckFailedError(
                f"{path}: dataset '{name}', image {number} of {len(values)} has NaN "
                "or infinite values; expected finite ones (an image with the same "
                "grey value everywhere cannot be normalised)",
                PLACE,
            )


def _text(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
