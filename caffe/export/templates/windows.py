"""Convolutions, pooling and what else looks through windows."""

from __future__ import annotations

from math import prod

from caffe.engine.layers.shared import window_option
from caffe.export import parts
from caffe.export.layers import Layer
from caffe.export.templates.code import FORMAT, Code, Template, number, numbers

_MOST_AXES = 3
_LOWEST = "torch.finfo(torch.float32).min"


def _convolution(layer: Layer, code: Code) -> None:
    options = layer.param.convolution_param
    axis = layer.axis(options.axis)
    shape = layer.shapes[0]
    axes = _axes(layer, axis)
    words = [
        f"{shape[axis]}, {options.num_output}",
        numbers(window_option(options, "kernel_size", axes)),
    ]
    for option, word, default in (
        ("stride", "stride", 1),
        ("pad", "padding", 0),
        ("dilation", "dilation", 1),
    ):
        values = window_option(options, option, axes, default)
        if set(values) != {default}:
            words.append(f"{word}={numbers(values)}")
    if options.group > 1:
        words.append(f"groups={options.group}")
    if not options.bias_term:
        words.append("bias=False")
    turned = "Transpose" if layer.type == "Deconvolution" else ""
    call = code.module(layer, f"nn.Conv{turned}{axes}d({', '.join(words)})")
    for x, y in zip(code.inputs(layer), code.outputs(layer), strict=True):
        code.lines.append(f"{y} = {_by_images(x, axis, f'{call}(', ')')}")


def _pooling(layer: Layer, code: Code) -> None:
    options = layer.param.pooling_param
    (x,) = code.inputs(layer)
    axis = layer.axis(options.axis)
    axes = _axes(layer, axis)
    if options.global_pooling:
        _global_pooling(layer, code, axes)
        return
    kernel = window_option(options, "kernel_size", axes)
    stride = window_option(options, "stride", axes, 1)
    pad = window_option(options, "pad", axes, 0)
    ceil = options.round_mode == options.CEIL
    as_torch = all(2 * p <= k for p, k in zip(pad, kernel, strict=True)) and (
        any(pad) or not ceil or all(s <= k for s, k in zip(stride, kernel, strict=True))
    )
    if not as_torch:
        if options.pool != options.MAX or len(layer.tops) > 1:
            raise layer.refuse(FORMAT, "its windows are not torch's")
        words = f"{kernel}, {stride}, {pad}, {ceil}, {_LOWEST}"
        before = f"F.max_pool{axes}d({code.part(parts.pad_windows)}("
        after = f", {words}), {numbers(kernel)}, {numbers(stride)})"
        code.assign(layer, _by_images(x, axis, before, after))
        return
    words = f"{numbers(kernel)}, {numbers(stride)}"
    words += f", {numbers(pad)}" if any(pad) else ""
    words += ", ceil_mode=True" if ceil else ""
    if options.pool == options.STOCHASTIC:
        average = f"F.avg_pool{axes}d(", f", {words})"
        (y,) = code.outputs(layer)
        code.lines += [
            f"mean = {_by_images(x, axis, *average)}",
            f"squares = {_by_images(f'{x}.square()', axis, *average)}",
            f"{y} = torch.where(mean > 0, squares / mean, 0.0)",
        ]
    elif options.pool == options.AVE:
        code.assign(layer, _by_images(x, axis, f"F.avg_pool{axes}d(", f", {words})"))
    elif len(layer.tops) > 1:
        y, mask = code.outputs(layer)
        call = f"F.max_pool{axes}d({x}, {words}, return_indices=True)"
        code.lines += [f"{y}, {mask} = {call}", f"{mask} = {mask}.type_as({x})"]
    else:
        code.assign(layer, _by_images(x, axis, f"F.max_pool{axes}d(", f", {words})"))


def _global_pooling(layer: Layer, code: Code, axes: int) -> None:
    """Pool over the whole of each channel, whatever its size."""
    options = layer.param.pooling_param
    (x,) = code.inputs(layer)
    dims = tuple(range(-axes, 0))
    if len(layer.tops) > 1 or options.pool == options.STOCHASTIC:
        raise layer.refuse(FORMAT, "global pooling is said for MAX and AVE, one top")
    method = "mean" if options.pool == options.AVE else "amax"
    code.assign(layer, f"{x}.{method}({dims}, keepdim=True)")


def _axes(layer: Layer, axis: int) -> int:
    """Count the spatial axes, of which torch knows 1 to 3."""
    axes = len(layer.shapes[0]) - axis - 1
    if not 1 <= axes <= _MOST_AXES:
        raise layer.refuse(FORMAT, f"it has {axes} spatial axes, 1 to 3 have one")
    return axes


def _by_images(x: str, axis: int, before: str, after: str) -> str:
    """Call what wants the channels on axis 1 where they lie on another.

    The call is written as what stands before its input, and after it.
    """
    if axis == 1:
        return f"{before}{x}{after}"
    images = f"{x}.flatten(0, {axis - 1})" if axis else f"{x}[None]"
    flat = f"{before}{images}{after}"
    return f"{flat}.unflatten(0, {x}.shape[:{axis}])" if axis else f"{flat}[0]"


def _lrn(layer: Layer, code: Code) -> None:
    options = layer.param.lrn_param
    (x,) = code.inputs(layer)
    size = options.local_size
    alpha, beta = number(options.alpha), number(options.beta)
    if options.norm_region == options.ACROSS_CHANNELS:
        words = f"{size}, {alpha}, {beta}, {number(options.k)}"
        code.assign(layer, f"F.local_response_norm({x}, {words})")
        return
    energy = f"F.avg_pool2d({x}.square(), {size}, 1, {(size - 1) // 2})"
    code.assign(layer, f"{x} * (1 + {alpha} * {energy}) ** -{beta}")


def _mvn(layer: Layer, code: Code) -> None:
    options = layer.param.mvn_param
    (x,) = code.inputs(layer)
    axes = tuple(range(1 if options.across_channels else 2, len(layer.shapes[0])))
    if prod(layer.shapes[0]) and not axes:
        raise layer.refuse(FORMAT, "it normalises single numbers")
    if options.normalize_variance:
        words = f"{x}, {axes}, {number(options.eps)}"
        top = f"{code.part(parts.standardise)}({words})"
    else:
        top = f"({x} - {x}.mean({axes}, keepdim=True))"
    missing = [None] * (4 - len(layer.shapes[0]))
    code.assign(layer, top + (f"[(..., {str(missing)[1:-1]})]" if missing else ""))


TEMPLATES: dict[str, Template] = {
    "Convolution": _convolution,
    "Deconvolution": _convolution,
    "LRN": _lrn,
    "MVN": _mvn,
    "Pooling": _pooling,
}
