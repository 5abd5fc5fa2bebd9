"""What `Operator.to_onnx` is given: a layer, and the graph that is being made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe.engine.onnx.graph import FLOAT, INT64, Graph, Pattern, Value

_AXES_AS_INPUT = 18  # opset from which the axes of all reductions are an input
_LAST = np.iinfo(np.int64).max


class Layer:
    """A layer of the net, and the graph that it is translated into.

    Parameters
    ----------
    graph : Graph
    node : Node
        Of the engine: name, type, options, operator, blobs.
    bottoms : list of Value
    top_blobs : list of Blob
    dynamic : sequence of str
        Kinds of axes of the inputs whose size may change.
    constant_data : bool
        Whether tops that are filled only once are constants; else they are inputs.
    """

    def __init__(
        self,
        graph: Graph,
        node: Any,
        bottoms: Sequence[Value],
        top_blobs: Sequence[Any],
        *,
        dynamic: Sequence[str],
        constant_data: bool,
    ) -> None:
        self.graph = graph
        self.name: str = node.name
        self.param = node.param
        self.op = node.op
        self.tops: list[str] = list(node.top)
        self.blobs = node.blobs
        self.bottoms = list(bottoms)
        self.top_blobs = list(top_blobs)
        self.top_shapes: list[tuple[int, ...]] = [blob.shape for blob in top_blobs]
        self.dynamic = dynamic
        self.constant_data = constant_data

    @property
    def bottom(self) -> Value:
        """The first bottom."""
        return self.bottoms[0]

    def add(self, kind: str, *inputs: str | Value, **options: Any) -> str:
        """Append an operator of one output; give its name."""
        return self.add_many(kind, 1, *inputs, **options)[0]

    def add_many(
        self, kind: str, count: int, *inputs: str | Value, **options: Any
    ) -> list[str]:
        """Append an operator; give the names of its outputs."""
        names = [i.name if isinstance(i, Value) else i for i in inputs]
        return self.graph.add(kind, names, self.name, count, **options)

    def top(self, name: str, pattern: Pattern | None = None, index: int = 0) -> Value:
        """Say that a tensor is a top; without a pattern its axes are bottom 0's."""
        if pattern is None:
            pattern = self.bottom.pattern
        return Value(name, self.top_shapes[index], pattern)

    def graph_input(self, name: str, shape: tuple[int, ...], pattern: Pattern) -> Value:
        """Enter an input of the graph."""
        value = Value(name, shape, pattern)
        self.graph.inputs.append(value)
        return value

    def blob(self, index: int, shape: Sequence[int] | None = None) -> str:
        """Parameter of the layer as a constant, in another shape if one is given."""
        memory = self.blobs[index]
        dims = tuple(memory.shape if shape is None else shape)
        wish = f"{self.name}.{index}"
        return self.graph.constant(wish, lambda: memory.values().reshape(dims))

    def values(self, index: int) -> NDArray[np.float32]:
        """Numbers of a parameter, to read only."""
        numbers: NDArray[np.float32] = self.blobs[index].values()
        return numbers

    def floats(self, numbers: Any, what: str = "value") -> str:
        """Constant of float32."""
        array = np.asarray(numbers, np.float32)
        return self.graph.constant(f"{self.name}/{what}", lambda: array)

    def ints(self, numbers: Any, what: str = "axes") -> str:
        """Constant of int64."""
        array = np.asarray(numbers, np.int64)
        return self.graph.constant(f"{self.name}/{what}", lambda: array)

    def scaled(self, x: str | Value, scale: float, shift: float = 0.0) -> str:
        """Give ``scale * x + shift``, without what changes nothing."""
        name = x.name if isinstance(x, Value) else x
        if scale != 1:
            name = self.add("Mul", name, self.floats(scale, "scale"))
        if shift != 0:
            name = self.add("Add", name, self.floats(shift, "shift"))
        return name

    def to_float(self, x: str | Value) -> str:
        """Turn into float32."""
        return self.add("Cast", x, to=FLOAT)

    def to_int(self, x: str | Value) -> str:
        """Turn into int64, cutting the fraction off."""
        return self.add("Cast", x, to=INT64)

    def reduce(
        self, kind: str, x: str | Value, axes: Sequence[int], *, keep: bool = True
    ) -> str:
        """Reduce axes, in the form of this version of ONNX."""
        as_input = kind == "ReduceSum" or self.graph.opset >= _AXES_AS_INPUT
        if as_input:
            return self.add(kind, x, self.ints(axes), keepdims=int(keep))
        return self.add(kind, x, axes=list(axes), keepdims=int(keep))

    def unsqueezed(self, x: str | Value, axes: Sequence[int]) -> str:
        """Insert axes of one element; the value itself where there are none."""
        if not axes:
            return x.name if isinstance(x, Value) else x
        return self.add("Unsqueeze", x, self.ints(axes))

    def reshaped(self, x: str | Value, sizes: Sequence[int]) -> str:
        """Give another shape; 0: as the axis at this place, -1: what is left."""
        return self.add("Reshape", x, self.ints(sizes, "shape"))

    def sliced(
        self,
        x: str | Value,
        axes: Sequence[int],
        starts: Sequence[int],
        ends: Sequence[int | None],
    ) -> str:
        """Cut a box out; an end of None is that of the axis."""
        last = [_LAST if end is None else end for end in ends]
        return self.add(
            "Slice",
            x,
            self.ints(starts, "starts"),
            self.ints(last, "ends"),
            self.ints(axes),
        )

    def sizes(self, x: Value, axes: Sequence[int]) -> str:
        """Sizes of some axes, computed when the model runs."""
        return self.add("Gather", self.add("Shape", x), self.ints(axes))
