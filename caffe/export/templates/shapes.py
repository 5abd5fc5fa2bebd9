"""Layers that move elements and compute nothing."""

from __future__ import annotations

from caffe.engine.layers.shared import legacy_axis
from caffe.export import parts
from caffe.export.layers import Layer
from caffe.export.templates.code import Code, Template


def _nothing(layer: Layer, code: Code) -> None:
    """Write no line: inputs are arguments, Silence gives nothing."""


def _concat(layer: Layer, code: Code) -> None:
    inputs = code.inputs(layer)
    axis = layer.axis(legacy_axis(layer.param.concat_param, "concat_dim"))
    first = layer.shapes[0]
    for index, shape in enumerate(layer.shapes):
        pairs = zip(shape, first, strict=True)
        if any(a != b for i, (a, b) in enumerate(pairs) if i != axis):
            part = code.part(parts.centre)
            inputs[index] = f"{part}({inputs[index]}, {inputs[0]}, {axis})"
    if len(inputs) == 1:
        code.assign(layer, inputs[0])
    else:
        code.assign(layer, f"torch.cat([{', '.join(inputs)}], {axis})")


def _slice(layer: Layer, code: Code) -> None:
    options = layer.param.slice_param
    (x,) = code.inputs(layer)
    axis = layer.axis(legacy_axis(options, "slice_dim"))
    where = list(options.slice_point) or len(layer.tops)
    tops = ", ".join(code.outputs(layer))
    comma = "," if len(layer.tops) == 1 else ""
    code.lines.append(f"{tops}{comma} = {x}.tensor_split({where}, {axis})")


def _split(layer: Layer, code: Code) -> None:
    (x,) = code.inputs(layer)
    code.lines.append(f"{' = '.join(code.outputs(layer))} = {x}")


def _crop(layer: Layer, code: Code) -> None:
    options = layer.param.crop_param
    x, like = code.inputs(layer)
    axis = layer.axis(options.axis)
    axes = len(layer.shapes[0]) - axis
    offsets = list(options.offset) or [0]
    offsets *= axes if len(offsets) == 1 else 1
    cuts = [":"] * axis
    for index, offset in enumerate(offsets, axis):
        size = f"{like}.shape[{index}]"
        cuts.append(f"{offset} : {offset} + {size}" if offset else f": {size}")
    code.assign(layer, f"{x}[{', '.join(cuts)}]")


def _flatten(layer: Layer, code: Code) -> None:
    options = layer.param.flatten_param
    (x,) = code.inputs(layer)
    first, last = layer.axis(options.axis), layer.axis(options.end_axis)
    if last < first:
        code.assign(layer, f"{x}.unsqueeze({first})")
    else:
        code.assign(layer, f"{x}.flatten({first}, {last})")


def _reshape(layer: Layer, code: Code) -> None:
    """Keep what the options keep; the others are numbers, one of them -1."""
    options = layer.param.reshape_param
    (x,) = code.inputs(layer)
    axes = len(layer.shapes[0])
    start = options.axis + (axes + 1 if options.axis < 0 else 0)
    end = axes if options.num_axes == -1 else start + options.num_axes
    sizes = [f"{x}.shape[{i}]" for i in range(start)]
    for index, size in enumerate(options.shape.dim, start):
        sizes.append(f"{x}.shape[{index}]" if size == 0 else str(size))
    sizes += [f"{x}.shape[{i}]" for i in range(end, axes)]
    code.assign(layer, f"{x}.reshape({', '.join(sizes) or '()'})")


def _tile(layer: Layer, code: Code) -> None:
    options = layer.param.tile_param
    (x,) = code.inputs(layer)
    axis = layer.axis(options.axis)
    code.assign(layer, f"torch.cat([{x}] * {options.tiles}, {axis})")


TEMPLATES: dict[str, Template] = {
    "Concat": _concat,
    "Crop": _crop,
    "Flatten": _flatten,
    "Input": _nothing,
    "Reshape": _reshape,
    "Silence": _nothing,
    "Slice": _slice,
    "Split": _split,
    "Tile": _tile,
}
