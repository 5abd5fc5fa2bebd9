"""Layers that move elements and compute nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from caffe.export.onnx.graph import Pattern, Value
from caffe.export.onnx.layer import Layer, translates


def _cut(
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


@translates("Concat")
def concat(layer: Layer) -> list[Value]:
    """Give Concat of the bottoms, cut to the centre where they are larger."""
    first = layer.bottom
    if len(layer.bottoms) == 1:
        return [first]
    axis = layer.op.axis % len(first.shape)
    parts = []
    for x in layer.bottoms:
        larger = [
            i for i, size in enumerate(x.shape) if i != axis and size != first.shape[i]
        ]
        parts.append(_cut(layer, x, first, larger, None).name if larger else x.name)
    along = next((x.pattern[axis] for x in layer.bottoms if x.pattern[axis]), None)
    pattern = (*first.pattern[:axis], along, *first.pattern[axis + 1 :])
    return [layer.top(layer.add("Concat", *parts, axis=axis), pattern)]


@translates("Crop")
def crop(layer: Layer) -> list[Value]:
    """Give Slice; its ends are computed where the sizes may change."""
    x, reference = layer.bottoms
    offsets, _ = layer.op._box(x.shape, reference.shape)
    axis = layer.param.crop_param.axis % len(x.shape)
    axes = range(axis, len(x.shape))
    value = _cut(layer, x, reference, axes, offsets[axis:])
    return [layer.top(value.name, value.pattern)]


@translates("Slice")
def slice_axis(layer: Layer) -> list[Value]:
    """Give a Slice for every top."""
    x = layer.bottom
    axis = layer.op.axis % len(x.shape)
    x.fixed([axis])
    sizes = [shape[axis] for shape in layer.top_shapes]
    ends = list(accumulate(sizes))
    return [
        layer.top(layer.sliced(x, [axis], [end - size], [end]), index=index)
        for index, (size, end) in enumerate(zip(sizes, ends, strict=True))
    ]


@translates("Split")
def split(layer: Layer) -> list[Value]:
    """Give the bottom to all."""
    return [layer.bottom] * len(layer.tops)


@translates("Flatten")
def flatten(layer: Layer) -> list[Value]:
    """Give Reshape with the joined axis left open."""
    options = layer.param.flatten_param
    x = layer.bottom
    first = options.axis % len(x.shape)
    last = options.end_axis % len(x.shape)
    joined = x.pattern[first : last + 1]
    kind = next(filter(None, joined), None)
    behind = x.fixed(range(last + 1, len(x.shape)))
    name = layer.reshaped(x, (*[0] * first, -1, *behind))
    pattern = (*x.pattern[:first], kind, *x.pattern[last + 1 :])
    return [layer.top(name, pattern)]


@translates("Reshape")
def reshape(layer: Layer) -> list[Value]:
    """Give Reshape; sizes that are copied, or left open, may change."""
    x = layer.bottom
    start, end = layer.op._replaced(x.shape)
    middle = layer.op.sizes
    copied = {start + i for i, size in enumerate(middle) if size == 0}
    copied |= set(range(start))
    others = [i for i in range(len(x.shape)) if i not in copied]
    behind = x.fixed(range(end, len(x.shape)))
    kind = next((x.pattern[i] for i in others if x.pattern[i] is not None), None)
    if -1 not in middle:
        x.fixed(others)
    pattern: Pattern = tuple(
        x.pattern[i] if i in copied else None for i in range(start + len(middle))
    )
    pattern += (None,) * len(behind)
    if -1 in middle:
        place = start + list(middle).index(-1)
        pattern = (*pattern[:place], kind, *pattern[place + 1 :])
    name = layer.reshaped(x, (*[0] * start, *middle, *behind))
    return [layer.top(name, pattern)]


@translates("Tile")
def tile(layer: Layer) -> list[Value]:
    """Give Tile."""
    x = layer.bottom
    repeats = [1] * len(x.shape)
    repeats[layer.param.tile_param.axis % len(x.shape)] = layer.op.tiles
    return [layer.top(layer.add("Tile", x, layer.ints(repeats, "repeats")))]
