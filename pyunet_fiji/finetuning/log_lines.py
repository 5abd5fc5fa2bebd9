"""Read what ``caffe train`` logs, as the plugin does (caffe_unet_cli.md, section 6.3).

Counts of intersections, objects and hits stand in the log for every validation tile;
they are added up over all tiles before anything is divided, so that large and small
tiles count as they should. The means that Caffe prints are means over tiles.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyunet.training_logs.lines import BeginOfTest, Loss, Output, read_line

COUNTS = re.compile(r"(IoU|F1_detection|F1_segmentation) - Per class ([\w ]+): (.*)$")
SNAPSHOT = re.compile(r" Snapshotting to HDF5 file .*_iter_(\d+)\.caffemodel\.h5$")

VALIDATION_LOSS = ("test", "loss_valid")
HITS, FOUND, TRUE = "true positive count", "prediction count", "object count"


class Step(NamedTuple):
    """One update: its number and the loss before it."""

    iteration: int
    loss: float


class Snapshot(NamedTuple):
    """A snapshot is being written."""

    iteration: int


class Validation(NamedTuple):
    """What a validation came to; tuples have one number for each class, NaN for none.

    Attributes
    ----------
    iteration : int
        Updates done before it.
    loss : float
        Mean over the tiles.
    iou, f1_detection, f1_segmentation : tuple of float
        Of the classes from 1 on, over all tiles together.
    """

    iteration: int
    loss: float
    iou: tuple[float, ...]
    f1_detection: tuple[float, ...]
    f1_segmentation: tuple[float, ...]


Event = Step | Snapshot | Validation


@dataclass
class LogReader:
    """Turns lines of a log into events, one line after the other.

    Parameters
    ----------
    classes : int
        Without background.

    Examples
    --------
    >>> reader = LogReader(classes=1)
    >>> reader.read("... ] Iteration 7 (2 iter/s, 0.5s/1 iters), loss = 0.25")
    Step(iteration=7, loss=0.25)
    >>> reader.read("... ] Iteration 8, lr = 0.001")
    """

    classes: int
    _iteration: int = 0
    _totals: dict[tuple[str, str], NDArray[np.float64]] = field(default_factory=dict)

    def read(self, line: str) -> Event | None:
        """Take in a line; most of them say nothing."""
        text = line.rstrip()
        if found := COUNTS.search(text):
            self._add(found[1], found[2], found[3])
        elif found := SNAPSHOT.search(text):
            return Snapshot(int(found[1]))
        else:
            return self._course(text)
        return None

    def _course(self, text: str) -> Event | None:
        said = read_line(text)
        if isinstance(said, BeginOfTest):
            self._iteration = said.iteration
            self._totals.clear()
        elif isinstance(said, Output) and (said.net, said.name) == VALIDATION_LOSS:
            return self._validation(said.value)
        elif isinstance(said, Loss) and said.paced:
            return Step(said.iteration, said.value)
        return None

    def _add(self, measure: str, what: str, numbers: str) -> None:
        values = np.array([float(number) for number in numbers.split()])
        total = self._total(measure, what)
        total[: len(values)] += values[: len(total)]

    def _total(self, measure: str, what: str) -> NDArray[np.float64]:
        return self._totals.setdefault((measure, what), np.zeros(self.classes))

    def _validation(self, loss: float) -> Validation:
        iou = self._ratio(
            self._total("IoU", "intersection"), self._total("IoU", "union")
        )
        return Validation(
            self._iteration,
            loss,
            iou,
            self._f1("F1_detection"),
            self._f1("F1_segmentation"),
        )

    def _f1(self, measure: str) -> tuple[float, ...]:
        found, true = self._total(measure, FOUND), self._total(measure, TRUE)
        return self._ratio(2 * self._total(measure, HITS), found + true)

    @staticmethod
    def _ratio(
        parts: NDArray[np.float64], wholes: NDArray[np.float64]
    ) -> tuple[float, ...]:
        """Divide; nothing of nothing is NaN."""
        return tuple(
            float(part / whole) if whole else float("nan")
            for part, whole in zip(parts, wholes, strict=True)
        )
