"""Tables of a training: CSV files, and what TensorBoard shows."""

from __future__ import annotations

import csv
import io
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from caffe import atomic
from caffe.engine.solvers.report import Values, Watcher
from caffe.errors import FileError
from caffe.glog import log, number

_ITERATION, _SECONDS = "iteration", "seconds"
_RATE, _LOSS = "lr", "average_loss"


class Records(Watcher):
    """Writes a row where Caffe displays, and one for each test.

    ============== ==================================================================
    ``train.csv``  iteration, seconds, lr, average_loss (what the log calls ``loss``)
                   and the outputs of the train net
    ``test.csv``   iteration, seconds and the mean outputs of the first test net; those
                   of the second are in ``test_1.csv``, and so on
    ``events...``  the same for TensorBoard, where that is installed
    ============== ==================================================================

    Parameters
    ----------
    folder : Path
        Where the files are. Those of a training that is resumed go on: rows from
        `iteration` on, which will be computed again, are taken out.
    iteration : int
        Updates done so far.

    Raises
    ------
    FileError
        If a file there is something else, or none can be written.
    """

    def __init__(self, folder: Path, iteration: int) -> None:
        self._folder, self._iteration = folder, iteration
        self._tables: dict[str, _Table] = {}
        for path in sorted(folder.glob("*.csv")):
            if path.stem == "train" or path.stem.startswith("test"):
                self._tables[path.stem] = _Table(path, iteration)
        before = max((table.seconds for table in self._tables.values()), default=0.0)
        self._begin = time.monotonic() - before
        self._events = _event_writer(folder, iteration)

    def displayed(
        self, iteration: int, rate: float, loss: float, values: Values
    ) -> None:
        """Write a row of ``train.csv``."""
        self._add("train", iteration, {_RATE: rate, _LOSS: loss, **numbered(values)})

    def tested(self, iteration: int, index: int, values: Values) -> None:
        """Write a row of ``test.csv``, or of that of another test net."""
        self._add(f"test_{index}" if index else "test", iteration, numbered(values))

    def __enter__(self) -> Records:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._events is not None:
            self._events.close()

    def _add(self, name: str, iteration: int, values: Mapping[str, float]) -> None:
        if name not in self._tables:
            path = self._folder / f"{name}.csv"
            self._tables[name] = _Table(path, self._iteration)
        seconds = time.monotonic() - self._begin
        self._tables[name].add({_ITERATION: iteration, _SECONDS: seconds, **values})
        if self._events is not None:
            for key, value in values.items():
                self._events.add_scalar(f"{name}/{key}", value, iteration)


def numbered(values: Values) -> dict[str, float]:
    """Give outputs that have several numbers a name for each.

    Examples
    --------
    >>> numbered([("IoU", 0.5), ("IoU", 0.25), ("loss", 2.0)])
    {'IoU[0]': 0.5, 'IoU[1]': 0.25, 'loss': 2.0}
    """
    counts = Counter(name for name, _ in values)
    seen: Counter[str] = Counter()
    found = {}
    for name, value in values:
        found[f"{name}[{seen[name]}]" if counts[name] > 1 else name] = value
        seen[name] += 1
    return found


class _Table:
    """A CSV file to which rows are added.

    Attributes
    ----------
    seconds : float
        Of the last row that was there already.
    """

    def __init__(self, path: Path, iteration: int) -> None:
        self._path = path
        self._columns: list[str] = []
        self._broken = False
        self.seconds = 0.0
        if path.exists():
            self._cut(iteration)

    def add(self, row: Mapping[str, float]) -> None:
        """Write a row; a disk that takes no more is told once and costs no training."""
        if not self._columns:
            self._columns = list(row)
            self._append([self._columns])
        if self._columns != list(row):
            raise FileError(
                f"{self._path}: has the columns {', '.join(self._columns)}; those of "
                f"this training are {', '.join(row)}: give -log another folder"
            )
        self._append([[str(row[_ITERATION]), *map(_shown, list(row.values())[1:])]])

    def _append(self, rows: Iterable[list[str]]) -> None:
        if self._broken:
            return
        try:
            with self._path.open("a", encoding="utf-8", newline="") as file:
                file.write(_text(rows))
        except OSError as error:
            self._broken = True
            log(
                "solver.cpp:260",
                f"{self._path}: cannot be written: {atomic.reason(error)}: training "
                "goes on without it",
                "W",
            )

    def _cut(self, iteration: int) -> None:
        """Keep the rows of iterations before this one."""
        try:
            columns, rows = _read(self._path)
            kept = [row for row in rows if int(row[0]) < iteration]
            if kept:
                self.seconds = float(kept[-1][1])
        except (OSError, ValueError, IndexError) as error:
            raise FileError(
                f"{self._path}: {atomic.reason(error)}: "
                "expected a table of a training by caffe train -log"
            ) from error
        self._columns = columns
        atomic.write_bytes(self._path, _text([columns, *kept]).encode())


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of a table that `_Table` wrote."""
    text = path.read_text(encoding="utf-8")
    columns, *rows = list(csv.reader(io.StringIO(text))) or [[]]
    if columns[:2] != [_ITERATION, _SECONDS]:
        raise ValueError(f"its first line is {text[:40]!r}")
    if rows and len(rows[-1]) < len(columns):
        rows.pop()  # the process was killed while it wrote this one
    return columns, rows


def _text(rows: Iterable[list[str]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


def _shown(value: float) -> str:
    return number(value)


def _event_writer(folder: Path, iteration: int) -> Any:
    """Writer of TensorBoard's files, None where its package is missing."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log(
            "solver.cpp:261",
            f"{folder}: CSV files only; for TensorBoard's too: pip install "
            '"pyunet[tensorboard]"',
        )
        return None
    return SummaryWriter(str(folder), purge_step=iteration or None)
