"""Batches of Datum messages from a database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe.engine.sources.databases import Database, image_of, parse_datum, shown
from caffe.engine.sources.prefetch import Batch, State, draws
from caffe.engine.transformer import DataTransformer
from caffe.errors import CheckError, FileError

Log = Callable[[str, str], None]


class RecordBatches(ABC):
    """Rows of a database, in a circle.

    Parameters
    ----------
    database : Database
    batch : int
        Rows of a batch.
    seed : int
        Of what is left to chance.
    share : (int, int)
        Number of this process and of all: their batches lie between one another.
    log : callable
        Takes Caffe's line at each new round.

    State: key of the next row, number of rows before it in all rounds, seed.
    """

    def __init__(
        self,
        database: Database,
        *,
        batch: int,
        seed: int,
        share: tuple[int, int],
        log: Log,
    ) -> None:
        self._database = database
        self._batch = batch
        self._seed = seed
        self._rank, self._ranks = share
        self._log = log
        self._records: Iterator[tuple[bytes, Callable[[], bytes]]] = iter(())
        self._next: tuple[bytes, Callable[[], bytes]] | None = None

    @abstractmethod
    def tops(self, rows: list[tuple[str, bytes, int]], seed: int) -> list[NDArray[Any]]:
        """Make the tops of rows: where each stands, its bytes, its number."""

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
        rows = []
        for row in range(begin, end):
            key, value = self._record()
            if (row - begin) % self._ranks == self._rank:
                where = f"{self._database.path}: {shown(key)}"
                rows.append((where, value(), row))
            self._advance()
        key, _ = self._record()
        after = {"key": np.frombuffer(key, np.uint8), "row": end, "seed": seed}
        return self.tops(rows, seed), after

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


def stacked(images: Sequence[NDArray[np.float32]], places: Sequence[str]) -> Any:
    """Make one array of images of one shape.

    Raises
    ------
    FileError
        Naming the place of the first image of another shape than the first one's.
    """
    data = np.empty((len(images), *images[0].shape), np.float32)
    for i, (image, where) in enumerate(zip(images, places, strict=True)):
        if image.shape != data.shape[1:]:
            raise FileError(
                f"{where}: an image of shape {image.shape}: expected {data.shape[1:]}, "
                "as of the first row of the batch"
            )
        data[i] = image
    return data


class DatumBatches(RecordBatches):
    """Images and labels of Datum messages.

    Parameters
    ----------
    database, batch, seed, share, log
        See `RecordBatches`; `seed` is that of crops and mirrors.
    transformer : DataTransformer
    labels : bool
        Give labels too.
    """

    def __init__(
        self,
        database: Database,
        transformer: DataTransformer,
        *,
        labels: bool,
        **options: Any,
    ) -> None:
        super().__init__(database, **options)
        self._transformer = transformer
        self._labels = labels

    def tops(self, rows: list[tuple[str, bytes, int]], seed: int) -> list[NDArray[Any]]:
        """Images, and labels."""
        images = []
        labels = np.empty(len(rows), np.float32)
        for place, (where, raw, row) in enumerate(rows):
            datum = parse_datum(raw, where)
            images.append(self._image(datum, where, seed, row))
            labels[place] = datum.label
        data = stacked(images, [where for where, _, _ in rows])
        return [data, labels] if self._labels else [data]

    def _image(
        self, datum: Any, where: str, seed: int, row: int
    ) -> NDArray[np.float32]:
        rng = draws(seed, row) if self._transformer.needs_random else None
        try:
            image = image_of(datum, self._transformer.color)
            return self._transformer.transform(image, rng)
        except CheckError as error:
            raise FileError(f"{where}: {error}") from None
