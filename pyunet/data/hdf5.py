"""Training sets as Caffe's HDF5Data layer reads them: HDF5 files and a list file."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pyunet import __version__
from pyunet.boundary import check_held, check_memory, reading
from pyunet.data.training_set import Sample
from pyunet.errors import DataError
from pyunet.files import new_files, new_hdf5

DataType = Literal["float16", "float32", "uint8"]


def write_training_set(
    samples: Iterable[Sample],
    count: int,
    out: str | Path,
    *,
    name: str = "train",
    dtype: DataType = "float16",
    samples_per_file: int = 100,
    arguments: Mapping[str, Any] | None = None,
) -> Path:
    """Write samples to ``out/<name>_000.h5 ...`` and their names to ``out/<name>.txt``.

    Datasets: ``data`` (N, C, Y, X), ``label`` uint8 and ``weights`` float16
    (N, 1, Y, X), one compressed chunk a sample. Everything is written beside its
    place and moved there at the end: on an error nothing new is left, and a set of
    the same name that was there before is as it was.

    Parameters
    ----------
    samples : iterable of Sample
        Grey values 0..1.
    count : int
        How many samples there are.
    out : str or Path
        Folder; made if it is not there. The list names the files as this path does,
        so a relative one counts from the folder where Caffe will be started.
    name : str, default "train"
        What file names begin with.
    dtype : {"float16", "float32", "uint8"}
        Type of ``data``. Floats are 0..1; uint8 is 0..255, and so does Caffe see it.
    samples_per_file : int, default 100
        Caffe holds one whole file in memory.
    arguments : mapping, optional
        Recorded as JSON in the attribute ``arguments`` of every file.

    Returns
    -------
    Path
        The list file, for ``hdf5_data_param { source: ... }``.

    Raises
    ------
    DataError
        White space in the path (Caffe's list cannot hold it), no samples, a folder
        that cannot be written or a full disk.
    """
    out = Path(out)
    if any(character.isspace() for character in f"{out}{name}"):
        raise DataError(
            f"{out}/{name}.txt: white space in the path, but Caffe's list files end a "
            "name there; expected a path without it"
        )
    if count < 1 or samples_per_file < 1:
        raise DataError(
            f"{out}: {count} samples, {samples_per_file} per file; expected 1 or more"
        )
    names = []
    with new_files(out) as place:
        rows = iter(tqdm(samples, name, total=count, unit="sample", disable=None))
        for number, start in enumerate(range(0, count, samples_per_file)):
            names.append(f"{name}_{number:03d}.h5")
            size = min(samples_per_file, count - start)
            part = itertools.islice(rows, size)
            _write_file(place(names[-1]), part, size, dtype, arguments or {})
        lines = "".join(f"{(out / file).as_posix()}\n" for file in names)
        place(f"{name}.txt").write_text(lines, encoding="utf-8")
    return out / f"{name}.txt"


def read_training_set(list_file: str | Path) -> Iterator[Sample]:
    """Read the samples of a list file one by one, as they are stored.

    Parameters
    ----------
    list_file : str or Path
        As `write_training_set` made it; its paths count from the working directory.

    Yields
    ------
    Sample

    Raises
    ------
    DataError
        A file that is missing, no HDF5 file, or lacks one of the three datasets.
    """
    list_file = Path(list_file)
    with reading(list_file, "no list file of HDF5 files"):
        names = list_file.read_text(encoding="utf-8").split()
    for name in names:
        yield from _samples(name, f"{name} (named in {list_file})")


def _samples(name: str, where: str) -> Iterator[Sample]:
    with reading(where):
        file = h5py.File(name, "r")
    with file:
        with reading(where):
            datasets = _datasets(file)
            lengths = {len(dataset) for dataset in datasets}
            if len(lengths) > 1:
                raise DataError(f"{where}: has datasets of {sorted(lengths)} rows")
        for row in range(lengths.pop()):
            with reading(where):
                sample = Sample(*(dataset[row] for dataset in datasets))
            yield sample


def _datasets(file: h5py.File) -> list[h5py.Dataset]:
    missing = [name for name in Sample._fields if name not in file]
    if missing:
        raise DataError(
            f"{file.filename}: has no dataset {' and no '.join(missing)}; expected "
            f"files with {', '.join(Sample._fields)}"
        )
    datasets = [file[name] for name in Sample._fields]
    for dataset in datasets:
        check_row(file.filename, dataset)
    return datasets


def check_row(path: str | Path, dataset: h5py.Dataset) -> None:
    """Refuse a dataset of which not even one row can be had.

    Raises
    ------
    DataError
        No rows of arrays, or larger ones than the file can hold.
    """
    if not isinstance(dataset, h5py.Dataset) or not dataset.shape:
        raise DataError(f"{path}: {dataset.name} is no array of rows")
    row = math.prod(dataset.shape[1:]) * dataset.dtype.itemsize
    check_held(path, row, Path(path).stat().st_size)
    check_memory(path, row)


def _write_file(
    path: Path,
    samples: Iterable[Sample],
    size: int,
    dtype: DataType,
    arguments: Mapping[str, Any],
) -> None:
    types = (dtype, "uint8", "float16")
    with new_hdf5(path) as file:
        file.attrs["pyunet"] = __version__
        file.attrs["arguments"] = json.dumps(dict(arguments), default=str)
        datasets: list[h5py.Dataset] = []
        for row, sample in enumerate(samples):
            if not datasets:
                datasets = [
                    file.create_dataset(
                        field,
                        (size, *values.shape),
                        kind,
                        chunks=(1, *values.shape),
                        compression="gzip",
                        compression_opts=1,
                        shuffle=True,
                    )
                    for field, values, kind in zip(
                        Sample._fields, sample, types, strict=True
                    )
                ]
            data, label, weights = datasets
            data[row] = _stored(sample.data, dtype)
            label[row] = sample.label
            weights[row] = sample.weights


def _stored(data: NDArray[np.floating[Any]], dtype: DataType) -> NDArray[Any]:
    return np.rint(data * 255).astype(np.uint8) if dtype == "uint8" else data
