"""Caffe's log lines on the outputs of nets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from caffe.engine.log import log, number
from caffe.engine.net import Net


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


def progress(
    net: Net, iteration: int, loss: float, *, pace: tuple[int, float], interval: int
) -> None:
    """Log loss and outputs of a training iteration.

    Parameters
    ----------
    net : Net
    iteration : int
    loss : float
        Smoothed.
    pace : (int, float)
        Iterations since the last such lines, and the seconds they took.
    interval : int
        The solver's `display`.
    """
    done, seconds = pace
    per_second = done / seconds if seconds else 0.0
    log(
        "solver.cpp:239",
        f"Iteration {iteration} ({per_second:.6g} iter/s, {seconds:.6g}s/"
        f"{interval} iters), loss = {number(loss)}",
    )
    scores(net, list(outputs(net)), "solver.cpp:258", "    Train")


def scores(
    net: Net, values: Sequence[tuple[str, float]], source: str, which: str
) -> None:
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

    @property
    def loss(self) -> float:
        """Mean loss."""
        return float(self._loss / np.float32(self._batches))

    @property
    def values(self) -> list[tuple[str, float]]:
        """Name and mean of every number."""
        means = self._total / np.float32(max(self._batches, 1))
        return list(zip(self._names, means.tolist(), strict=True))
