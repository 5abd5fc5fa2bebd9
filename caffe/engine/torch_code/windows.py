"""Convolutions, pooling and what else looks through windows."""

from __future__ import annotations

from caffe.engine.torch_code.code import FORMAT, Code
from caffe.engine.torch_code.layer import Layer

_MOST_AXES = 3


def global_pooling(layer: Layer, code: Code, axes: int) -> None:
    """Pool over the whole of each channel, whatever its size."""
    options = layer.param.pooling_param
    (x,) = code.inputs(layer)
    dims = tuple(range(-axes, 0))
    if len(layer.tops) > 1 or options.pool == options.STOCHASTIC:
        raise layer.refuse(FORMAT, "global pooling is said for MAX and AVE, one top")
    method = "mean" if options.pool == options.AVE else "amax"
    code.assign(layer, f"{x}.{method}({dims}, keepdim=True)")


def axes(layer: Layer, axis: int) -> int:
    """Count the spatial axes, of which torch knows 1 to 3."""
    axes = len(layer.shapes[0]) - axis - 1
    if not 1 <= axes <= _MOST_AXES:
        raise layer.refuse(FORMAT, f"it has {axes} spatial axes, 1 to 3 have one")
    return axes


def by_images(x: str, axis: int, before: str, after: str) -> str:
    """Call what wants the channels on axis 1 where they lie on another.

    The call is written as what stands before its input, and after it.
    """
    if axis == 1:
        return f"{before}{x}{after}"
    images = f"{x}.flatten(0, {axis - 1})" if axis else f"{x}[None]"
    flat = f"{before}{images}{after}"
    return f"{flat}.unflatten(0, {x}.shape[:{axis}])" if axis else f"{flat}[0]"
