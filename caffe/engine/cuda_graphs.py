"""Work of fixed shapes, captured once on a GPU and from then on replayed.

A step of a net is hundreds of short operations; to start them one by one takes a GPU's
host longer than the GPU needs. A CUDA graph starts them all at once. It reads and
writes the same memory each time, and knows nothing of what Python did while it was
captured. So only that is captured which asks the host nothing (`divide`): data layers
and what draws on the host run before it, the update with its learning rate behind it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from caffe.engine import common
from caffe.errors import CaffeError
from caffe.glog import log

Tensors = list[torch.Tensor]
Work = Callable[[Tensors], Tensors]

REHEARSALS = 3  # cuDNN chooses its algorithms in these
MOST_GRAPHS = 4  # each holds its own activations
MOST_CAPTURES = 16


class Recorder(Protocol):
    """What captures work on a device."""

    def rehearse(self, work: Callable[[], Tensors]) -> Tensors:
        """Run work as it is, where it is captured later."""

    def capture(
        self, work: Callable[[], Tensors]
    ) -> tuple[Tensors, Callable[[], object]]:
        """Record work without running it: where its results will be, and the replay.

        Raises
        ------
        RuntimeError
            If it does what can't be recorded.
        """


class CudaRecorder:
    """CUDA graphs of a GPU, on a stream of their own.

    Parameters
    ----------
    device : torch.device
    generators : sequence of torch.Generator
        Those that the work draws from: each replay goes on in their streams.
    """

    def __init__(
        self, device: torch.device, generators: Sequence[torch.Generator]
    ) -> None:
        self._generators = list(generators)
        self._stream = torch.cuda.Stream(device)
        self._device = device

    def rehearse(self, work: Callable[[], Tensors]) -> Tensors:
        """Run on the side stream, in order with the present one."""
        present = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(present)
        with torch.cuda.stream(self._stream):
            results = work()
        present.wait_stream(self._stream)
        return results

    def capture(
        self, work: Callable[[], Tensors]
    ) -> tuple[Tensors, Callable[[], object]]:
        """Record a graph; threads that read ahead may go on meanwhile."""
        graph = torch.cuda.CUDAGraph()
        before = [generator.clone_state() for generator in self._generators]
        for generator in self._generators:
            graph.register_generator_state(generator)
        try:
            mode = "thread_local"
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode=mode):
                results = work()
        except BaseException:
            # a state that is left in a capture refuses to be drawn from
            for generator, state in zip(self._generators, before, strict=True):
                generator.graphsafe_set_state(state)
            raise
        return results, graph.replay


@dataclass
class _Graph:
    inputs: Tensors
    results: Tensors
    replay: Callable[[], object]


class Replayed:
    """Work that is run as it is until its shapes have settled, then replayed.

    Parameters
    ----------
    recorder : Recorder
    name : str
        Of the work, in the log.

    Attributes
    ----------
    gave_up : str
        Why nothing is captured any more; empty while it is.
    """

    def __init__(self, recorder: Recorder, name: str) -> None:
        self.gave_up = ""
        self._recorder = recorder
        self._name = name
        self._fixed: Hashable = None
        self._graphs: dict[Hashable, _Graph] = {}
        self._seen: Counter[Hashable] = Counter()
        self._captures = 0

    def run(self, work: Work, inputs: Tensors, fixed: Hashable) -> Tensors:
        """Results of ``work(inputs)``.

        Parameters
        ----------
        work : callable
            Reads nothing that changes but its inputs and the values of tensors that
            stay where they are, and leaves nothing but its results.
        inputs : list of Tensor
            Copied to where the graph reads them.
        fixed : hashable
            All else that the work depends on, such as the places of parameters. With
            another value nothing that was captured is used again.

        Returns
        -------
        list of Tensor
            Good until the next run, which may write over them.
        """
        if self.gave_up:
            return work(inputs)
        if fixed != self._fixed:
            self._graphs.clear()
            self._seen.clear()
            self._fixed = fixed
        key = tuple((t.shape, t.stride(), t.dtype) for t in inputs)
        graph = self._graphs.get(key)
        if graph is None:
            self._seen[key] += 1
            settled = self._seen[key] > REHEARSALS
            if not settled or len(self._graphs) == MOST_GRAPHS:
                return self._recorder.rehearse(lambda: work(inputs))
            graph = self._capture(work, inputs)
            if graph is None:
                return work(inputs)
            self._graphs[key] = graph
        for place, value in zip(graph.inputs, inputs, strict=True):
            place.copy_(value)
        graph.replay()
        return graph.results

    def _capture(self, work: Work, inputs: Tensors) -> _Graph | None:
        """Record the work; None, and no further attempt, where that fails."""
        self._captures += 1
        if self._captures > MOST_CAPTURES:
            self._give_up(f"it was captured {MOST_CAPTURES} times, and changes still")
            return None
        places = [_place_like(value) for value in inputs]
        try:
            results, replay = self._recorder.capture(lambda: work(places))
        except (RuntimeError, CaffeError) as error:
            self._give_up(" ".join(str(error).split()) or type(error).__name__)
            return None
        return _Graph(places, results, replay)

    def _give_up(self, reason: str) -> None:
        self.gave_up = reason
        self._graphs.clear()
        _log_refusal(self._name, reason)


def _place_like(value: torch.Tensor) -> torch.Tensor:
    """Memory of the same strides, which convolutions go by."""
    place = torch.empty_strided(
        value.shape, value.stride(), dtype=value.dtype, device=value.device
    )
    return place.copy_(value)


class Layer(Protocol):
    """What is asked of a node of a net."""

    name: str
    type: str
    bottom: list[str]
    top: list[str]
    op: Any
    blobs: Any


@dataclass(frozen=True)
class Division:
    """Which layers run before the capture, and which in it.

    Attributes
    ----------
    inside : list of bool
        For each layer.
    reason : str
        Why nothing can be captured; empty if it can.
    """

    inside: list[bool]
    reason: str = ""


def divide(layers: Sequence[Layer]) -> Division:
    """Leave out of the capture what brings data or draws on the host, and its bottoms.

    Examples
    --------
    >>> divide([]).reason
    'no layer is left to capture'
    """
    inside = []
    wanted: set[str] = set()
    for layer in reversed(layers):
        outside = layer.op.source or bool(wanted.intersection(layer.top))
        if outside:
            wanted.update(layer.bottom)
        elif layer.op.label_bottom is not None:
            wanted.add(layer.bottom[layer.op.label_bottom])
        inside.append(not outside)
    inside.reverse()
    return Division(inside, _obstacle(layers, inside))


def _obstacle(layers: Sequence[Layer], inside: list[bool]) -> str:
    for layer, within in zip(layers, inside, strict=True):
        told = f"layer '{layer.name}' ({layer.type})"
        if not within and layer.blobs:
            return f"{told} has parameters, and makes what is new each time"
        if within and not layer.op.capturable:
            return f"{told} may ask the host"
    return "" if any(inside) else "no layer is left to capture"


def cuda_recorder(device: torch.device) -> Recorder | None:
    """Make the recorder of a GPU; none for the CPU, which has nothing to win."""
    if device.type != "cuda":
        return None
    return CudaRecorder(device, [common.streams().generator(device)])


class Graphs:
    """Which layers of a net are captured, and the captures of its kinds of work.

    Parameters
    ----------
    layers : sequence of Layer

    Attributes
    ----------
    wanted : bool
        False: each operation is started by itself.
    inside : list of bool
        For each layer, whether it is captured.
    recorder : callable
        Makes the recorder for a device, or none where nothing shall be captured.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.wanted = True
        self.recorder: Callable[[torch.device], Recorder | None] = cuda_recorder
        parts = divide(layers)
        self.inside = parts.inside
        self._reason = parts.reason
        self._known: dict[tuple[str, torch.device], Replayed | None] = {}

    def of(self, work: str, device: torch.device) -> Replayed | None:
        """Give the captures of a kind of work; None: run all layers as they come."""
        if not self.wanted:
            return None
        key = (work, device)
        if key not in self._known:
            recorder = self.recorder(device)
            if recorder is not None and self._reason:
                _log_refusal(work, self._reason)
                recorder = None
            self._known[key] = None if recorder is None else Replayed(recorder, work)
        found = self._known[key]
        return None if found is None or found.gave_up else found


def _log_refusal(work: str, reason: str) -> None:
    log("cuda_graphs.py:1", f"{work} runs without a CUDA graph: {reason}")
