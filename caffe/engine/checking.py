"""All that keeps a net from being built or given its weights, not only the first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from os import PathLike
from typing import Any

from caffe.engine import graph, snapshot
from caffe.engine.catalogue import layer_class, layer_type_list
from caffe.engine.gaps import Gap
from caffe.engine.unknown import faults_of
from caffe.engine.wiring import Wiring
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.proto.forks import unsupported

Path = str | PathLike[str]


@dataclass
class Findings:
    """What is wrong with a net in one phase.

    Attributes
    ----------
    phase : str
        TRAIN or TEST.
    meant : bool
        Some layer gives data in this phase; else the net is not for it.
    faults : list of str
        What keeps it from being built.
    behind : int
        Number of layers behind these faults, which can't be checked.
    gaps : list of Gap
        Parameters that the weights do not give.
    left_over : list of str
        Layers of the weights that the net has not.
    """

    phase: str
    meant: bool = True
    faults: list[str] = field(default_factory=list)
    behind: int = 0
    gaps: list[Gap] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether the net can be built and every parameter gets its values."""
        return not (self.faults or self.gaps)


def check_net(net: Any, phase: int, weights: Path | None = None) -> Findings:
    """Build a net as far as it goes, and compare it with weights.

    Parameters
    ----------
    net : NetParameter
        In today's form.
    phase : int
    weights : path, optional

    Raises
    ------
    FileError
        The weights can't be read.
    """
    found = Findings(caffe_pb2.Phase.Name(phase))
    copy = caffe_pb2.NetParameter()
    copy.CopyFrom(net)
    copy.state.phase = phase
    counts = snapshot.blob_counts(weights)
    try:
        message = graph.filter_net(copy, tell=False)
        if not any(not layer.bottom for layer in message.layer):
            found.meant = False
            return found
        found.faults += faults_of(message)
        survey = _Survey(graph.insert_splits(_connected(message, found)), counts, found)
    except CaffeError as error:
        found.faults.append(str(error))
        return found
    if weights is not None:
        found.gaps = snapshot.find_gaps(survey.entries, weights)
        found.left_over = sorted(_left_over(message, counts))
    return found


def _connected(net: Any, found: Findings) -> Any:
    """Leave out the layers with bottoms that no layer makes, and those behind them."""
    made: set[str] = set()
    lost: set[str] = set()
    kept = caffe_pb2.NetParameter()
    kept.CopyFrom(net)
    del kept.layer[:]
    for layer in net.layer:
        missing = [name for name in layer.bottom if name not in made]
        if not missing:
            made.update(layer.top)
            kept.layer.add().CopyFrom(layer)
            continue
        lost.update(layer.top)
        unheard = [name for name in missing if name not in lost]
        found.behind += not unheard
        found.faults += [
            f"layer '{layer.name}': no layer before it makes its bottom '{name}'"
            for name in unheard
        ]
    return kept


def _left_over(net: Any, counts: dict[str, int]) -> Iterator[str]:
    names = {layer.name for layer in net.layer}
    return (name for name, count in counts.items() if count and name not in names)


class _Survey(Wiring):
    """A net of the layers that can be made."""

    def __init__(self, net: Any, counts: dict[str, int], found: Findings) -> None:
        self._found = found
        self._lost: set[str] = set()
        super().__init__(net, fill=False, blob_counts=cache(partial(dict, counts)))

    def _check(self, net: Any) -> None:
        """Check nothing: what is not known has been found."""

    def _add(self, layer: Any) -> None:
        behind = bool(self._lost.intersection(layer.bottom))
        known = layer.type in _types() and not any(unsupported(layer))
        fault = "" if behind or not known else self._fault_of(layer)
        if behind or not known or fault:
            self._lost.update(layer.top)
        if behind and known:
            self._found.behind += not _is_split(layer)
        if fault:
            self._found.faults.append(fault)

    def _fault_of(self, layer: Any) -> str:
        try:
            super()._add(layer)
        except CaffeError as error:
            return str(error)
        return ""


@cache
def _types() -> frozenset[str]:
    return frozenset(layer_type_list())


def _is_split(layer: Any) -> bool:
    """Tell the layers that Caffe adds."""
    return layer_class(layer.type, layer).adds_gradients
