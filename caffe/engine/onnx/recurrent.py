"""Recurrent layers, step by step: ONNX's own cannot begin anew within a batch."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer


def unit(layer: Layer, before: str, gates: str, go_on: str) -> tuple[str, str]:
    """Next c and h."""
    size = layer.top_shapes[0][2]
    parts = layer.add_many("Split", 4, gates, layer.ints([size] * 4, "sizes"), axis=2)
    i, f, o = (layer.add("Sigmoid", part) for part in parts[:3])
    kept = layer.add("Mul", layer.add("Mul", go_on, f), before)
    new = layer.add("Mul", i, layer.add("Tanh", parts[3]))
    cell = layer.add("Add", kept, new)
    return cell, layer.add("Mul", o, layer.add("Tanh", cell))


def prepared(
    layer: Layer, states: int
) -> tuple[Sequence[str], Sequence[str], list[str]]:
    """Give the inputs' part and cont of every step, and the states before the first."""
    x, cont, *others = layer.bottoms
    steps, sequences, *_ = x.fixed()
    flat = layer.reshaped(x, (steps, sequences, prod(x.shape[2:])))
    product = layer.add("MatMul", flat, transposed(layer, 0))
    drive = layer.add("Add", product, layer.blob(1))
    if layer.op.static:
        static = others.pop(0)
        line = layer.reshaped(static, (1, sequences, prod(static.shape[1:])))
        drive = layer.add("Add", drive, layer.add("MatMul", line, transposed(layer, 2)))
    if layer.op.exposed:
        before = [state.name for state in others]
    else:
        zeros = np.zeros((1, sequences, layer.op.num_output), np.float32)
        before = [layer.floats(zeros, "begin") for _ in range(states)]
    goes_on = layer.unsqueezed(cont, [2])
    return _steps(layer, drive, steps), _steps(layer, goes_on, steps), before


def _steps(layer: Layer, x: str, count: int) -> list[str]:
    if count == 1:
        return [x]
    sizes = layer.ints([1] * count, "sizes")
    return layer.add_many("Split", count, x, sizes, axis=0)


def transposed(layer: Layer, index: int) -> str:
    """Give a parameter's transpose as a constant."""
    return layer.floats(layer.values(index).T, f"matrix_{index}")


def tops(layer: Layer, outputs: list[str], states: list[str]) -> list[Value]:
    """All outputs as one tensor, and the states behind it if they are exposed."""
    names = [layer.add("Concat", *outputs, axis=0)]
    names += states if layer.op.exposed else []
    return [
        layer.top(name, (None, None, None), index) for index, name in enumerate(names)
    ]
