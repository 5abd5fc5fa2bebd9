"""Where the positions of one top lie in another, and the Crop that aligns them.

A map is a triple ``(axis, scale, shift)``: position ``i`` of a layer's bottom lies at
``scale * i + shift`` of its top, on the spatial axes, those behind `axis`. Scale and
shift are arrays of one number, or one per spatial axis. ``(None, 1, 0)`` is the map of
layers that move nothing. The rule is that of J. Long, E. Shelhamer, T. Darrell, "Fully
convolutional networks for semantic segmentation", CVPR 2015.

Examples
--------
A net that pads by 100, pools by 2 and is brought to its input's size again:

>>> from caffe import NetSpec, layers as L, params as P
>>> n = NetSpec()
>>> n.data = L.Input(shape=dict(dim=[1, 1, 20, 20]))
>>> n.conv = L.Convolution(n.data, num_output=1, kernel_size=3, pad=100)
>>> n.pool = L.Pooling(n.conv, pool=P.Pooling.MAX, kernel_size=2, stride=2)
>>> up = dict(num_output=1, kernel_size=4, stride=2)
>>> n.up = L.Deconvolution(n.pool, convolution_param=up)
>>> n.score = crop(n.up, n.data)
>>> n.score.fn.params["crop_param"]
{'axis': 2, 'offset': [100]}
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe.errors import CheckError
from caffe.net_spec import Function, Top
from caffe.net_spec import layers as L  # noqa: N812 - as every net is written

Map = tuple[Any, Any, Any]

# fmt: off
PASS_THROUGH_LAYERS = [
    "AbsVal", "BatchNorm", "Bias", "BNLL", "Dropout", "Eltwise", "ELU", "Log", "LRN",
    "Exp", "MVN", "Power", "PReLU", "ReLU", "Scale", "Sigmoid", "Split", "TanH",
    "Threshold",
]
# fmt: on

_IDENTITY: Map = (None, 1, 0)
_LEGACY = ("kernel_h", "kernel_w", "pad_h", "pad_w", "stride_h", "stride_w")
_FIRST_SPATIAL_AXIS = 2


class UndefinedMapException(CheckError):  # noqa: N818 - the name is pycaffe's
    """A layer has no map of coordinates."""


class AxisMismatchException(CheckError):  # noqa: N818 - the name is pycaffe's
    """Two maps begin at different axes."""


class _CropError(CheckError, AssertionError):
    """No Crop aligns two tops; AssertionError is what pycaffe's scripts expect."""


class _UnconnectedError(CheckError, RuntimeError):
    """Two tops come from no common one; pycaffe's scripts expect RuntimeError."""


def conv_params(fn: Function) -> tuple[int, NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Get the window of a layer from its options, in one message or one by one.

    Parameters
    ----------
    fn : Function
        Of a Convolution, Deconvolution, Im2col or Pooling layer.

    Returns
    -------
    axis : int
        Of the channels, default 1.
    stride, extent, pad : array
        One number, or one per spatial axis; the extent is that of the dilated kernel.

    Raises
    ------
    AssertionError
        If options such as ``kernel_h`` are given.
    UndefinedMapException
        If there is no ``kernel_size`` (global pooling).
    """
    params = fn.params
    for message in ("convolution_param", "pooling_param"):
        params = params.get(message, params)
    legacy = sorted(set(_LEGACY) & set(params))
    if legacy:
        raise _CropError(
            f"cropping does not support legacy _h/_w params ({', '.join(legacy)}) of "
            f"{fn.type_name}; give kernel_size, stride and pad as lists"
        )
    if "kernel_size" not in params:
        raise UndefinedMapException(f"{fn.type_name} has no kernel_size")
    kernel, stride, pad, dilation = (
        np.array(params.get(name, default), ndmin=1)
        for name, default in (
            ("kernel_size", 1),
            ("stride", 1),
            ("pad", 0),
            ("dilation", 1),
        )
    )
    return params.get("axis", 1), stride, (kernel - 1) * dilation + 1, pad


def crop_params(fn: Function) -> tuple[int, NDArray[Any]]:
    """Get the first axis and the offsets of a Crop; the defaults are 2 and 0."""
    params = fn.params.get("crop_param", fn.params)
    return params.get("axis", _FIRST_SPATIAL_AXIS), np.array(
        params.get("offset", 0), ndmin=1
    )


def coord_map(fn: Function) -> Map:
    """Get the map of a layer, from its bottom to its top.

    Returns
    -------
    axis : int or None
        The axis before the first spatial one; None if the map is for all axes.
    scale, shift : number or array

    Raises
    ------
    UndefinedMapException
        If the layer has none.

    Examples
    --------
    >>> from caffe import layers as L
    >>> axis, scale, shift = coord_map(L.Convolution(L.Input(), kernel_size=3).fn)
    >>> axis, float(scale[0]), float(shift[0])
    (1, 1.0, -1.0)
    """
    if fn.type_name in ("Convolution", "Pooling", "Im2col"):
        axis, stride, extent, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (extent - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, extent, pad = conv_params(fn)
        return axis, stride, (extent - 1) / 2 - pad
    if fn.type_name in PASS_THROUGH_LAYERS:
        return _IDENTITY
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset
    raise UndefinedMapException(f"{fn.type_name} has no map of coordinates")


def compose(base_map: Map, next_map: Map) -> Map:
    """Get the map that applies `next_map`, then `base_map`.

    Raises
    ------
    AxisMismatchException
        If they begin at different axes.
    """
    base_axis, base_scale, base_shift = base_map
    next_axis, next_scale, next_shift = next_map
    if base_axis is None:
        base_axis = next_axis
    elif next_axis not in (None, base_axis):
        raise AxisMismatchException(
            f"maps of axis {base_axis} and axis {next_axis} do not go together"
        )
    return base_axis, base_scale * next_scale, base_scale * next_shift + base_shift


def inverse(coord_map: Map) -> Map:
    """Get the map back.

    Examples
    --------
    >>> inverse((1, 2, 4))
    (1, 0.5, -2.0)
    """
    axis, scale, shift = coord_map
    return axis, 1 / scale, -shift / scale


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """Get the map from one top to another, through the nearest that both come from.

    Returns
    -------
    axis : int or None
    scale, shift : number or array
        Position ``i`` of `top_from` lies at ``scale * i + shift`` of `top_to`.

    Raises
    ------
    RuntimeError
        If there is no common one that spatial layers lead to.
    """
    ancestors = _ancestors(top_from)
    for top, to_map in _ancestors(top_to).items():
        if top in ancestors:
            return compose(to_map, inverse(ancestors[top]))
    raise _UnconnectedError(
        f"Could not compute map between tops of {top_from.fn.type_name} and "
        f"{top_to.fn.type_name}; are they connected by spatial layers?"
    )


def crop(top_from: Top, top_to: Top) -> Any:
    """Make the Crop layer that cuts one top to the pixels of another.

    Parameters
    ----------
    top_from : Top
        What is cut.
    top_to : Top
        What gives place and size.

    Returns
    -------
    Top
        Of the new layer, with its ``axis`` and ``offset``.

    Raises
    ------
    AssertionError
        If their pixels differ in size, or the offset is negative or no whole number.
    RuntimeError
        If they are not connected.
    """
    axis, scale, shift = coord_map_from_to(top_from, top_to)
    scale, shift = np.atleast_1d(scale), np.atleast_1d(shift)
    # scales such as 49 * (1 / 49) are a bit less than 1
    if not np.allclose(scale, 1, rtol=0, atol=1e-9):
        raise _CropError(f"scale mismatch on crop (a = {scale})")
    if not np.allclose(np.round(shift), shift, rtol=0, atol=1e-6):
        raise _CropError(f"cannot crop noninteger offset (b = {shift})")
    offset = [int(value) for value in -np.round(shift)]
    if min(offset) < 0:
        raise _CropError(f"cannot crop negative offset (b = {shift})")
    first = _FIRST_SPATIAL_AXIS if axis is None else axis + 1
    return L.Crop(top_from, top_to, crop_param={"axis": first, "offset": offset})


def _ancestors(top: Top) -> dict[Top, Map]:
    """Map to a top from itself and all that it comes from, nearest first."""
    found = {top: _IDENTITY}
    queue = [top]
    for here in queue:
        try:
            step = coord_map(here.fn)
        except UndefinedMapException:
            continue
        # the second bottom of a Crop gives only its size
        count = 1 if here.fn.type_name == "Crop" else None
        for bottom in here.fn.inputs[:count]:
            if bottom not in found:
                found[bottom] = compose(found[here], step)
                queue.append(bottom)
    return found
