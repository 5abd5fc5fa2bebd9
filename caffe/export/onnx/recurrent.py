"""Recurrent layers, step by step: ONNX's own cannot begin anew within a batch."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from caffe.export.onnx.graph import Value
from caffe.export.onnx.layer import Layer, translates


@translates("RNN")
def rnn(layer: Layer) -> list[Value]:
    """Give the steps of a recurrent network."""
    drive, cont, (hidden,) = _prepared(layer, 1)
    matrix, output, bias = len(layer.blobs) - 3, len(layer.blobs) - 2, -1
    recurrent = _transposed(layer, matrix)
    out, shift = _transposed(layer, output), layer.floats(layer.values(bias), "bias")
    outputs = []
    for x, go_on in zip(drive, cont, strict=True):
        kept = layer.add("MatMul", layer.add("Mul", hidden, go_on), recurrent)
        hidden = layer.add("Tanh", layer.add("Add", x, kept))
        product = layer.add("Add", layer.add("MatMul", hidden, out), shift)
        outputs.append(layer.add("Tanh", product))
    return _tops(layer, outputs, [hidden])


@translates("LSTM")
def lstm(layer: Layer) -> list[Value]:
    """Give the steps of a long short-term memory."""
    drive, cont, (hidden, cell) = _prepared(layer, 2)
    recurrent = _transposed(layer, len(layer.blobs) - 1)
    outputs = []
    for x, go_on in zip(drive, cont, strict=True):
        kept = layer.add("MatMul", layer.add("Mul", hidden, go_on), recurrent)
        cell, hidden = _unit(layer, cell, layer.add("Add", x, kept), go_on)
        outputs.append(hidden)
    return _tops(layer, outputs, [hidden, cell])


@translates("LSTMUnit")
def lstm_unit(layer: Layer) -> list[Value]:
    """Give one step."""
    before, gates, cont = layer.bottoms
    go_on = layer.unsqueezed(cont, [2])
    cell, hidden = _unit(layer, before.name, gates.name, go_on)
    return [layer.top(cell), layer.top(hidden, index=1)]


def _unit(layer: Layer, before: str, gates: str, go_on: str) -> tuple[str, str]:
    """Next c and h."""
    size = layer.top_shapes[0][2]
    parts = layer.add_many("Split", 4, gates, layer.ints([size] * 4, "sizes"), axis=2)
    i, f, o = (layer.add("Sigmoid", part) for part in parts[:3])
    kept = layer.add("Mul", layer.add("Mul", go_on, f), before)
    new = layer.add("Mul", i, layer.add("Tanh", parts[3]))
    cell = layer.add("Add", kept, new)
    return cell, layer.add("Mul", o, layer.add("Tanh", cell))


def _prepared(
    layer: Layer, states: int
) -> tuple[Sequence[str], Sequence[str], list[str]]:
    """Give the inputs' part and cont of every step, and the states before the first."""
    x, cont, *others = layer.bottoms
    steps, sequences, *_ = x.fixed()
    flat = layer.reshaped(x, (steps, sequences, prod(x.shape[2:])))
    product = layer.add("MatMul", flat, _transposed(layer, 0))
    drive = layer.add("Add", product, layer.blob(1))
    if layer.op.static:
        static = others.pop(0)
        line = layer.reshaped(static, (1, sequences, prod(static.shape[1:])))
        drive = layer.add(
            "Add", drive, layer.add("MatMul", line, _transposed(layer, 2))
        )
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


def _transposed(layer: Layer, index: int) -> str:
    return layer.floats(layer.values(index).T, f"matrix_{index}")


def _tops(layer: Layer, outputs: list[str], states: list[str]) -> list[Value]:
    """All outputs as one tensor, and the states behind it if they are exposed."""
    names = [layer.add("Concat", *outputs, axis=0)]
    names += states if layer.op.exposed else []
    return [
        layer.top(name, (None, None, None), index) for index, name in enumerate(names)
    ]
