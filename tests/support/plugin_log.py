"""How the Fiji plugin "U-Net Segmentation" reads what programs say.

Written after caffe_unet_cli.md, sections 6 and 7, as strict as the Java classes are:
what would end one of their threads raises `JavaError` here.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

NAN = float("nan")
PROGRESS = re.compile(
    r"Processing batch ([0-9]+)/([0-9]+), tile ([0-9]+)/([0-9]+)", re.ASCII
)
TESTING = re.compile(r"^.*Iteration [0-9]+, Testing net.*$", re.ASCII)
LOSS = re.compile(r"^.*Iteration [0-9]+ .* loss = .*$", re.ASCII)
VALID_LOSS = re.compile(r"^.*Test net output #[0-9]*: loss_valid = .*$", re.ASCII)
COUNTS = {
    **{f"IoU - Per class {kind}": f"IoU {kind}" for kind in ("intersection", "union")},
    **{
        f"{name} - Per class {kind} count": f"{name} {kind}"
        for name in ("F1_detection", "F1_segmentation")
        for kind in ("true positive", "prediction", "object")
    },
}
PLOTS = {
    name: re.compile(rf"^.*Test net output #[0-9]*: {name} = .*$", re.ASCII)
    for name in ("IoU", "F1_detection", "F1_segmentation")
}
DOUBLE = re.compile(
    r"[+-]?(NaN|Infinity|([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[fFdD]?)", re.ASCII
)
INT = re.compile(r"[+-]?[0-9]+", re.ASCII)
CAUSES = {
    "out of memory": 1,
    "invalid device ordinal": 2,
    "CUDNN_STATUS_ARCH_MISMATCH": 3,
}


class JavaError(Exception):
    """An exception that ends a thread of the plugin."""


def parse_int(text: str) -> int:
    """Read a number as ``Integer.parseInt`` does."""
    if not INT.fullmatch(text) or not -(2**31) <= int(text) < 2**31:
        raise JavaError(f"NumberFormatException: {text!r}")
    return int(text)


def parse_double(text: str) -> float:
    """Read a number as ``Double.valueOf`` does: NaN is one, nan and inf are none."""
    if not DOUBLE.fullmatch(text.strip()):
        raise JavaError(f"NumberFormatException: {text!r}")
    return float(text.strip().rstrip("fFdD"))


def classify(log: str) -> int | str:
    """Find the cause of a failed call in its log (section 7)."""
    for words, cause in CAUSES.items():
        if words in log:
            return cause
    lines = [n for n in log.splitlines() if "Check failed: error == cudaSuccess" in n]
    return lines[0] if lines else "Unknown caffe error."


class Progress:
    """The progress bar of a segmentation: `count` of `total`."""

    def __init__(self) -> None:
        self.total = 0
        self.count = 0
        self.seen: list[tuple[int, ...]] = []

    def read(self, line: str) -> None:
        """Read a line of either stream."""
        match = PROGRESS.fullmatch(line)
        if match:
            numbers = tuple(map(parse_int, match.groups()))
            self.total = self.total or numbers[1] * numbers[3]
            self.count += 1
            self.seen.append(numbers)


class Curves:
    """What the plots of a finetuning show.

    Parameters
    ----------
    classes : int
        Without background.
    iterations : int
        ``max_iter``.
    interval : int
        Iterations between validations.
    """

    def __init__(self, classes: int, iterations: int, interval: int) -> None:
        points = iterations // interval + 1
        self.interval = interval
        self.index = -1
        self.train = [NAN] * (iterations + 1)
        self.valid = [NAN] * points
        self.counts = {
            name: np.zeros((classes, points), float) for name in COUNTS.values()
        }
        self.plots = {name: np.full((classes, points), NAN) for name in PLOTS}
        self.drawn = 0

    def read(self, line: str) -> None:
        """Read a line of either stream."""
        if TESTING.match(line):
            number = line.partition("Iteration ")[2].partition(",")[0]
            self.index = parse_int(number) // self.interval
        if LOSS.match(line):
            number = line.partition("Iteration ")[2].partition(" ")[0]
            _set(self.train, parse_int(number), line.partition("loss = ")[2])
        if VALID_LOSS.match(line):
            value = line.partition("loss_valid = ")[2].partition(" ")[0]
            _set(self.valid, self.index, value)
        for words, name in COUNTS.items():
            if f"{words}: " in line:
                self._count(self.counts[name], line.partition(f"{words}: ")[2])
        for name, pattern in PLOTS.items():
            if pattern.match(line):
                self._plot(name)

    def _count(self, counts: Any, text: str) -> None:
        values = text.rstrip(" ").split(" ")
        if len(values) > len(counts) or not 0 <= self.index < counts.shape[1]:
            raise JavaError(f"ArrayIndexOutOfBoundsException: {text!r}")
        for row, value in enumerate(values):
            counts[row, self.index] += parse_double(value)

    def _plot(self, name: str) -> None:
        def now(kind: str) -> Any:
            return self.counts[f"{name} {kind}"][:, self.index]

        if not 0 <= self.index < self.plots[name].shape[1]:
            raise JavaError("ArrayIndexOutOfBoundsException: validation")
        with np.errstate(all="ignore"):
            if name == "IoU":
                values = now("intersection") / now("union")
            else:
                hits = now("true positive")
                precision, recall = hits / now("prediction"), hits / now("object")
                values = 2 * precision * recall / (precision + recall)
        self.plots[name][:, self.index] = values
        self.drawn += 1


def _set(values: list[float], index: int, text: str) -> None:
    value = parse_double(text)
    if not 0 <= index < len(values):
        raise JavaError(f"ArrayIndexOutOfBoundsException: {index}")
    values[index] = value
