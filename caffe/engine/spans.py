"""Sizes of tiles along one axis, and which pixels of a tile a blob has seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from caffe.errors import CheckError


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
        Pixels of the tile per pixel of this blob.
    """

    size: int
    begin: int
    end: int
    scale: Fraction

    def windows(
        self, kernel: int, stride: int, pad: int, dilation: int = 1
    ) -> Span | None:
        """Give the blob of one pixel a window; None if they don't fit exactly."""
        reach = (kernel - 1) * dilation
        room = self.size + 2 * pad - reach - 1
        if room < 0 or room % stride:
            return None
        return Span(
            room // stride + 1,
            -(-(self.begin + pad) // stride),
            (self.end - 1 + pad - reach) // stride + 1,
            self.scale * stride,
        )

    def spread(self, kernel: int, stride: int, pad: int, dilation: int = 1) -> Span:
        """Give the blob to which each pixel adds a window.

        A pixel there counts as seen if all its contributions exist.
        """
        reach = (kernel - 1) * dilation
        size = stride * (self.size - 1) + reach + 1 - 2 * pad
        return Span(
            size,
            max(0, (self.begin - 1) * stride + 1 - pad + reach),
            min(size, self.end * stride - pad),
            self.scale / stride,
        )

    def cut(self, start: int, size: int) -> Span | None:
        """Give a part; None if it does not lie inside."""
        if start < 0 or start + size > self.size:
            return None
        begin, end = max(0, self.begin - start), min(size, self.end - start)
        return Span(size, begin, end, self.scale)

    def centre(self, size: int) -> Span | None:
        """Give the part in the middle; None if the margins would differ."""
        margin = self.size - size
        return None if margin % 2 else self.cut(margin // 2, size)


# from the spans of a layer's bottoms to that of its tops; None: no exact fit
SpanRule = Callable[[Sequence[Span]], Span | None]


def meet(spans: Sequence[Span | None]) -> Span | None:
    """Give the blob whose pixels come from one pixel of each; None: sizes differ."""
    first = spans[0]
    if first is None:
        return None
    begin, end = first.begin, first.end
    for span in spans[1:]:
        if span is None or span.size != first.size:
            return None
        begin, end = max(begin, span.begin), min(end, span.end)
    return Span(first.size, begin, end, first.scale)


def across(own: int, axis: int) -> Callable[[Sequence[Span | None]], Span | None]:
    """Give the rule of a layer that is pointwise along every axis but its own.

    Raises
    ------
    CheckError
        If that is the axis asked for.
    """
    if own == axis:
        raise mixes_positions()
    return meet


def mixes_positions() -> CheckError:
    """Error of a layer each of whose pixels depends on all of its bottom's."""
    return CheckError(
        "mixes all positions of its bottom: such a net cannot be run by tiles"
    )
