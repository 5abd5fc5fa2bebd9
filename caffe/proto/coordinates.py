"""Where the positions of one blob lie in another, and the crop offsets from that.

On every spatial axis a layer relates position ``o`` of its top to position
``scale * o + shift`` of its bottom (centre of the window that the value is made from):

=====================  =========  ==================================================
layer                  scale      shift
=====================  =========  ==================================================
Convolution, Pooling   stride     (extent - 1) / 2 - pad
Deconvolution          1/stride   (pad - (extent - 1) / 2) / stride
Crop                   1          its offset
elementwise and alike  1          0
=====================  =========  ==================================================

with ``extent = dilation * (kernel - 1) + 1``. To align bottom 0 of a Crop with bottom
1, both are followed upward to the nearest blob that both come from. Where their places
in it are ``s x + t0`` and ``s x + t1``, the offset is ``(t1 - t0) / s``. The rule is
that of J. Long, E. Shelhamer, T. Darrell, "Fully convolutional networks for semantic
segmentation", CVPR 2015. Numbers are exact fractions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any, NamedTuple

from caffe.errors import CheckError

# One value per spatial axis; a single one stands for all axes.
Values = tuple[Fraction, ...]

# fmt: off
_ELEMENTWISE = (
    "AbsVal", "BNLL", "BatchNorm", "Bias", "Clip", "Dropout", "ELU", "Eltwise", "Exp",
    "GradientReversal", "LRN", "Log", "MVN", "PReLU", "Power", "ReLU", "Scale",
    "Sigmoid", "Softmax", "Split", "Swish", "TanH", "Threshold", "ValueAugmentation",
    "ValueTransformation",
)
# fmt: on


class Map(NamedTuple):
    """Positions ``scale * x + shift``, per spatial axis."""

    scale: Values
    shift: Values

    def after(self, inner: Map) -> Map:
        """Return this map of what `inner` gives."""
        shift = _zip(lambda a, b, c: a * b + c, self.scale, inner.shift, self.shift)
        return Map(_zip(lambda a, b: a * b, self.scale, inner.scale), shift)


_SAME = Map((Fraction(1),), (Fraction(0),))

# A blob as one layer left it: its name and that layer's index, -1 for an input.
Version = tuple[str, int]


def write_crop_offsets(net: Any, crops: Iterable[int]) -> bool:
    """Write axis and offset into Crop layers that give neither.

    Parameters
    ----------
    net
        A NetParameter with layers of today's form; changed in place.
    crops
        Indices of the layers to look at, in rising order. Layers that are no Crop, or
        that say where they crop, stay as they are.

    Returns
    -------
    bool
        True if a layer was changed.

    Raises
    ------
    CheckError
        If the two bottoms have no common ancestor, differ in scale, or lie apart by
        anything but a whole number of pixels at or above 0.
    """
    changed = False
    for index in crops:
        layer = net.layer[index]
        if layer.type != "Crop" or layer.crop_param.ListFields():
            continue
        offset = _crop_offset(net, index)
        layer.crop_param.axis = 2
        layer.crop_param.offset.extend(offset)
        changed = True
    return changed


def _crop_offset(net: Any, index: int) -> list[int]:
    """Return the offset of a Crop in pixels, one value or one per spatial axis."""
    layer = net.layer[index]
    if len(layer.bottom) != 2:
        raise CheckError(
            f"layer '{layer.name}': {len(layer.bottom)} bottoms; a Crop has 2"
        )
    where = (
        f"layer '{layer.name}': no offset for cropping '{layer.bottom[0]}' "
        f"to '{layer.bottom[1]}'"
    )
    try:
        cropped, reference = (
            _ancestors(net, _version(net, name, index)) for name in layer.bottom
        )
        return _difference(*_to_common(cropped, reference))
    except CheckError as error:
        raise CheckError(f"{where}: {error}; give crop_param {{ offset }}") from None


def _to_common(
    cropped: dict[Version, Map], reference: dict[Version, Map]
) -> tuple[Map, Map]:
    """Return both maps to the nearest blob that both blobs come from."""
    for blob in cropped:
        if blob in reference:
            return cropped[blob], reference[blob]
    raise CheckError("they come from no common blob by layers that keep positions")


def _difference(cropped: Map, reference: Map) -> list[int]:
    if any(_zip(lambda a, b: a - b, cropped.scale, reference.scale)):
        scales = " and ".join(_show(blob.scale) for blob in (cropped, reference))
        raise CheckError(f"their pixels differ in size ({scales})")
    offset = _zip(
        lambda t0, t1, scale: (t1 - t0) / scale,
        cropped.shift,
        reference.shift,
        cropped.scale,
    )
    if any(value.denominator != 1 or value < 0 for value in offset):
        raise CheckError(f"it would be {_show(offset)}, not a whole number from 0 on")
    whole = [int(value) for value in offset]
    return whole[:1] if len(set(whole)) == 1 else whole


def _version(net: Any, name: str, before: int) -> Version:
    """Return which layer wrote a blob last before layer `before` reads it."""
    for index in range(before - 1, -1, -1):
        if name in net.layer[index].top:
            return name, index
    return name, -1


def _ancestors(net: Any, blob: Version) -> dict[Version, Map]:
    """Map a blob's positions to all blobs it comes from, nearest first."""
    found = {blob: _SAME}
    queue = [blob]
    while queue:
        here = queue.pop(0)
        index = here[1]
        if index < 0:
            continue
        layer = net.layer[index]
        for bottom in _followed(layer):
            up = _version(net, bottom, index)
            if up not in found:
                found[up] = _MAPS[layer.type](layer).after(found[here])
                queue.append(up)
    return found


def _followed(layer: Any) -> list[str]:
    """Return the bottoms whose positions the tops keep; none where they are lost."""
    bottoms = list(layer.bottom)
    if layer.type == "Eltwise":
        return bottoms
    if layer.type not in _MAPS or layer.pooling_param.global_pooling:
        return []
    cut = layer.slice_param
    if layer.type == "Slice" and (cut.axis not in (0, 1) or cut.slice_dim > 1):
        return []
    return bottoms[:1]


def _same(_layer: Any) -> Map:
    return _SAME


def _window(layer: Any) -> Map:
    """Return the map of a layer that slides a window over its bottom."""
    pooling = layer.type == "Pooling"
    param = layer.pooling_param if pooling else layer.convolution_param
    if param.axis != 1:
        raise CheckError(f"layer '{layer.name}' has axis {param.axis}, not 1")
    kernel = _per_axis(param, "kernel", param.kernel_size)
    if not kernel:
        raise CheckError(f"layer '{layer.name}' has no kernel_size")
    pad = _per_axis(param, "pad", param.pad) or (Fraction(0),)
    stride = _per_axis(param, "stride", param.stride) or (Fraction(1),)
    dilation = () if pooling else tuple(map(Fraction, param.dilation))
    if not all(stride):
        raise CheckError(f"layer '{layer.name}' has stride 0")
    shift = _zip(
        lambda size, step, border: step * (size - 1) / 2 - border,
        kernel,
        dilation or (Fraction(1),),
        pad,
    )
    return Map(stride, shift)


def _per_axis(param: Any, stem: str, values: Iterable[int]) -> Values:
    """Return a window's values, from the list or from the names of 2-D."""
    pair = f"{stem}_h", f"{stem}_w"
    if any(param.HasField(name) for name in pair):
        values = (getattr(param, name) for name in pair)
    return tuple(map(Fraction, values))


def _inverse_window(layer: Any) -> Map:
    scale, shift = _window(layer)
    inverse = _zip(lambda a: 1 / a, scale)
    return Map(inverse, _zip(lambda a, b: -a * b, inverse, shift))


def _crop(layer: Any) -> Map:
    """Return the map of a Crop that says where it crops."""
    axis, offset = layer.crop_param.axis, list(layer.crop_param.offset) or [0]
    before = axis - 2
    if before > 0:
        offset = [0] * before + offset
    elif len(offset) > 1:
        offset = offset[-before:]
    return Map((Fraction(1),), tuple(map(Fraction, offset)))


_MAPS: dict[str, Callable[[Any], Map]] = {
    "Convolution": _window,
    "Pooling": _window,
    "Deconvolution": _inverse_window,
    "Crop": _crop,
    "Concat": _same,
    "Slice": _same,
    **dict.fromkeys(_ELEMENTWISE, _same),
}


def _zip(function: Callable[..., Fraction], *values: Values) -> Values:
    """Apply a function axis by axis; a single value serves all axes."""
    lengths = {len(value) for value in values} - {1}
    if len(lengths) > 1:
        raise CheckError(
            "the layers between have "
            + " and ".join(map(str, sorted(lengths)))
            + " axes"
        )
    count = max(lengths, default=1)
    full = [value * count if len(value) == 1 else value for value in values]
    return tuple(function(*items) for items in zip(*full, strict=True))


def _show(values: Values) -> str:
    return ", ".join(str(value) for value in values)
