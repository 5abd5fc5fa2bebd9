"""Pooling: the windows that Caffe lays, as paddings and strides of ONNX."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from caffe.engine.onnx.graph import Value, no_counterpart
from caffe.engine.onnx.layer import Layer

_LOWEST = float(np.finfo(np.float32).min)


def pool(layer: Layer, x: Value, grid: Any, options: Any, *, mask: bool) -> list[str]:
    """Pool (N, C, spatial...) by the method of a pooling_param or spp_param."""
    if options.pool == options.STOCHASTIC:
        return [_stochastic(layer, x, grid)]
    if options.pool == options.AVE:
        return [_average(layer, x, grid)]
    return _maximum(layer, x, grid, mask=mask)


def _any_size(x: Value, grid: Any) -> dict[str, Any] | None:
    """Options that lay Caffe's windows whatever the size is; None: there are none."""
    pads = list(grid.pad) * 2
    steps = list(zip(grid.kernel, grid.stride, strict=True))
    if not grid.ceil or all(stride == 1 for _, stride in steps):
        ceil = 0
    elif not any(pads) and all(stride <= kernel for kernel, stride in steps):
        ceil = 1
    else:
        x.fixed(range(2, len(x.shape)))
        return None
    if x.is_fixed(range(2, len(x.shape))) and not any(_excess(grid)):
        ceil = 0
    return {**_window(grid), "pads": pads, "ceil_mode": ceil}


def _excess(grid: Any) -> list[int]:
    """Tell by how much the last windows reach beyond the padded bottom."""
    rows = zip(grid.size, grid.kernel, grid.stride, grid.pad, grid.output, strict=True)
    return [max(0, (out - 1) * s + k - n - 2 * p) for n, k, s, p, out in rows]


def _window(grid: Any) -> dict[str, Any]:
    return {"kernel_shape": list(grid.kernel), "strides": list(grid.stride)}


def _ends(grid: Any) -> list[int]:
    """Find the padding that the last windows need behind the bottom."""
    rows = zip(grid.size, grid.kernel, grid.stride, grid.pad, grid.output, strict=True)
    return [max(0, (out - 1) * s + k - n - p) for n, k, s, p, out in rows]


def _padded(
    layer: Layer, x: Value, begins: list[int], ends: list[int], value: float
) -> str:
    pads = layer.ints([0, 0, *begins, 0, 0, *ends], "pads")
    return layer.add("Pad", x, pads, layer.floats(value, "padding"))


def _has_empty_window(grid: Any) -> bool:
    rows = zip(grid.size, grid.stride, grid.pad, grid.output, strict=True)
    return any((out - 1) * s - p >= n for n, s, p, out in rows)


def _maximum(layer: Layer, x: Value, grid: Any, *, mask: bool) -> list[str]:
    options = _any_size(x, grid)
    if options is None and _has_empty_window(grid):
        if mask:
            raise no_counterpart("a second top where windows are empty")
        padded = _padded(layer, x, list(grid.pad), _ends(grid), _LOWEST)
        return [layer.add("MaxPool", padded, **_window(grid))]
    if options is None:
        options = {**_window(grid), "pads": [*grid.pad, *_ends(grid)]}
    names = layer.add_many("MaxPool", 2 if mask else 1, x, **options)
    if mask:  # ONNX counts through all images and channels
        count = prod(x.fixed(range(2, len(x.shape))))
        within = layer.add("Mod", names[1], layer.ints(count, "count"))
        names[1] = layer.to_float(within)
    return names


def _average(layer: Layer, x: Value, grid: Any) -> str:
    """Divide by the part of the window inside the padded bottom."""
    options = _any_size(x, grid)
    if options is not None:
        include = 0 if options["ceil_mode"] else 1
        return layer.add("AveragePool", x, count_include_pad=include, **options)
    sizes = zip(grid.pad, _ends(grid), strict=True)
    behind = [min(pad, end) for pad, end in sizes]
    padded = _padded(layer, x, list(grid.pad), behind, 0.0)
    if _has_empty_window(grid):
        raise no_counterpart("an average over windows that are empty")
    rest = [end - pad for pad, end in zip(behind, _ends(grid), strict=True)]
    pads = [0] * len(rest) + rest
    return layer.add(
        "AveragePool", padded, count_include_pad=0, pads=pads, **_window(grid)
    )


def _stochastic(layer: Layer, x: Value, grid: Any) -> str:
    """Mean weighted by the values, as in phase TEST; 0 where their sum is not above.

    The divisors of both averages are the same.
    """
    total = _average(layer, x, grid)
    square = layer.add("Mul", x, x)
    squares = _average(layer, Value(square, x.shape, x.pattern), grid)
    zero, one = layer.floats(0, "zero"), layer.floats(1, "one")
    positive = layer.add("Greater", total, zero)
    divisor = layer.add("Where", positive, total, one)
    mean = layer.add("Div", squares, divisor)
    return layer.add("Where", positive, mean, zero)
