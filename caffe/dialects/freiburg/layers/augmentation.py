"""Freiburg's layers that deform images and change their grey values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.layers.shared import text
from caffe.errors import CheckError

Floats = NDArray[np.float32]
_Choice = tuple[torch.Tensor, torch.Tensor | None]

_TRIAL_CURVES, _MOST_FAILURES, _TRIAL_VALUES = 100000, 50000, 1 << 22
_MOST_INSERTIONS = 12


@register("ApplyDeformation")
class ApplyDeformationLayer(Operator):
    """Image read at the places that a field names.

    Options (``apply_deformation_param``)
        interpolation : "linear" (default) or "nearest".
        extrapolation : "mirror" (default), about the outermost voxels, or "zero".
        output_shape_from : str. A blob above, whose spatial axes those of the top
            shall be; default: those of the field.

    Bottoms
        0 : (N, C, [Z,] Y, X), the image.
        1 : (N, [z,] y, x, components), the field, as CreateDeformation makes it. Where
            the top is smaller, its middle is used.

    Tops
        0 : (N, C, [z,] y, x).

    A field of 2 components on three axes deforms each plane by itself: plane z of the
    top is made of plane z of the image. There is no gradient.
    """

    capturable = True
    bottoms = (2, 2)
    differentiable_bottoms = ()

    def setup(self, param: Any, context: Context) -> None:
        """Read the options."""
        options = param.apply_deformation_param
        self._linear = options.interpolation == "linear"
        self._mirror = options.extrapolation == "mirror"
        if options.interpolation not in {"linear", "nearest"} or (
            options.extrapolation not in {"mirror", "zero"}
        ):
            raise CheckError(
                f"unsuppported combination: interpolation '{options.interpolation}', "
                f"extrapolation '{options.extrapolation}': "
                "expected linear or nearest, mirror or zero"
            )
        self._shape_of = context.shape_of

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Take samples and channels of the image, spatial axes of the field."""
        image, field = bottom_shapes
        axes = len(image) - 2
        fits = len(field) == len(image) and field[0] == image[0]
        if axes not in {2, 3} or not fits or field[-1] not in {2, axes}:
            raise CheckError(
                f"bottom 0 is {text(image)}, bottom 1 (field) {text(field)}: "
                "expected (N,C,Y,X) and (N,y,x,2), or (N,C,Z,Y,X) and (N,z,y,x,2 or 3)"
            )
        extents = field[1:-1]
        name = self.param.apply_deformation_param.output_shape_from
        if name:
            extents = self._shape_of(name)[2:]
        if len(extents) != axes or any(
            a < b or (a - b) % 2 for a, b in zip(field[1:], extents, strict=False)
        ):
            raise CheckError(
                f"blob '{name}' of output_shape_from has spatial axes {text(extents)}, "
                f"bottom 1 (field) is {text(field)}: "
                "expected as many axes, smaller by even numbers or equal"
            )
        if (field[-1] < axes and extents[0] > image[2]) or 0 in image[2:]:
            raise CheckError(
                f"bottom 0 is {text(image)}, which has no voxel for all of the top's "
                f"{text(extents)}"
            )
        return [(*image[:2], *extents)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Add up the neighbours of each place."""
        image, field = (bottom.detach() for bottom in bottoms)
        ((batch, channels, *extents),) = self.shapes([image.shape, field.shape])
        for axis, extent in enumerate(extents, 1):
            surplus = field.shape[axis] - extent
            field = field.narrow(axis, surplus // 2, extent)
        sizes = image.shape[2:]
        choices = [
            self._choices(place, size)
            for place, size in zip(
                field.float().unbind(-1), sizes[-field.shape[-1] :], strict=True
            )
        ]
        if len(choices) < len(sizes):
            planes = torch.arange(extents[0], device=image.device)
            choices.insert(0, [(planes.reshape(-1, 1, 1), None)])
        flat = image.reshape(batch, channels, math.prod(sizes))
        top = flat.new_zeros(batch, channels, math.prod(extents))
        for corner in product(*choices):
            index, weight = _combine(corner, sizes)
            index = index.expand(batch, *extents).reshape(batch, 1, top.shape[2])
            values = flat.gather(2, index.expand(-1, channels, -1))
            if weight is not None:
                values *= weight.reshape(batch, 1, top.shape[2])
            top += values
        return [top.reshape(batch, channels, *extents)]

    def _choices(self, place: torch.Tensor, size: int) -> list[_Choice]:
        """Neighbours along one axis: where they are, and how much they count."""
        if not self._linear:
            return [self._inside((place + 0.5).floor(), None, size)]
        low = place.floor()
        share = place - low
        return [
            self._inside(low, 1 - share, size),
            self._inside(low + 1, share, size),
        ]

    def _inside(
        self, place: torch.Tensor, weight: torch.Tensor | None, size: int
    ) -> _Choice:
        """Index of a place that is a whole number, perhaps outside the image."""
        if self._mirror:
            place = _mirrored(place, size)
        else:
            inside = ((place >= 0) & (place <= size - 1)).to(place.dtype)
            weight = inside if weight is None else weight * inside
        # also what is no number must not be read outside the memory
        return place.long().clamp_(0, size - 1), weight


def _mirrored(place: torch.Tensor, size: int) -> torch.Tensor:
    """Reflect about 0 and size - 1, as often as it takes."""
    if size == 1:
        return torch.zeros_like(place)
    # a third of the time, and the usual case; to ask a GPU would be to wait for it
    if place.is_cpu and ((place >= 0) & (place <= size - 1)).all():
        return place
    return (torch.remainder(place + (size - 1), 2 * size - 2) - (size - 1)).abs()


def _combine(
    corner: tuple[_Choice, ...], sizes: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Index into the flat image and weight of one neighbour."""
    (index, weight), *others = corner
    for (along, share), size in zip(others, sizes[1:], strict=True):
        index = index * size + along
        if share is not None:
            weight = share if weight is None else weight * share
    return index, weight


@register("ValueAugmentation")
class ValueAugmentationLayer(Operator):
    """Random monotone curve for the grey values of each sample and channel.

    Options (``value_augmentation_param``)
        black_from, black_to : float, default 0. Range of what 0 becomes.
        white_from, white_to : float, default 1. Range of what 1 becomes.
        slope_min, slope_max : float, default 0.666 and 1.5, of the curve between
            control points.
        n_control_point_insertions : int, default 2. How often each interval between
            control points is halved.
        lut_size : int, default 256. Samples of the smoothed curve, which is linear
            between them.

    Bottoms
        0 : (N, C, ...); values outside [0, 1] count as 0 or 1.

    Tops
        0 : shape of the bottom.

    There is no gradient.
    """

    pointwise = True
    source = True
    differentiable_bottoms = ()

    def setup(self, param: Any, context: Context) -> None:
        """Check the options, and try out how many curves they allow."""
        options = param.value_augmentation_param
        _check_curve_options(options)
        self._operator = lookup_operator(
            options.n_control_point_insertions, options.lut_size
        )
        context.log(
            "value_augmentation_layer.cpp:111",
            f"Generating {_TRIAL_CURVES} random lookup tables with given parameters "
            "for ValueAugmentationLayer.",
        )
        block = max(1, _TRIAL_VALUES // self._operator.shape[1])
        failures = 0
        for start in range(0, _TRIAL_CURVES, block):
            count = min(block, _TRIAL_CURVES - start)
            failures += count - len(_draw_curves(options, count, context.rng))
            if failures > _MOST_FAILURES:
                raise CheckError(
                    f"more than {_MOST_FAILURES} of {_TRIAL_CURVES} random curves are "
                    f"impossible with slope_min {options.slope_min:g} and slope_max "
                    f"{options.slope_max:g}: expected fewer"
                )
        context.log(
            "value_augmentation_layer.cpp:123",
            f"Failure rate: {100 * failures / _TRIAL_CURVES:g}%",
        )

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of the bottom."""
        (bottom,) = bottom_shapes
        if len(bottom) < 2:
            raise CheckError(
                f"bottom 0 is {text(bottom)}: expected 2 or more axes, of samples "
                "and channels first"
            )
        return [bottom]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Draw a curve for each sample and channel, then look up."""
        bottom = bottoms[0].detach()
        options = self.param.value_augmentation_param
        wanted = bottom.shape[0] * bottom.shape[1]
        points = _draw_curves(options, wanted, context.rng)
        while len(points) < wanted:
            more = _draw_curves(options, wanted - len(points), context.rng)
            points = np.concatenate([points, more])
        tables = torch.from_numpy(points @ self._operator.T)
        return [look_up(bottom, tables.to(bottom.device, non_blocking=True))]


def _check_curve_options(options: Any) -> None:
    insertions = options.n_control_point_insertions
    rules = [
        (options.lut_size >= 2, f"lut_size is {options.lut_size}: expected 2 or more"),
        (
            options.slope_min <= options.slope_max,
            f"slope_min is {options.slope_min:g}, slope_max {options.slope_max:g}: "
            "expected slope_min <= slope_max",
        ),
        (
            0 <= insertions <= _MOST_INSERTIONS,
            f"n_control_point_insertions is {insertions}: expected 0 to "
            f"{_MOST_INSERTIONS}",
        ),
        (
            options.black_from
            <= options.black_to
            <= options.white_from
            <= options.white_to,
            f"black is {options.black_from:g} to {options.black_to:g}, white "
            f"{options.white_from:g} to {options.white_to:g}: expected black_from "
            "<= black_to <= white_from <= white_to",
        ),
    ]
    for kept, rule in rules:
        if not kept:
            raise CheckError(rule)


def _draw_curves(options: Any, count: int, rng: np.random.Generator) -> Floats:
    """Control points of those of `count` random curves that the slopes allow."""

    def uniform(low: Floats, high: Floats) -> Floats:
        draws = rng.random(low.shape, np.float32)
        return np.minimum(low + (high - low) * draws, high)

    ends = [
        [options.black_from, options.white_from],
        [options.black_to, options.white_to],
    ]
    low, high = np.array(ends, np.float32)[:, None].repeat(count, 1)
    points = uniform(low, high)
    least, most = np.float32(options.slope_min), np.float32(options.slope_max)
    possible = np.ones(count, np.bool_)
    for i in range(1, options.n_control_point_insertions + 1):
        step = np.float32(0.5**i)
        left, right = points[:, :-1], points[:, 1:]
        low = np.maximum(left + least * step, right - most * step)
        high = np.minimum(left + most * step, right - least * step)
        possible &= (low <= high).all(1)
        refined = np.empty((count, 2 * points.shape[1] - 1), np.float32)
        refined[:, ::2], refined[:, 1::2] = points, uniform(low, high)
        points = refined
    return points[possible]


def lookup_operator(insertions: int, size: int) -> Floats:
    """Matrix that makes a table of a curve's control points.

    Parameters
    ----------
    insertions : int
        The curve has ``2 ** insertions + 1`` control points on [0, 1].
    size : int
        Values of the table, evenly on [0, 1].

    Returns
    -------
    array of (size, control points)
        Linear interpolation, continued on both sides, then smoothing by a Gaussian
        whose standard deviation is a quarter of the control points' distance.

    Examples
    --------
    >>> lookup_operator(0, 3).round(3).tolist()
    [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
    """
    intervals = 2**insertions
    margin = size // 2
    place = np.arange(-margin, size + margin) / (size - 1)
    # the interval that holds a place; outside [0, 1] the outermost one goes on
    interval = np.clip(np.floor(place * intervals), 0, intervals - 1).astype(np.int64)
    share = place * intervals - interval
    rows = np.arange(len(place))
    linear = np.zeros((len(place), intervals + 1))
    linear[rows, interval], linear[rows, interval + 1] = 1 - share, share
    table = place[margin : margin + size]
    sigma = 1 / intervals / 4
    result = np.empty((size, intervals + 1), np.float32)
    block = max(1, _TRIAL_VALUES // len(place))
    for start in range(0, size, block):
        part = slice(start, start + block)
        gauss = np.exp(-0.5 * ((table[part, None] - place) / sigma) ** 2)
        result[part] = (gauss @ linear) / gauss.sum(1, keepdims=True)
    return result


def look_up(values: torch.Tensor, tables: torch.Tensor) -> torch.Tensor:
    """Values of piecewise linear curves on [0, 1], cut off outside.

    Parameters
    ----------
    values : (N, C, ...)
    tables : (N * C, L)
        A curve for each sample and channel at L evenly spaced places.

    Examples
    --------
    >>> look_up(torch.tensor([[-1.0, 0.25]]), torch.tensor([[0.0, 1.0], [2.0, 4.0]]))
    tensor([[0.0000, 2.5000]])
    """
    last = tables.shape[1] - 1
    place = (values.reshape(len(tables), math.prod(values.shape[2:])) * last).clamp_(
        0, last
    )
    # what is no number has no index, and must not become one
    low = place.nan_to_num(0).long().clamp_(max=last - 1)
    share = place - low
    below, above = tables.gather(1, low), tables.gather(1, low + 1)
    return ((1 - share) * below + share * above).reshape(values.shape)
