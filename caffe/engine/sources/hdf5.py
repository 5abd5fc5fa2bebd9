"""Rows of datasets of one name each, in a list of HDF5 files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from caffe.engine.hdf5 import note_class, readable, refuse_pointer
from caffe.engine.sources.prefetch import Batch, State, draws
from caffe.errors import FileError

Shape = tuple[int, ...]

_FILES, _ROWS = 0, 1  # what random numbers are for
_LONGEST_STEP = 64  # HDF5 looks at every chunk between the first row and the last


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
        names = Path(source).read_text(encoding="utf-8-sig").split()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise FileError(
            f"{source}: {reason}: expected a text file with names of HDF5 files"
        ) from None
    if not names:
        raise FileError(f"{source}: names no file: expected one HDF5 file per line")
    return names


def find(name: str, source: str) -> Path:
    """Locate a listed file: from the working directory, then beside the list file.

    Raises
    ------
    FileError
        If it is in neither place.
    """
    # os.path has an answer for any text, Path not.
    for path in (Path(name), Path(source).parent / name):
        if os.path.isfile(path):  # noqa: PTH113
            return path
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
            with self._open_file(name) as file, readable(name):
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
        with readable(name):
            found = self._scan(self._file, name)
        if found != self.shapes[index]:
            raise FileError(
                f"{name}: changed since the start: its shapes are {found}, "
                f"they were {self.shapes[index]}"
            )
        with readable(name):
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
        steps = np.diff(rows)
        step = int(steps[0]) if len(steps) else 1
        regular = 0 < step <= _LONGEST_STEP and bool((steps == step).all())
        try:
            for name, target in zip(self.datasets, out, strict=True):
                dataset = self._file[name]
                if regular:
                    target[...] = dataset[rows[0] : rows[-1] + 1 : step]
                else:
                    for place, row in enumerate(rows):
                        target[place] = dataset[row]
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            raise FileError(
                f"{self.names[index]}: dataset '{name}' can't be read: {error}"
            ) from None

    def _open_file(self, name: str) -> Any:
        path = find(name, self.source)
        try:
            return h5py.File(path, "r")
        except (OSError, RuntimeError, ValueError):
            refuse_pointer(path)
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
            if not item.shape or item.dtype.kind not in "fiub":
                raise FileError(
                    f"{name}: dataset '{dataset}' holds {item.dtype} of shape "
                    f"{item.shape}: expected numbers with at least one axis"
                )
            shapes[dataset] = tuple(item.shape)
        rows = {dataset: shape[0] for dataset, shape in shapes.items()}
        if len(set(rows.values())) > 1 or 0 in rows.values():
            counts = ", ".join(f"'{key}' {value}" for key, value in rows.items())
            raise FileError(
                f"{name}: rows are {counts}: expected the same number above 0"
            )
        return shapes


class HDF5Batches:
    """Rows of HDF5 files, in a circle.

    Parameters
    ----------
    files : HDF5Rows
    batch : int
        Rows of a batch.
    shuffle : bool
        Another order of the files in each round, and of the rows of each file.
    seed : int
        Of orders.
    share : (int, int)
        Number of this process and of all: their rows lie between one another.

    State: order of the files, place in it, rows used of that file, their order, number
    of the round, seed.
    """

    def __init__(
        self,
        files: HDF5Rows,
        *,
        batch: int,
        shuffle: bool,
        seed: int,
        share: tuple[int, int],
    ) -> None:
        self._files = files
        self._batch = batch
        self._shuffle = shuffle
        self._seed = seed
        self._rank, self._ranks = share

    def first_state(self) -> State:
        """Start at the first row of the first file of the first round."""
        state: State = {"file": 0, "row": 0, "round": 0, "seed": self._seed}
        state["rows"] = np.empty(0, np.int64)
        state["file_order"] = self._order(state, _FILES, len(self._files.names))
        return state

    def read(self, state: State) -> Batch:
        """Read the batch at `state`.

        Raises
        ------
        FileError
            Naming the file that is wrong.
        """
        state = dict(state)
        shapes = self._files.shapes[self._present_file(state)]
        tops = [
            np.empty((self._batch, *shapes[name][1:]), np.float32)
            for name in self._files.datasets
        ]
        done, total = 0, self._batch * self._ranks
        while done < total:
            done += self._part(tops, done, total, state)
        return list(tops), state

    def _part(
        self,
        tops: Sequence[np.ndarray[Any, Any]],
        done: int,
        total: int,
        state: State,
    ) -> int:
        """Take from the present file what it still has; return how many rows."""
        index = self._present_file(state)
        row, count = int(state["row"]), self._files.rows(index)
        if row == 0:
            self._files.open(index)
            place = int(state["file"])
            state["rows"] = self._order(state, _ROWS, count, place)
        elif len(state["rows"]) != count:
            raise FileError(
                f"{self._files.names[index]}: has {count} rows: expected "
                f"{len(state['rows'])}, as when the state was saved"
            )
        self._check_shapes(index, tops)
        end = min(row + total - done, count)
        first = (self._rank - done) % self._ranks
        rows = state["rows"][row:end][first :: self._ranks]
        start = (done + first) // self._ranks
        if len(rows):
            targets = [top[start : start + len(rows)] for top in tops]
            self._files.read(index, rows, targets)
        state["row"] = end
        if end == count:
            self._next_file(state)
        return end - row

    def _next_file(self, state: State) -> None:
        state["row"] = 0
        state["file"] = int(state["file"]) + 1
        if state["file"] == len(self._files.names):
            state["file"] = 0
            state["round"] = int(state["round"]) + 1
            state["file_order"] = self._order(state, _FILES, len(self._files.names))

    def _order(
        self, state: State, purpose: int, count: int, *place: int
    ) -> np.ndarray[Any, Any]:
        if not self._shuffle:
            return np.arange(count, dtype=np.int64)
        rng = draws(int(state["seed"]), purpose, int(state["round"]), *place)
        order: np.ndarray[Any, Any] = rng.permutation(count).astype(np.int64)
        return order

    def _present_file(self, state: State) -> int:
        order = state["file_order"]
        if sorted(order) != list(range(len(self._files.names))):
            raise FileError(
                f"{self._files.source}: lists {len(self._files.names)} files: "
                f"expected {len(order)}, as when the state was saved"
            )
        return int(order[int(state["file"])])

    def _check_shapes(self, index: int, tops: Sequence[np.ndarray[Any, Any]]) -> None:
        shapes = self._files.shapes[index]
        for name, top in zip(self._files.datasets, tops, strict=True):
            if shapes[name][1:] != top.shape[1:]:
                raise FileError(
                    f"{self._files.names[index]}: rows of dataset '{name}' have shape "
                    f"{shapes[name][1:]}: expected {top.shape[1:]}, as of the first "
                    "row of the batch"
                )
