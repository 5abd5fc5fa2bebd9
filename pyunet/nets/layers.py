"""Read from a prototxt what the tile geometry depends on: windows, crops, wiring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyunet.errors import DataError


@dataclass(frozen=True)
class Layer:
    """What the walk needs to know of one layer.

    Attributes
    ----------
    name, kind : str
        ``kind`` is the type in lower case without underscores, the same for both
        syntaxes of Caffe: ``convolution``, ``pooling``, ``crop``...
    bottoms, tops : tuple of str
        Names of blobs.
    kernel, stride, pad, dilation : tuple of int
        One number an axis; 1, 1, 0, 1 for layers without a window.
    offset : tuple of (int or None)
        Where Crop begins on an axis; None: centred.
    cropped : tuple of bool
        Which axes Crop cuts.
    """

    name: str
    kind: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]
    offset: tuple[int | None, ...]
    cropped: tuple[bool, ...]


def read_layers(message: Any, axes: int) -> list[Layer]:
    """Read the layers that a TEST net has from a parsed prototxt.

    Parameters
    ----------
    message : NetParameter
        Of any pycaffe, in either syntax (``layer`` or ``layers``).
    axes : int
        Number of spatial axes of the net, 2 or 3.

    Returns
    -------
    list of Layer

    Raises
    ------
    DataError
        A layer in Caffe's oldest (V0) syntax.
    """
    entries = list(message.layer) or list(message.layers)
    return [_read_layer(entry, axes) for entry in entries if _in_test_phase(entry)]


def _read_layer(entry: Any, axes: int) -> Layer:
    kind = _kind(entry)
    window = _window(entry, kind, axes)
    first = entry.crop_param.axis if kind == "crop" and _is_v2(entry) else 2
    start = first - 2 if first >= 0 else first + axes
    given = list(entry.crop_param.offset) if kind == "crop" and _is_v2(entry) else None
    return Layer(
        entry.name,
        kind,
        tuple(entry.bottom),
        tuple(entry.top),
        *window,
        offset=_offsets(given, start, axes),
        cropped=tuple(axis >= start for axis in range(axes)),
    )


def _is_v2(entry: Any) -> bool:
    return isinstance(entry.type, str)


def _kind(entry: Any) -> str:
    """Give the type in lower case; V1 has it as a number of an enum."""
    if _is_v2(entry):
        return str(entry.type).lower()
    values = entry.DESCRIPTOR.fields_by_name["type"].enum_type.values_by_number
    kind = values[entry.type].name
    if kind == "NONE":
        raise DataError("a layer has no type: V0 nets are not accepted, upgrade it")
    return str(kind).replace("_", "").lower()


def _offsets(given: list[int] | None, start: int, axes: int) -> tuple[int | None, ...]:
    """Crop's offsets an axis: none given is 0, one goes for all; V1 is centred."""
    if given is None:
        return (None,) * axes
    if len(given) < 2:
        return tuple(given or [0]) * axes
    return tuple(given[a - start] if a >= start else 0 for a in range(axes))


def _window(
    entry: Any, kind: str, axes: int
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Read kernel, stride, pad and dilation, one number an axis each."""
    ones, zeros = (1,) * axes, (0,) * axes
    if kind in ("convolution", "deconvolution"):
        param = entry.convolution_param
        dilation = _per_axis(list(param.dilation), 1, axes)
    elif kind == "pooling":
        param, dilation = entry.pooling_param, ones
        if param.global_pooling:
            raise DataError(
                f"layer '{entry.name}' pools over all positions (global_pooling): "
                "such a net cannot be run by tiles"
            )
    else:
        return ones, ones, zeros, ones
    return (
        _numbers(param, "kernel_size", "kernel", 1, axes),
        _numbers(param, "stride", "stride", 1, axes),
        _numbers(param, "pad", "pad", 0, axes),
        dilation,
    )


def _numbers(
    param: Any, field: str, short: str, default: int, axes: int
) -> tuple[int, ...]:
    """Read ``kernel_size`` or ``kernel_h``/``kernel_w``.

    ``kernel_size`` of Pooling is one number in BVLC's schema and repeated in ours.
    """
    pair = [f"{short}_h", f"{short}_w"]
    if axes == len(pair) and any(param.HasField(name) for name in pair):
        return tuple(int(getattr(param, name)) for name in pair)
    value = getattr(param, field)
    if isinstance(value, int):
        return (value if param.HasField(field) else default,) * axes
    return _per_axis(list(value), default, axes)


def _per_axis(values: list[int], default: int, axes: int) -> tuple[int, ...]:
    if len(values) == axes:
        return tuple(values)
    return tuple(values[:1] or [default]) * axes


def _in_test_phase(entry: Any) -> bool:
    """Caffe's include and exclude rules for phase TEST, level 0, no stages."""
    if entry.include:
        return any(_applies(rule) for rule in entry.include)
    return not any(_applies(rule) for rule in entry.exclude)


def _applies(rule: Any) -> bool:
    phases = rule.DESCRIPTOR.fields_by_name["phase"].enum_type.values_by_name
    if rule.HasField("phase") and rule.phase != phases["TEST"].number:
        return False
    too_high = rule.HasField("min_level") and rule.min_level > 0
    too_low = rule.HasField("max_level") and rule.max_level < 0
    return not (too_high or too_low or rule.stage)
