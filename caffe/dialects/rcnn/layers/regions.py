"""Layers that pool regions of interest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.layers.shared import text
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.errors import CheckError

_LEAST_LENGTH = 0.1  # of a region of PSROIPooling, in pixels of the features
_FAR = 1e9  # a corner beyond is as good as any that lies outside


class _Span(NamedTuple):
    """Pixels of each bin along one axis, as (regions, bins)."""

    start: torch.Tensor
    length: torch.Tensor

    @classmethod
    def clipped(cls, start: torch.Tensor, end: torch.Tensor, size: int) -> _Span:
        """Keep what lies on an axis of this size."""
        start, end = (edge.clamp(0, size).long() for edge in (start, end))
        return cls(start, (end - start).clamp(min=0))


class _RegionLayer(Operator):
    """Features and regions in, a grid of bins for each region out."""

    bottoms = (2, 2)
    differentiable_bottoms = (0,)
    backward_needs_top = False

    @staticmethod
    def _check(bottom_shapes: Sequence[Shape]) -> None:
        features, regions = bottom_shapes
        if len(features) != 4:
            raise CheckError(
                f"bottom 0 {text(features)} has {len(features)} axes: "
                "expected 4 (N, C, Y, X)"
            )
        if regions[1:2] != (5,) or any(extent != 1 for extent in regions[2:]):
            raise CheckError(
                f"bottom 1 (regions) is {text(regions)}: expected (R,5), a region the "
                "number of its image and x1, y1, x2, y2"
            )


@register("ROIPooling")
class ROIPoolingLayer(_RegionLayer):
    """Largest value of every bin of every region of interest (Fast R-CNN).

    Options (``roi_pooling_param``)
        pooled_h, pooled_w : int. Bins of a region along Y and X.
        spatial_scale : float, default 1. Pixels of the features by those of the image.

    Bottoms
        0 : (N, C, Y, X), features.
        1 : (R, 5), regions: number of the image and corners x1, y1, x2, y2 in pixels
            of the image. They receive no gradient.

    Tops
        0 : (R, C, pooled_h, pooled_w)

    Corners are rounded to pixels of the features, half away from 0, and belong to the
    region, which is at least one pixel long. Bin p of n reaches from
    ``floor(p * length / n)`` to ``ceil((p + 1) * length / n)``, as far as there are
    features. A bin without a pixel is 0. Of equal values the first in row order gets
    the gradient.
    """

    def setup(self, param: Any, context: Context) -> None:
        """Check the grid."""
        options = param.roi_pooling_param
        self._bins = (int(options.pooled_h), int(options.pooled_w))
        self._scale = float(options.spatial_scale)
        for name, count in zip(("pooled_h", "pooled_w"), self._bins, strict=True):
            if count == 0:
                raise CheckError(f"{name} is 0: expected a number above 0")

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Regions, channels and bins."""
        self._check(bottom_shapes)
        features, regions = bottom_shapes
        return [(regions[0], features[1], *self._bins)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Take the largest value of the pixels of each bin."""
        x, regions = bottoms
        images, channels, *size = x.shape
        image, corners = _read(regions, images)
        low, high = _round(corners * self._scale).chunk(2, dim=1)
        length = (high - low + 1).clamp(min=1)
        rows, columns = (
            self._span(low[:, i], length[:, i], bins, extent)
            for i, bins, extent in zip((1, 0), self._bins, size, strict=True)
        )
        plane = size[0] * size[1]
        pixels, starts = _bags(rows, columns, image * plane, size[1])
        table = x.flatten(2).movedim(1, 2).reshape(images * plane, channels)
        top = functional.embedding_bag(pixels, table, starts, mode="max")
        return [top.reshape(len(regions), *self._bins, channels).movedim(3, 1)]

    @staticmethod
    def _span(low: torch.Tensor, length: torch.Tensor, bins: int, size: int) -> _Span:
        edges = _edges(length, bins)
        start, end = edges[:, :-1].floor(), edges[:, 1:].ceil()
        return _Span.clipped(start + low[:, None], end + low[:, None], size)

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give MaxRoiPool."""
        x, regions = layer.bottoms
        name = layer.add(
            "MaxRoiPool",
            x,
            regions,
            pooled_shape=list(self._bins),
            spatial_scale=self._scale,
        )
        return [layer.top(name, (regions.pattern[0], None, None, None))]


@register("PSROIPooling")
class PSROIPoolingLayer(_RegionLayer):
    """Mean of every bin of every region, each bin in channels of its own (R-FCN).

    Options (``psroi_pooling_param``)
        spatial_scale : float. Pixels of the features by those of the image.
        output_dim : int. Channels of the top.
        group_size : int. Bins along each axis, g.

    Bottoms
        0 : (N, output_dim g g, Y, X), features.
        1 : (R, 5), regions: number of the image and corners x1, y1, x2, y2 in pixels
            of the image. They receive no gradient.

    Tops
        0 : (R, output_dim, g, g); channel c of bin (i, j) is made of channel
            ``(c g + i) g + j``.

    Corners are rounded to pixels of the image, half away from 0, and belong to the
    region, which is at least 0.1 pixels of the features long. A bin has all pixels
    that it touches, as far as there are features; without any it is 0.
    """

    def setup(self, param: Any, context: Context) -> None:
        """Check the grid."""
        options = param.psroi_pooling_param
        self._scale = float(options.spatial_scale)
        self._channels, self._bins = int(options.output_dim), int(options.group_size)
        for name in ("output_dim", "group_size"):
            if getattr(options, name) < 1:
                raise CheckError(
                    f"{name} is {getattr(options, name)}: expected a number above 0"
                )

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Regions, channels and bins."""
        self._check(bottom_shapes)
        features, regions = bottom_shapes
        expected = self._channels * self._bins**2
        if features[1] != expected:
            raise CheckError(
                f"bottom 0 is {text(features)}: expected {expected} channels, "
                f"{self._channels} for each of {self._bins} x {self._bins} bins"
            )
        return [(regions[0], self._channels, self._bins, self._bins)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Take the mean of the pixels of each bin."""
        x, regions = bottoms
        images, _, *size = x.shape
        image, corners = _read(regions, images)
        low, high = _round(corners).chunk(2, dim=1)
        low, high = low * self._scale, (high + 1) * self._scale
        length = (high - low).clamp(min=_LEAST_LENGTH)
        rows, columns = (
            self._span(low[:, i], length[:, i], extent)
            for i, extent in zip((1, 0), size, strict=True)
        )
        plane = size[0] * size[1]
        bins = torch.arange(self._bins**2, device=x.device).view(self._bins, self._bins)
        base = (image * self._bins**2 + bins) * plane
        pixels, starts = _bags(rows, columns, base, size[1])
        table = x.reshape(images, self._channels, self._bins**2 * plane)
        table = table.movedim(1, 2).reshape(-1, self._channels)
        top = functional.embedding_bag(pixels, table, starts, mode="mean")
        return [top.reshape(len(regions), *bins.shape, self._channels).movedim(3, 1)]

    def _span(self, low: torch.Tensor, length: torch.Tensor, size: int) -> _Span:
        edges = _edges(length, self._bins) + low[:, None]
        return _Span.clipped(edges[:, :-1].floor(), edges[:, 1:].ceil(), size)


def _read(regions: torch.Tensor, images: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Give image numbers as (R, 1, 1), and corners; refuse images that are not there.

    A corner that is NaN becomes 0.
    """
    table = regions.detach().flatten(1).float()
    image = table[:, 0]
    wrong = ~((image > -1) & (image < images))
    if wrong.any():
        raise CheckError(
            f"bottom 1 (regions) names image {float(image[wrong][0]):g}: expected 0 to "
            f"{images - 1}, as bottom 0 has {images} images"
        )
    corners = table[:, 1:].nan_to_num().clamp(-_FAR, _FAR)
    return image.long().view(-1, 1, 1), corners


def _round(values: torch.Tensor) -> torch.Tensor:
    """Round to whole numbers, half away from 0."""
    whole = values.trunc()
    return whole + (values - whole).mul(2).trunc()


def _edges(length: torch.Tensor, bins: int) -> torch.Tensor:
    """Edges of equal bins: (R, bins + 1)."""
    numbers = torch.arange(bins + 1, device=length.device)
    return numbers * (length / bins)[:, None]


def _bags(
    rows: _Span, columns: _Span, base: torch.Tensor, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """List the pixels of all bins, bin by bin, each in row order.

    Parameters
    ----------
    rows, columns : _Span
    base : tensor that broadcasts to (regions, bins, bins)
        Index of the first pixel of the plane that a bin lies in.
    width : int
        Pixels of a row of a plane.

    Returns
    -------
    pixels : tensor
        Indices.
    starts : tensor
        Where the pixels of each bin begin in it.
    """
    counts = (rows.length[:, :, None] * columns.length[:, None]).flatten()
    first = base + rows.start[:, :, None] * width + columns.start[:, None]
    across = columns.length[:, None].expand(-1, rows.length.shape[1], -1)
    starts = counts.cumsum(0) - counts
    bins = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    place = torch.arange(len(bins), device=counts.device) - starts[bins]
    down, right = place // across.flatten()[bins], place % across.flatten()[bins]
    return first.flatten()[bins] + down * width + right, starts
