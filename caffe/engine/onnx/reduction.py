"""Layers that sum up or pick along axes."""

from __future__ import annotations

from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer


def greatest(
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
