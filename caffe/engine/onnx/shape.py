"""Layers that move elements and compute nothing."""

from __future__ import annotations

from collections.abc import Sequence

from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer


def cut(
    layer: Layer,
    x: Value,
    reference: Value,
    axes: Sequence[int],
    offsets: Sequence[int] | None,
) -> Value:
    """Cut to the sizes of the reference, from offsets, or to the centre if None."""
    pairs = zip(x.pattern, reference.pattern, strict=False)
    pattern = tuple(r if i in axes else p for i, (p, r) in enumerate(pairs))
    shape = tuple(
        reference.shape[i] if i in axes else size for i, size in enumerate(x.shape)
    )
    if x.is_fixed(axes) and reference.is_fixed(axes):
        room = [x.shape[i] - reference.shape[i] for i in axes]
        starts = [r // 2 for r in room] if offsets is None else list(offsets)
        cut = [k for k, r in enumerate(room) if r]
        if not cut:
            return Value(x.name, shape, pattern)
        name = layer.sliced(
            x,
            [axes[k] for k in cut],
            [starts[k] for k in cut],
            [starts[k] + shape[axes[k]] for k in cut],
        )
        return Value(name, shape, pattern)
    sizes = layer.sizes(reference, axes)
    if offsets is None:
        room_name = layer.add("Sub", layer.sizes(x, axes), sizes)
        begin = layer.add("Div", room_name, layer.ints([2], "two"))
    else:
        begin = layer.ints(offsets, "starts")
    end = layer.add("Add", begin, sizes)
    name = layer.add("Slice", x, begin, end, layer.ints(axes))
    return Value(name, shape, pattern)
