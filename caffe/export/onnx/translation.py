"""From the layers and blobs of a net to a graph of ONNX."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from caffe.engine.catalogue import types_with
from caffe.engine.layer import Operator
from caffe.engine.node import naming
from caffe.engine.onnx.graph import (
    BATCH,
    SPATIAL,
    VALUES,
    Graph,
    NeedsFixed,
    Value,
    no_counterpart,
)
from caffe.engine.onnx.layer import Layer
from caffe.errors import CheckError

OPSETS = (13, 21)
OPSET = 17
KINDS = (BATCH, SPATIAL)


class Wired(Protocol):
    """What this module needs of a net: layers and blobs in order."""

    nodes: list[Any]
    blobs: Any
    outputs: list[str]


@dataclass
class Translation:
    """A net as a graph of ONNX.

    Attributes
    ----------
    graph : Graph
    outputs : dict of str to Value
        Tensor of each output of the net. Outputs that are inputs are left out.
    dynamic : tuple of str
        Kinds of axes whose size may change: ``"batch"``, ``"spatial"``.
    """

    graph: Graph
    outputs: dict[str, Value]
    dynamic: tuple[str, ...]


@dataclass
class Part:
    """The layers of a net that some of its blobs depend on."""

    nodes: list[Any]
    blobs: Any
    outputs: list[str]


def part_of(wiring: Wired, outputs: Sequence[str]) -> Part:
    """Take the part of a net that computes some of its blobs.

    Raises
    ------
    CheckError
        If there is no blob of a name, or it is an input.
    """
    needed, nodes = set(outputs), []
    for node in reversed(wiring.nodes):
        if needed.intersection(node.top):
            nodes.append(node)
            needed.update(node.bottom)
    given = {top for node in nodes if node.op.filled_by_user for top in node.top}
    for name in outputs:
        if name not in wiring.blobs:
            raise CheckError(
                f"the net has no blob '{name}': it has {', '.join(wiring.blobs)}"
            )
        if name in given:
            raise CheckError(f"blob '{name}' is an input: it can't be an output")
    return Part(nodes[::-1], wiring.blobs, list(dict.fromkeys(outputs)))


def check_layers(nodes: Sequence[Any]) -> None:
    """Refuse layers of a type that has no counterpart.

    Raises
    ------
    CheckError
        Naming the first one and its type.
    """
    for node in nodes:
        if type(node.op).to_onnx is Operator.to_onnx:
            why = f"{len(types_with('to_onnx'))} other types have one"
            with naming(node.name, node.type):
                raise no_counterpart(why)


def translate(
    wiring: Wired,
    *,
    dynamic: Collection[str] = (),
    opset: int = OPSET,
    constant_data: bool = True,
) -> Translation:
    """Translate a net of phase TEST.

    Parameters
    ----------
    wiring : Wired
        With the shapes that follow from its inputs.
    dynamic : collection of {"batch", "spatial"}, default none
        Axes of the inputs whose size may be another one later: axis 0, and those
        behind the channels. Left out where a layer is exact for one size only.
    opset : int, default 17
        Version of ONNX's operators, 13 to 21.
    constant_data : bool, default True
        Whether tops that are filled only once (DummyData) are constants; else they
        are inputs.

    Raises
    ------
    CheckError
        If a layer, or an option of it, has no counterpart; the text names it.
    """
    if not OPSETS[0] <= opset <= OPSETS[1]:
        raise CheckError(f"opset is {opset}: expected {OPSETS[0]} to {OPSETS[1]}")
    unknown = set(dynamic) - set(KINDS)
    if unknown:
        raise CheckError(
            f"dynamic holds {', '.join(map(repr, sorted(unknown)))}: "
            f"expected some of {', '.join(map(repr, KINDS))}"
        )
    check_layers(wiring.nodes)
    kinds = [kind for kind in KINDS if kind in dynamic]
    while True:
        try:
            return _Walk(wiring, kinds, opset, constant_data).result()
        except NeedsFixed as need:
            kinds.remove(need.kind)


class _Walk:
    """One way through the layers, with the blobs' newest values."""

    def __init__(
        self, wiring: Wired, kinds: Sequence[str], opset: int, constant_data: bool
    ) -> None:
        self._wiring = wiring
        self._kinds = tuple(kinds)
        self._constant_data = constant_data
        self._graph = Graph(opset, set(wiring.blobs))
        self._values: dict[str, Value] = {}
        self._root: dict[str, str] = {}  # first blob with the same memory
        # what a layer in place has written into memory that has other names too
        self._rewritten: dict[str, Value] = {}
        for node in wiring.nodes:
            self._layer(node)

    def result(self) -> Translation:
        """Give the tensors their blobs' names, and list the outputs."""
        graph = self._graph
        inputs = {value.name for value in graph.inputs}
        known = {*inputs, *graph.constants}
        finals = {
            blob: self._own(blob, known)
            for blob in self._wiring.outputs
            if self._read(blob).name != blob
        }
        names: dict[str, str] = {}
        for blob, value in (*finals.items(), *self._values.items()):
            if value.name not in {*known, *names} and blob not in inputs:
                names[value.name] = blob
                known.add(blob)
        graph.rename(names)
        outputs = {
            blob: Value(names.get(value.name, value.name), value.shape, value.pattern)
            for blob, value in finals.items()
        }
        if not outputs:
            raise CheckError("the net computes nothing: expected 1 output or more")
        graph.outputs = list(outputs.values())
        return Translation(graph, outputs, self._kinds)

    def _own(self, blob: str, known: set[str]) -> Value:
        """Value of an output as a tensor that is no other's, nor an input."""
        value = self._read(blob)
        sharing = [b for b in self._wiring.outputs if self._read(b) is value]
        if value.name in known or sharing[0] != blob:
            (name,) = self._graph.add("Identity", [value.name], blob, 1)
            self._graph.nodes[-1].name = name
            value = Value(name, value.shape, value.pattern)
        return value

    def _layer(self, node: Any) -> None:
        layer = Layer(
            self._graph,
            node,
            [self._read(name) for name in node.bottom],
            [self._wiring.blobs[name] for name in node.top],
            dynamic=self._kinds,
            constant_data=self._constant_data,
        )
        first = len(self._graph.nodes)
        with naming(node.name, node.type):
            tops = self._translated(layer, node.op)
        _name_nodes(self._graph, node.name, first)
        for name, value in zip(node.top, tops, strict=True):
            self._write(name, value, node)

    @staticmethod
    def _translated(layer: Layer, op: Operator) -> list[Value]:
        try:
            return op.to_onnx(layer)
        except NeedsFixed as need:
            if need.kind == VALUES:
                why = "the size of a bottom depends on the numbers in another"
                raise no_counterpart(why) from None
            raise

    def _write(self, name: str, value: Value, node: Any) -> None:
        if node.op.aliases_bottom:
            self._root[name] = self._root[node.bottom[0]]
        elif name in self._root:
            root = self._root[name]
            others = [other for other, r in self._root.items() if r == root]
            self._rewritten.update(dict.fromkeys(others, value))
        else:
            self._root[name] = name
        self._values[name] = value
        self._rewritten.pop(name, None)

    def _read(self, name: str) -> Value:
        """Newest value of a blob."""
        newest = self._rewritten.pop(name, None)
        if newest is None:
            return self._values[name]
        shape = self._wiring.blobs[name].shape
        if newest.shape != shape:
            newest.fixed()
            sizes = self._graph.constant(f"{name}/shape", lambda: np.array(shape))
            (tensor,) = self._graph.add("Reshape", [newest.name, sizes], name, 1)
            newest = Value(tensor, shape, (None,) * len(shape))
        self._values[name] = newest
        return newest


def _name_nodes(graph: Graph, layer_name: str, first: int) -> None:
    """Give the last of a layer's operators the layer's name."""
    nodes = graph.nodes[first:]
    used = {node.name for node in graph.nodes[:first]}
    for k, node in enumerate(nodes):
        node.name = f"{layer_name}/{k}" if node is not nodes[-1] else layer_name
        while node.name in used:
            node.name += "_"
