"""Which pixels of a tile each pixel of a blob has seen, along one axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from caffe.errors import CheckError


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
