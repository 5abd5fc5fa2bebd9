"""Which tile sizes a net accepts, and which of its output pixels can be trusted.

A fully convolutional net maps a tile of ``n`` pixels to one of ``m`` pixels. Here the
layers of its prototxt are walked, axis by axis, without running anything. Three facts
come out for every axis (:class:`Axis`):

- the sizes at which every pooling and every strided convolution divides exactly:
  ``smallest + factor * k``, k = 0, 1, ...;
- how many pixels the output is smaller than the input (``shrink``);
- which outputs saw nothing but pixels of the tile. A net without padding has only
  such ones. In a net that pads with zeros ("same" convolutions), or whose transposed
  convolutions overlap, those near the tile's edge are left out, and tiles overlap by
  that much more; so every tiling gives the same scores there as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pyunet.errors import DataError
from pyunet.nets.layers import Layer

LARGEST_SEARCHED = 8192
NOT_LOCAL = ("innerproduct", "flatten", "reshape", "spp", "mvn", "recurrent", "lstm")


@dataclass(frozen=True)
class Span:
    """Extent of a blob along one axis.

    Attributes
    ----------
    size : int
        Pixels.
    begin, end : int
        The pixels ``begin <= i < end`` saw nothing but pixels of the tile.
    scale : Fraction
        Input pixels per pixel of this blob.
    """

    size: int
    begin: int
    end: int
    scale: Fraction


@dataclass(frozen=True)
class Axis:
    """Tile sizes along one axis: inputs ``smallest + factor * k``.

    Attributes
    ----------
    factor : int
        The net's downsampling factor; tiles may only be moved by multiples of it.
    smallest : int
        Smallest input with at least one usable output pixel.
    shrink : int
        Input pixels minus usable output pixels, the same for all sizes.
    before : int
        Input pixels before the place of the first usable output pixel.
    first : int
        Index of the first usable pixel in the net's output; 0 without padding.

    Examples
    --------
    The U-Net of 2015 maps 188, 204, ... 572 pixels to 4, 20, ... 388:

    >>> axis = Axis(factor=16, smallest=188, shrink=184, before=92, first=0)
    >>> axis.input_for(388), axis.input_for(512), axis.output_of(700)
    (572, 700, 516)
    """

    factor: int
    smallest: int
    shrink: int
    before: int
    first: int = 0

    def input_for(self, output: int) -> int:
        """Give the smallest valid input with at least so many output pixels."""
        missing = output - self.output_of(self.smallest)
        return self.smallest + self.factor * max(0, -(-missing // self.factor))

    def output_of(self, size: int) -> int:
        """Give the number of usable output pixels of an input."""
        return size - self.shrink


def find_axes(layers: Sequence[Layer], source: str, output: str) -> tuple[Axis, ...]:
    """Find the valid tile sizes of a net, for every spatial axis.

    Parameters
    ----------
    layers : sequence of Layer
    source, output : str
        The blobs that take the image and give the scores.

    Returns
    -------
    tuple of Axis

    Raises
    ------
    DataError
        A layer that mixes all positions; an output that is not at the resolution of
        the input; no valid size up to 8192 pixels.

    Examples
    --------
    >>> def layer(kind, bottom, top, size, step):
    ...     return Layer(top, kind, bottom, (top,), (size,), (step,), (0,), (1,),
    ...                  (None,), (True,))
    >>> net = [layer("convolution", ("data",), "a", 3, 1),
    ...        layer("pooling", ("a",), "b", 2, 2),
    ...        layer("deconvolution", ("b",), "c", 2, 2)]
    >>> find_axes(net, "data", "c")
    (Axis(factor=2, smallest=4, shrink=2, before=1, first=0),)
    """
    for layer in layers:
        if layer.kind in NOT_LOCAL:
            raise DataError(
                f"layer '{layer.name}' ({layer.kind}) mixes all positions of its "
                "bottom: such a net cannot be run by tiles"
            )
    return tuple(
        _find_axis(layers, axis, source, output)
        for axis in range(len(layers[0].kernel) if layers else 0)
    )


def work_sizes(
    layers: Iterable[Layer], axis: int, source: str, size: int
) -> dict[str, int]:
    """Give how often the kernel of every layer with weights is placed along one axis.

    Parameters
    ----------
    layers : iterable of Layer
    axis : int
        Spatial axis, from 0.
    source : str
        The blob that takes the image.
    size : int
        Its pixels along that axis.

    Returns
    -------
    dict of str to int
        Output pixels of a Convolution, input pixels of a Deconvolution. The product
        over the axes times the number of weights gives the multiply-adds.
    """
    sizes: dict[str, int] = {}

    def note(layer: Layer, spans: list[Span], result: Span) -> None:
        if layer.kind == "convolution":
            sizes[layer.name] = result.size
        elif layer.kind == "deconvolution":
            sizes[layer.name] = spans[0].size

    _walk(layers, axis, source, size, note)
    return sizes


def _find_axis(layers: Sequence[Layer], axis: int, source: str, output: str) -> Axis:
    for size in range(1, LARGEST_SEARCHED + 1):
        blobs = _walk(layers, axis, source, size)
        if blobs is None:
            continue
        if output not in blobs:
            raise DataError(f"blob '{output}' does not depend on blob '{source}'")
        span = blobs[output]
        if span.scale != 1:
            raise DataError(
                f"blob '{output}' has one pixel for {float(span.scale):g} pixels of "
                f"'{source}'; accepted are nets with a score for every pixel"
            )
        if span.begin < span.end:
            factor = math.lcm(*(blob.scale.numerator for blob in blobs.values()))
            return Axis(
                factor,
                size,
                size - (span.end - span.begin),
                (size - span.size) // 2 + span.begin,
                span.begin,
            )
    raise DataError(
        f"no input size up to {LARGEST_SEARCHED} pixels divides exactly in every "
        "layer and gives a score that sees no padding"
    )


def _walk(
    layers: Iterable[Layer],
    axis: int,
    source: str,
    size: int,
    note: Callable[[Layer, list[Span], Span], None] | None = None,
) -> Mapping[str, Span] | None:
    """Compute all spans along one axis; None where a size does not divide exactly."""
    blobs = {source: Span(size, 0, size, Fraction(1))}
    for layer in layers:
        spans = [blobs[name] for name in layer.bottoms if name in blobs]
        if not spans:
            continue
        result = RULES.get(layer.kind, _meet)(layer, axis, spans)
        if result is None or result.size < 1:
            return None
        if note:
            note(layer, spans, result)
        blobs.update(dict.fromkeys(layer.tops, result))
    return blobs


def _convolve(layer: Layer, axis: int, spans: list[Span]) -> Span | None:
    """Sizes of Convolution and Pooling (Caffe's formula, exact divisions only)."""
    stride, pad, source = layer.stride[axis], layer.pad[axis], spans[0]
    reach = (layer.kernel[axis] - 1) * layer.dilation[axis]
    room = source.size + 2 * pad - reach - 1
    if room < 0 or room % stride:
        return None
    return Span(
        room // stride + 1,
        -(-(source.begin + pad) // stride),
        (source.end - 1 + pad - reach) // stride + 1,
        source.scale * stride,
    )


def _deconvolve(layer: Layer, axis: int, spans: list[Span]) -> Span | None:
    """Sizes of Deconvolution; an output is whole if all its contributions exist."""
    stride, pad, source = layer.stride[axis], layer.pad[axis], spans[0]
    reach = (layer.kernel[axis] - 1) * layer.dilation[axis]
    size = stride * (source.size - 1) + reach + 1 - 2 * pad
    return Span(
        size,
        max(0, (source.begin - 1) * stride + 1 - pad + reach),
        min(size, source.end * stride - pad),
        source.scale / stride,
    )


def _crop(layer: Layer, axis: int, spans: list[Span]) -> Span | None:
    source, like = spans[0], spans[-1]
    if not layer.cropped[axis]:
        return source
    offset = layer.offset[axis]
    return _cut(source, like.size, offset)


def _cut(span: Span, size: int, offset: int | None = None) -> Span | None:
    start = (span.size - size) // 2 if offset is None else offset
    if start < 0 or start + size > span.size:
        return None
    return Span(
        size, max(0, span.begin - start), min(size, span.end - start), span.scale
    )


def _meet(layer: Layer, axis: int, spans: list[Span]) -> Span | None:
    """Sizes of Concat (larger bottoms are cut centrally) and of pointwise layers."""
    parts = [_cut(span, spans[0].size) for span in spans]
    kept = [part for part in parts if part is not None]
    if len(kept) < len(parts):
        return None
    return Span(
        spans[0].size,
        max(part.begin for part in kept),
        min(part.end for part in kept),
        spans[0].scale,
    )


RULES: Mapping[str, Callable[[Layer, int, list[Span]], Span | None]] = {
    "convolution": _convolve,
    "pooling": _convolve,
    "deconvolution": _deconvolve,
    "crop": _crop,
}
