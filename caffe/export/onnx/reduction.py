"""Layers that sum up or pick along axes."""

from __future__ import annotations

import numpy as np

from caffe.export.onnx.graph import BOOL, VALUES, Value
from caffe.export.onnx.layer import Layer, translates


@translates("Reduction")
def reduction(layer: Layer) -> list[Value]:
    """Give one of the reductions, and its factor."""
    options = layer.param.reduction_param
    x = layer.bottom
    first = options.axis % len(x.shape)
    name = x.name
    if options.operation == options.ASUM:
        name = layer.add("Abs", x)
    elif options.operation == options.SUMSQ:
        name = layer.add("Mul", x, x)
    kind = "ReduceMean" if options.operation == options.MEAN else "ReduceSum"
    name = layer.reduce(kind, name, range(first, len(x.shape)), keep=False)
    return [layer.top(layer.scaled(name, options.coeff), x.pattern[:first])]


@translates("ArgMax")
def argmax(layer: Layer) -> list[Value]:
    """Give ArgMax for one index, else TopK from the end."""
    x = layer.bottom
    axis = layer.op.axis
    both = bool(layer.param.argmax_param.out_max_val)
    if axis is not None:
        axis %= len(x.shape)
        indices, values = _greatest(layer, x, axis, indices=not both, values=both)
        pattern = (*x.pattern[:axis], None, *x.pattern[axis + 1 :])
        return [layer.top(values if both else indices, pattern)]
    flat = Value(
        layer.add("Flatten", x, axis=1),
        (x.shape[0], int(np.prod(x.shape[1:]))),
        (x.pattern[0], next(filter(None, x.pattern[1:]), None)),
    )
    indices, values = _greatest(layer, flat, 1, indices=True, values=both)
    name = layer.add("Concat", indices, values, axis=1) if both else indices
    name = layer.reshaped(name, (0, *layer.top_shapes[0][1:]))
    ones = (None,) * (len(layer.top_shapes[0]) - 1)
    return [layer.top(name, (x.pattern[0], *ones))]


def _greatest(
    layer: Layer, x: Value, axis: int, *, indices: bool, values: bool
) -> tuple[str, str]:
    """Find the greatest (of equal ones the last first): indices as floats, values."""
    if layer.op.top_k == 1:
        index = value = ""
        if indices:
            index = layer.to_float(
                layer.add("ArgMax", x, axis=axis, select_last_index=1)
            )
        if values:
            value = layer.reduce("ReduceMax", x, [axis])
        return index, value
    (size,) = x.fixed([axis])
    reverse = (layer.ints([v], "end") for v in (-1, -size - 1, axis, -1))
    turned = layer.add("Slice", x, *reverse)
    value, place = layer.add_many(
        "TopK", 2, turned, layer.ints([layer.op.top_k], "k"), axis=axis
    )
    last = layer.floats(size - 1, "last")
    return layer.add("Sub", last, layer.to_float(place)), value


@translates("BatchReindex")
def batch_reindex(layer: Layer) -> list[Value]:
    """Give Gather."""
    x, numbers = layer.bottoms
    name = layer.add("Gather", x, layer.to_int(numbers), axis=0)
    return [layer.top(name, (*numbers.pattern, *x.pattern[1:]))]


@translates("Filter")
def filter_items(layer: Layer) -> list[Value]:
    """Give Compress."""
    *data, selector = layer.bottoms
    flat = layer.reshaped(selector, [-1])
    chosen = layer.add("Cast", flat, to=BOOL)
    return [
        layer.top(
            layer.add("Compress", x, chosen, axis=0), (VALUES, *x.pattern[1:]), index
        )
        for index, x in enumerate(data)
    ]
