"""Caffe's log lines on the outputs of nets."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from caffe.engine.net import Net
from caffe.glog import log, number

Values = Sequence[tuple[str, float]]


class Watcher:
    """Is told how a training goes; what it does not override does nothing.

    Enter it in `Solver.watchers`. Values are pairs of an output's name and a number, as
    of `outputs`.
    """

    def updated(self, iteration: int, loss: float) -> None:
        """Take note that so many updates are done, the last one at this mean loss."""

    def displayed(
        self, iteration: int, rate: float, loss: float, values: Values
    ) -> None:
        """Take what Caffe displays of an iteration: rate, mean loss, outputs."""

    def tested(self, iteration: int, index: int, values: Values) -> None:
        """Take the mean outputs of a test net."""


def outputs(net: Net) -> Iterator[tuple[str, float]]:
    """Name and value of every number of every output blob, in Caffe's order."""
    for name in net.outputs:
        for value in net.blobs[name].data.reshape(-1):
            yield name, float(value)


def weighted(net: Net, name: str, value: float) -> str:
    """How a loss's weight and share are shown; nothing for other outputs."""
    weight = net.loss_weights.get(name, 0.0)
    if not weight:
        return ""
    share = float(np.float32(weight) * np.float32(value))
    return f" (* {number(weight)} = {number(share)} loss)"


class Progress:
    """Logs loss and outputs of training iterations, and the pace between them.

    Parameters
    ----------
    iteration : int
        Where the training begins.
    interval : int
        The solver's `display`.
    """

    def __init__(self, iteration: int, interval: int) -> None:
        self._last, self._since = iteration, time.monotonic()
        self._interval = interval

    def log(self, net: Net, iteration: int, loss: float) -> Values:
        """Log an iteration with its mean loss, and return its outputs."""
        now = time.monotonic()
        done, seconds = iteration - self._last, now - self._since
        self._last, self._since = iteration, now
        per_second = done / seconds if seconds else 0.0
        log(
            "solver.cpp:239",
            f"Iteration {iteration} ({per_second:.6g} iter/s, {seconds:.6g}s/"
            f"{self._interval} iters), loss = {number(loss)}",
        )
        values = list(outputs(net))
        scores(net, values, "solver.cpp:258", "    Train")
        return values


def scores(net: Net, values: Values, source: str, which: str) -> None:
    """Log values of outputs, numbered."""
    for place, (name, value) in enumerate(values):
        ending = weighted(net, name, value)
        log(source, f"{which} net output #{place}: {name} = {number(value)}{ending}")


class MeanOutputs:
    """Means of the outputs and of the loss over batches, in float32."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._total: NDArray[np.float32] = np.zeros(0, np.float32)
        self._loss = np.float32(0)
        self._batches = 0

    def add(self, net: Net) -> list[tuple[str, float]]:
        """Run a forward, take its outputs, and return them."""
        self._loss += np.float32(net.forward_loss())
        values = list(outputs(net))
        self._names = [name for name, _ in values]
        new = np.array([value for _, value in values], np.float32)
        self._total = np.add(self._total, new) if self._batches else new
        self._batches += 1
        return values

    def log_details(self) -> None:
        """Log what is told before the outputs: nothing."""

    @property
    def loss(self) -> float:
        """Mean loss."""
        return float(self._loss / np.float32(self._batches))

    @property
    def values(self) -> list[tuple[str, float]]:
        """Name and mean of every number."""
        means = self._total / np.float32(max(self._batches, 1))
        return list(zip(self._names, means.tolist(), strict=True))
