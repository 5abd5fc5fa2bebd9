"""Batches that a thread reads ahead, and the base of the layers that give them.

What a data layer reads is a pure function of its state: `read(state)` gives a batch and
the state after it. So it does not matter when a thread reads it, and a state that was
saved gives the batches that would have come.
"""

from __future__ import annotations

import atexit
import threading
import weakref
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.staging import Staging
from caffe.errors import CheckError

State = dict[str, Any]
Batch = tuple[list[NDArray[Any]], State]


class Reader(Protocol):
    """What gives a data layer its batches; used by one thread at a time."""

    def first_state(self) -> State:
        """State at the start."""

    def read(self, state: State) -> Batch:
        """Read the batch at `state`: the tops, and the state after it."""


def draws(seed: int, *place: int) -> np.random.Generator:
    """Random numbers that belong to a place in the data, whoever draws them and when.

    Examples
    --------
    >>> numbers = [int(draws(7, 0, 3).integers(100)) for _ in range(2)]
    >>> numbers[0] == numbers[1]
    True
    """
    return np.random.default_rng([int(seed), *place])


def new_seed(context: Context) -> int:
    """Draw the seed of a layer's own random numbers."""
    return int(context.rng.integers(2**62))


def share(context: Context) -> tuple[int, int]:
    """Which rows a process takes: rank r of n takes rows r, r + n, ... in training."""
    return (context.rank, context.ranks) if context.train else (0, 1)


class _Worker(threading.Thread):
    """Reads ahead while it has free slots; knows nothing of the layer."""

    def __init__(
        self, read: Callable[[State], Batch], state: State, depth: int
    ) -> None:
        super().__init__(name="caffe-prefetch", daemon=True)
        self._read = read
        self._state = state
        self._closed = False
        # these queues may be used by a garbage collector at any point of any thread
        self.slots: SimpleQueue[bool] = SimpleQueue()
        self.results: SimpleQueue[Batch | BaseException] = SimpleQueue()
        for _ in range(depth):
            self.slots.put(True)

    def run(self) -> None:
        """Read until closed, or until something can't be read."""
        state = self._state
        while self.slots.get() and not self._closed:
            try:
                batch = self._read(state)
            except BaseException as error:
                self.results.put(error)
                return
            self.results.put(batch)
            state = batch[1]
        self.results.put(CheckError("nothing is read any more: the program ends"))

    def close(self) -> None:
        """Let the thread end after the batch that it is reading."""
        self._closed = True
        self.slots.put(False)


_workers: weakref.WeakSet[_Worker] = weakref.WeakSet()
_LAST_BATCH_SECONDS = 5.0


@atexit.register
def _end_all() -> None:
    """End all threads before the interpreter and the libraries they use go."""
    workers = list(_workers)
    for worker in workers:
        worker.close()
    for worker in workers:
        worker.join(_LAST_BATCH_SECONDS)


class Prefetcher:
    """Batches in order, read ahead by one thread.

    The thread starts when the first batch is asked for, starts anew from another state
    when that is asked for, and ends when the prefetcher is no longer referenced.

    Parameters
    ----------
    read : callable
        See `Reader.read`.
    depth : int
        Batches that may wait.

    Examples
    --------
    >>> ahead = Prefetcher(lambda s: ([np.full(1, s["row"])], {"row": s["row"] + 1}), 2)
    >>> tops, state = ahead.take({"row": 5})
    >>> tops[0].tolist(), state
    ([5], {'row': 6})
    """

    def __init__(self, read: Callable[[State], Batch], depth: int) -> None:
        self._read = read
        self._depth = depth
        self._worker: _Worker | None = None
        self._slots: SimpleQueue[bool] = SimpleQueue()
        self._head: Batch | None = None
        self._expected: State = {}

    def peek(self, state: Mapping[str, Any]) -> Batch:
        """Give the batch at `state` and keep it.

        Raises
        ------
        Exception
            What the thread met when it read this batch.
        """
        worker = self._worker
        if worker is None or not _same(state, self._expected):
            worker = self._start(dict(state))
        if self._head is None:
            found = worker.results.get()
            if isinstance(found, BaseException):
                self.stop()
                raise found
            self._head = found
        return self._head

    def take(self, state: Mapping[str, Any]) -> Batch:
        """Give the batch at `state`, of which nothing is kept."""
        batch = self.peek(state)
        self._head = None
        self._expected = batch[1]
        self._slots.put(True)
        return batch

    def waiting(self) -> list[NDArray[Any]]:
        """Give the batch after the one that was taken, if it was read already."""
        worker = self._worker
        if worker is None or worker.results.empty():
            return []
        try:
            return self.peek(self._expected)[0]
        except Exception:  # who takes this batch meets what the thread met
            return []

    def stop(self) -> None:
        """End the thread and wait for it."""
        if self._worker is not None:
            self._worker.close()
            self._worker.join()
        self._worker = self._head = None

    def _start(self, state: State) -> _Worker:
        self.stop()
        worker = self._worker = _Worker(self._read, state, self._depth)
        self._slots = worker.slots
        self._expected = state
        _workers.add(worker)
        weakref.finalize(self, worker.close).atexit = False  # `_end_all` does it there
        worker.start()
        return worker


def _same(state: Mapping[str, Any], expected: State) -> bool:
    return all(
        key in state and (state[key] is value or np.array_equal(state[key], value))
        for key, value in expected.items()
    )


class PrefetchingLayer(Operator):
    """No bottoms; tops of new data that a thread reads ahead.

    Options (``data_param``, for every type)
        prefetch : int, default 4. Batches that wait.

    The state is that of the batches which a forward has given, not of those that wait.
    """

    bottoms = (0, 0)
    source = True
    differentiable_bottoms = ()

    def setup(self, param: Any, context: Context) -> None:
        """Make the reader, which looks at its files."""
        depth = int(param.data_param.prefetch)
        if depth == 0:
            raise CheckError("prefetch is 0: expected a number above 0")
        reader = self.reader(param, context)
        self._context = context
        self._ahead = Prefetcher(reader.read, depth)
        self._staging: Staging | None = None
        context.state.update(reader.first_state())

    @abstractmethod
    def reader(self, param: Any, context: Context) -> Reader:
        """Make the reader; it may not hold on to the layer or the context."""

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shapes of the next batch."""
        tops, _ = self._ahead.peek(self._context.state)
        return [top.shape for top in tops]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Give the next batch; the state is then that after it."""
        tops, state = self._ahead.take(context.state)
        context.state.update(state)
        if self._staging is None or self._staging.device != context.device:
            self._staging = Staging(context.device)
        found = self._staging.take(tops)
        if self._staging.copies:
            self._staging.announce(self._ahead.waiting())
        return found


def log_size(log: Callable[[str, str], None], source: str, shape: Shape) -> None:
    """Write Caffe's line of the shape of a top."""
    log(source, "output data size: " + ",".join(map(str, shape)))
