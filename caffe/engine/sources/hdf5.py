"""Rows of datasets of one name each, in a list of HDF5 files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from caffe.engine.hdf5 import note_class
from caffe.errors import FileError

Shape = tuple[int, ...]


def read_list(source: str) -> list[str]:
    """Read the names in a list file, as Caffe does: separated by white space.

    Parameters
    ----------
    source : str
        Path of the list file.

    Returns
    -------
    list of str
        Names as they are written; see `find` for where they point.

    Raises
    ------
    FileError
        If the file can't be read or names nothing.
    """
    try:
        names = Path(source).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise FileError(
            f"{source}: {reason}: a text file with names of HDF5 files is accepted"
        ) from None
    if not names:
        raise FileError(f"{source}: names no file: one HDF5 file a line is accepted")
    return names


def find(name: str, source: str) -> Path:
    """Locate a listed file: from the working directory, then beside the list file.

    Raises
    ------
    FileError
        If it is in neither place.
    """
    path = Path(name)
    beside = Path(source).parent / name
    if path.is_file():
        return path
    if beside.is_file():
        return beside
    raise FileError(f"{name}: no such file, though {source} lists it")


class HDF5Rows:
    """Reader of rows; one file is open at a time.

    Parameters
    ----------
    source : str
        List file.
    datasets : sequence of str
        Names of the datasets that every file must have.

    Attributes
    ----------
    names : list of str
        Files as the list writes them.
    shapes : list of dict
        For each file, shape by dataset.

    Raises
    ------
    FileError
        Naming the file that is missing, is no HDF5 file, lacks a dataset, or whose
        datasets do not fit together.
    """

    def __init__(self, source: str, datasets: Sequence[str]) -> None:
        self.source = source
        self.names = read_list(source)
        self.datasets = list(datasets)
        self.shapes: list[dict[str, Shape]] = []
        self._file: Any = None
        self._open_index = -1
        for name in self.names:
            with self._open_file(name) as file:
                self.shapes.append(self._scan(file, name))

    def rows(self, index: int) -> int:
        """Rows of a file."""
        return self.shapes[index][self.datasets[0]][0]

    def open(self, index: int) -> None:
        """Open a file anew, so that a change of it since the start is found.

        Raises
        ------
        FileError
            If it is gone, or its shapes are others.
        """
        self.close()
        name = self.names[index]
        self._file = self._open_file(name)
        self._open_index = index
        found = self._scan(self._file, name)
        if found != self.shapes[index]:
            raise FileError(
                f"{name}: changed since the start: its shapes are {found}, "
                f"they were {self.shapes[index]}"
            )
        for dataset in self.datasets:
            note_class(self._file[dataset])

    def close(self) -> None:
        """Close the open file, if any."""
        if self._file is not None:
            self._file.close()
        self._file = None
        self._open_index = -1

    def read(
        self,
        index: int,
        rows: np.ndarray[Any, Any],
        out: Sequence[np.ndarray[Any, Any]],
    ) -> None:
        """Copy rows of a file, converted to the type of the target.

        Parameters
        ----------
        index : int
            File.
        rows : ndarray of int
            Rows in the order wanted.
        out : sequence of ndarray
            One array a dataset, of ``len(rows)`` rows.

        Raises
        ------
        FileError
            If the file can't be read.
        """
        if self._open_index != index:
            self.open(index)
        adjacent = bool((np.diff(rows) == 1).all())
        try:
            for name, target in zip(self.datasets, out, strict=True):
                dataset = self._file[name]
                if adjacent:
                    target[...] = dataset[rows[0] : rows[-1] + 1]
                else:
                    for place, row in enumerate(rows):
                        target[place] = dataset[row]
        except OSError as error:
            raise FileError(
                f"{self.names[index]}: dataset '{name}' can't be read: {error}"
            ) from None

    def _open_file(self, name: str) -> Any:
        path = find(name, self.source)
        try:
            return h5py.File(path, "r")
        except OSError:
            raise FileError(
                f"{name}: not an HDF5 file, or damaged, though {self.source} lists it"
            ) from None

    def _scan(self, file: Any, name: str) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {}
        for dataset in self.datasets:
            item = file.get(dataset)
            if not isinstance(item, h5py.Dataset):
                raise FileError(
                    f"{name}: no dataset '{dataset}': it has "
                    + (", ".join(file) or "nothing")
                )
            if item.dtype.kind not in "fiub" or not item.shape:
                raise FileError(
                    f"{name}: dataset '{dataset}' holds {item.dtype} of shape "
                    f"{item.shape}: numbers with at least one axis are accepted"
                )
            shapes[dataset] = tuple(item.shape)
        rows = {dataset: shape[0] for dataset, shape in shapes.items()}
        if len(set(rows.values())) > 1 or 0 in rows.values():
            counts = ", ".join(f"'{key}' {value}" for key, value in rows.items())
            raise FileError(
                f"{name}: rows are {counts}: the same number above 0 is accepted"
            )
        return shapes
