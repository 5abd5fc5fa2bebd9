"""A graph of ONNX in the making; only its last step needs the package `onnx`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe.errors import CaffeError, NoCounterpartError

Pattern = tuple["str | None", ...]
FLOAT, INT64, BOOL = 1, 7, 9  # numbers of ONNX for types of elements
BATCH, SPATIAL, VALUES = "batch", "spatial", "values"


class NeedsFixed(Exception):  # noqa: N818 - no error: the export starts again
    """A layer that is only exact for one size of an axis of this kind."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(frozen=True)
class Value:
    """A tensor of the graph.

    Attributes
    ----------
    name : str
    shape : tuple of int
        In the net as it stands.
    pattern : tuple of (str or None)
        For each axis: None, its size stays; ``"batch"`` or ``"spatial"``, it may
        change with the inputs; ``"values"``, it depends on the numbers.
    """

    name: str
    shape: tuple[int, ...]
    pattern: Pattern

    def fixed(self, axes: Iterable[int] | None = None) -> tuple[int, ...]:
        """Sizes of the axes (None: all), which may not change from here on.

        Raises
        ------
        NeedsFixed
            If one of them may.
        """
        chosen = range(len(self.shape)) if axes is None else list(axes)
        for axis in chosen:
            kind = self.pattern[axis]
            if kind is not None:
                raise NeedsFixed(kind)
        return tuple(self.shape[axis] for axis in chosen)

    def is_fixed(self, axes: Iterable[int]) -> bool:
        """Whether none of the axes may change its size."""
        return all(self.pattern[axis] is None for axis in axes)


@dataclass
class Node:
    """One operator of ONNX."""

    kind: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    name: str = ""


@dataclass
class Graph:
    """Nodes, constants, inputs and outputs; names are unique.

    Parameters
    ----------
    opset : int
        Version of ONNX's operators.
    taken : set of str
        Names that only the blobs of the net may have.
    """

    opset: int
    taken: set[str] = field(default_factory=set)
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Callable[[], NDArray[Any]]] = field(default_factory=dict)
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)

    def unique(self, wish: str) -> str:
        """Name that nobody has, like the one wished for."""
        name, count = wish, 1
        while name in self.taken:
            count += 1
            name = f"{wish}_{count}"
        self.taken.add(name)
        return name

    def add(
        self, kind: str, inputs: Sequence[str], base: str, count: int, **options: Any
    ) -> list[str]:
        """Append an operator; give the names of its outputs."""
        outputs = [self.unique(f"{base}/{kind}") for _ in range(count)]
        self.nodes.append(Node(kind, list(inputs), list(outputs), options))
        return outputs

    def constant(self, wish: str, numbers: Callable[[], NDArray[Any]]) -> str:
        """Enter numbers, which are asked for when the model is made."""
        name = self.unique(wish)
        self.constants[name] = numbers
        return name

    def rename(self, names: Mapping[str, str]) -> None:
        """Give tensors other names."""
        for node in self.nodes:
            node.inputs = [names.get(name, name) for name in node.inputs]
            node.outputs = [names.get(name, name) for name in node.outputs]

    def model(self, name: str) -> Any:
        """Give the graph as an `onnx.ModelProto`."""
        helper = package("zoo").helper
        graph = helper.make_graph(
            [
                helper.make_node(
                    node.kind, node.inputs, node.outputs, node.name, **node.attributes
                )
                for node in self.nodes
            ],
            name or "net",
            _infos(self.inputs, symbols(self.inputs)),
            _infos(self.outputs, {}),
        )
        for key, numbers in self.constants.items():
            graph.initializer.append(_tensor(key, numbers()))
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(
            graph,
            producer_name="pyunet",
            opset_imports=opsets,
            ir_version=helper.find_min_ir_version_for(opsets),
        )


def _tensor(name: str, array: NDArray[Any]) -> Any:
    helper = package("zoo").helper
    kind = INT64 if array.dtype == np.int64 else FLOAT
    return helper.make_tensor(name, kind, array.shape, array.tobytes(), raw=True)


def _infos(values: Sequence[Value], names: Mapping[tuple[str, int], str]) -> list[Any]:
    helper = package("zoo").helper
    return [
        helper.make_tensor_value_info(
            value.name,
            FLOAT,
            [
                size if kind is None else names.get((value.name, axis))
                for axis, (size, kind) in enumerate(
                    zip(value.shape, value.pattern, strict=True)
                )
            ],
        )
        for value in values
    ]


def symbols(inputs: Sequence[Value]) -> dict[tuple[str, int], str]:
    """Names of the sizes that may change, by tensor and axis.

    Examples
    --------
    >>> value = Value("data", (1, 1, 9, 8), ("batch", None, "spatial", "spatial"))
    >>> sorted(symbols([value]).values())
    ['batch', 'height', 'width']
    """
    names = {}
    for value in inputs:
        front = "" if len(inputs) == 1 else f"{value.name}_"
        spatial = [i for i, kind in enumerate(value.pattern) if kind == SPATIAL]
        words = ("depth", "height", "width")[-len(spatial) :] if spatial else ()
        for axis, word in zip(spatial[-3:], words, strict=False):
            names[value.name, axis] = front + word
        for axis, kind in enumerate(value.pattern):
            if kind == BATCH:
                names[value.name, axis] = f"{front}batch"
            elif kind is not None:
                names.setdefault((value.name, axis), f"{front}axis_{axis}")
    return names


def package(extra: str) -> Any:
    """Give the package `onnx`.

    Raises
    ------
    CaffeError
        If it is not installed; the text names the extra that brings it.
    """
    try:
        import onnx
        import onnx.helper
    except ImportError:
        raise CaffeError(
            f'the package onnx is missing: pip install "pyunet[{extra}]"'
        ) from None
    return onnx


def no_counterpart(why: str) -> NoCounterpartError:
    """Error of a layer, or of options, that ONNX has no words for."""
    return NoCounterpartError(f"has no counterpart in ONNX: {why}")
