"""Batches of Datum messages from a database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe.engine.sources.databases import Database, image_of, parse_datum, shown
from caffe.engine.sources.prefetch import Batch, State, draws
from caffe.engine.transformer import DataTransformer
from caffe.errors import CheckError, FileError

Log = Callable[[str, str], None]


class DatumBatches:
    """Rows of a database, in a circle.

    Parameters
    ----------
    database : Database
    transformer : DataTransformer
    batch : int
        Rows of a batch.
    seed : int
        Of crops and mirrors.
    share : (int, int)
        Number of this process and of all: their batches lie between one another.
    log : callable
        Takes Caffe's line at each new round.
    labels : bool
        Give labels too.

    State: key of the next row, number of rows before it in all rounds, seed.
    """

    def __init__(
        self,
        database: Database,
        transformer: DataTransformer,
        *,
        batch: int,
        seed: int,
        share: tuple[int, int],
        log: Log,
        labels: bool,
    ) -> None:
        self._database = database
        self._transformer = transformer
        self._batch = batch
        self._seed = seed
        self._rank, self._ranks = share
        self._log = log
        self._labels = labels
        self._records: Iterator[tuple[bytes, Callable[[], bytes]]] = iter(())
        self._next: tuple[bytes, Callable[[], bytes]] | None = None

    def first_state(self) -> State:
        """Start at the first key."""
        key, _ = next(self._database.records())
        return {"key": np.frombuffer(key, np.uint8), "row": 0, "seed": self._seed}

    def read(self, state: State) -> Batch:
        """Read the batch at `state`.

        Raises
        ------
        FileError
            Naming the database and the key of the row that is wrong.
        """
        try:
            return self._read(state)
        except BaseException:
            self._next = None  # the records may have ended where the error was
            raise

    def _read(self, state: State) -> Batch:
        self._seek(np.asarray(state["key"], np.uint8).tobytes())
        begin, seed = int(state["row"]), int(state["seed"])
        end = begin + self._batch * self._ranks
        data: NDArray[np.float32] = np.empty(0, np.float32)
        labels = np.empty(self._batch, np.float32)
        for row in range(begin, end):
            key, value = self._record()
            place, other = divmod(row - begin, self._ranks)
            if other == self._rank:
                datum, image = self._image(key, value(), seed, row)
                if place == 0:
                    data = np.empty((self._batch, *image.shape), np.float32)
                self._check(key, image.shape, data.shape[1:])
                data[place], labels[place] = image, datum.label
            self._advance()
        key, _ = self._record()
        after = {"key": np.frombuffer(key, np.uint8), "row": end, "seed": seed}
        return ([data, labels] if self._labels else [data]), after

    def _image(
        self, key: bytes, raw: bytes, seed: int, row: int
    ) -> tuple[Any, NDArray[np.float32]]:
        where = f"{self._database.path}: {shown(key)}"
        datum = parse_datum(raw, where)
        rng = draws(seed, row) if self._transformer.needs_random else None
        try:
            image = image_of(datum, self._transformer.color)
            return datum, self._transformer.transform(image, rng)
        except CheckError as error:
            raise FileError(f"{where}: {error}") from None

    def _check(
        self, key: bytes, shape: tuple[int, ...], wanted: tuple[int, ...]
    ) -> None:
        if shape != wanted:
            raise FileError(
                f"{self._database.path}: {shown(key)}: an image of shape {shape}: "
                f"expected {wanted}, as of the first row of the batch"
            )

    def _seek(self, key: bytes) -> None:
        if self._next is not None and self._next[0] == key:
            return
        self._records = self._database.records(key)
        self._next = next(self._records, None)
        if self._next is None or self._next[0] != key:
            raise FileError(
                f"{self._database.path}: has no {shown(key)}, where it should go on: "
                "expected the database as it was when the state was saved"
            )

    def _record(self) -> tuple[bytes, Callable[[], bytes]]:
        if self._next is None:
            raise FileError(f"{self._database.path}: has no records any more")
        return self._next

    def _advance(self) -> None:
        self._next = next(self._records, None)
        if self._next is None:
            self._log("data_layer.cpp:73", "Restarting data prefetching from start.")
            self._records = self._database.records()
            self._next = next(self._records, None)
