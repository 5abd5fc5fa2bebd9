"""Averaging at test time: the mean over mirrored and rotated versions of an image.

Every version is segmented whole, its scores are put back where they belong and added
to one running sum: how much memory is taken does not depend on the number of passes.

- Mirrorings and rotations by multiples of 90 degrees move pixels and change none;
  the tiles read the turned image, and write into the turned sum, without a copy.
- At other angles a tile reads the image, which goes on beyond its border as its mirror
  image, through a cubic spline; the canvas is so large that the whole image has its
  place on it; the scores are read back by the exact inverse of the rotation, linearly.
  Around models that want zeros beyond the image there are zeros.

In volumes the y/x plane is mirrored and turned, every z alike.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from tqdm import tqdm

from pyunet.errors import DataError
from pyunet.inference.engine import FLOAT_BYTES, Model
from pyunet.inference.predict import (
    FloatArray,
    check_image,
    make_plan,
    prepare,
    tile_scores,
)
from pyunet.inference.tiling import Plan, Tile, blank_outside, mirror_index, read_tile

Values = Literal["scores", "probabilities"]
Item = TypeVar("Item", bound=np.generic)
SUM_BYTES = 8
RIGHT_ANGLE = 90
ROUNDING_PX = 1e-6


@dataclass(frozen=True)
class Pass:
    """One version of the image: first mirrored, then rotated.

    Attributes
    ----------
    degrees : float
        Counterclockwise, as a person sees the image (``numpy.rot90``).
    mirror : bool
        Whether the image is mirrored along X before.
    """

    degrees: float = 0.0
    mirror: bool = False

    @property
    def is_exact(self) -> bool:
        """Whether pixels are moved only."""
        return self.degrees % RIGHT_ANGLE == 0

    def apply(self, array: NDArray[Item]) -> NDArray[Item]:
        """Give a view of an array, mirrored and turned; for exact passes.

        Parameters
        ----------
        array : ndarray, shape (..., Y, X)

        Returns
        -------
        ndarray, shape (..., Y, X) or (..., X, Y)

        Examples
        --------
        >>> Pass(90).apply(np.array([[1, 2], [3, 4]])).tolist()
        [[2, 4], [1, 3]]
        """
        view = array[..., ::-1] if self.mirror else array
        return np.rot90(view, int(self.degrees // RIGHT_ANGLE), axes=(-2, -1))

    def extent(self, image: Sequence[int]) -> tuple[int, ...]:
        """Give the spatial extents of the version of an image.

        Examples
        --------
        >>> Pass(90).extent((9, 40, 30)), Pass(45).extent((40, 30))
        ((9, 30, 40), (50, 50))
        """
        *depth, height, width = image
        if self.is_exact:
            turned = self.degrees % (2 * RIGHT_ANGLE) != 0
            return (*depth, width, height) if turned else (*depth, height, width)
        cosine, sine = np.abs(self.matrix[0])
        return (
            *depth,
            math.ceil((height - 1) * cosine + (width - 1) * sine - ROUNDING_PX) + 1,
            math.ceil((height - 1) * sine + (width - 1) * cosine - ROUNDING_PX) + 1,
        )

    @functools.cached_property
    def matrix(self) -> NDArray[np.float64]:
        """Give how (y, x) about the centre turns from the image to its version."""
        angle = math.radians(self.degrees)
        return np.array([
            [math.cos(angle), -math.sin(angle)],
            [math.sin(angle), math.cos(angle)],
        ])  # fmt: skip

    def to_version(
        self, image: Sequence[int], y: NDArray[Any], x: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Give where pixels of the image lie in its version."""
        here, there = _centre(image), _centre(self.extent(image))
        return _turn(self.matrix, y - here[0], x - here[1], there)

    def to_image(
        self, image: Sequence[int], y: NDArray[Any], x: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Give where pixels of the version lie in the image."""
        here, there = _centre(image), _centre(self.extent(image))
        return _turn(self.matrix.T, y - there[0], x - there[1], here)


MIRRORED = (Pass(), Pass(0, mirror=True), Pass(180, mirror=True), Pass(180))
ROTATED = (Pass(), Pass(90), Pass(180), Pass(270))
SQUARE = (*ROTATED, *(Pass(one.degrees, mirror=True) for one in ROTATED))
NAMED = {"mirror": MIRRORED, "rotate": ROTATED, "all": SQUARE}


def parse_passes(text: str) -> tuple[Pass, ...]:
    """Read which versions are averaged.

    Parameters
    ----------
    text : str
        ``mirror``: 4, as the 2015 release does. ``rotate``: 4, by multiples of 90
        degrees. ``all``: the 8 of the square. A number N: N rotations by multiples of
        360/N degrees (the paper's "7 rotated versions"). Several numbers: rotations by
        these degrees.

    Returns
    -------
    tuple of Pass

    Raises
    ------
    DataError
        Anything else.

    Examples
    --------
    >>> len(parse_passes("all")), [round(p.degrees) for p in parse_passes("7")]
    (8, [0, 51, 103, 154, 206, 257, 309])
    >>> parse_passes("0,45")
    (Pass(degrees=0.0, mirror=False), Pass(degrees=45.0, mirror=False))
    """
    if text in NAMED:
        return NAMED[text]
    words = text.split(",")
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and numbers[0] >= 1 and numbers[0].is_integer():
        count = int(numbers[0])
        return tuple(Pass(360 * turn / count) for turn in range(count))
    if len(numbers) > 1 and np.isfinite(numbers).all():
        return tuple(Pass(degrees % 360) for degrees in numbers)
    raise DataError(
        f"average {text!r}: accepted are mirror, rotate, all, a number of rotated "
        "versions such as 7, or angles in degrees such as 0,45,90"
    )


def plan_passes(
    model: Model,
    image: Sequence[int],
    passes: Iterable[Pass],
    *,
    memory: int,
    held: int = 0,
    tile_size: Sequence[int] | None = None,
) -> dict[Pass, Plan]:
    """Decide how the versions of images of one size are cut into tiles.

    Parameters
    ----------
    model : Model
    image : sequence of int
        Spatial extents, (Y, X) or (Z, Y, X), in pixels.
    passes : iterable of Pass
    memory, held, tile_size
        As in :func:`pyunet.inference.predict.make_plan`; a tile size is meant for the
        mirrored or rotated image.

    Returns
    -------
    dict of Pass to Plan

    Raises
    ------
    DataError
        No tile fits into the memory; no pass.
    """
    classes = int(model.net.blobs[model.output].shape[1])
    pixels = int(np.prod(image))
    sums = (SUM_BYTES * classes + FLOAT_BYTES * model.channels) * pixels
    known: dict[tuple[int, ...], Plan] = {}
    plans: dict[Pass, Plan] = {}
    for one in passes:
        extent = one.extent(image)
        if extent not in known:
            known[extent] = make_plan(
                model, extent, memory=memory, held=held + sums, tile_size=tile_size
            )
        plans[one] = known[extent]
    if not plans:
        raise DataError("no pass is given; at least one is needed for a mean")
    return plans


def average_array(
    model: Model,
    image: FloatArray,
    plans: Mapping[Pass, Plan],
    *,
    of: Values = "scores",
    output: str | None = None,
) -> FloatArray:
    """Compute the mean scores of one image; see :func:`average_arrays`."""
    return next(average_arrays(model, [image], plans, total=1, of=of, output=output))


def average_arrays(
    model: Model,
    images: Iterable[FloatArray],
    plans: Mapping[Pass, Plan],
    *,
    total: int,
    of: Values = "scores",
    output: str | None = None,
    label: str = "segment",
) -> Iterator[FloatArray]:
    """Compute the mean scores of images of one size, one after the other.

    Parameters
    ----------
    model : Model
    images : iterable of ndarray of float32, each of shape (C, [Z,] Y, X)
    plans : mapping of Pass to Plan
        From :func:`plan_passes`.
    total : int
        Number of images, for the progress bar.
    of : {"scores", "probabilities"}, default "scores"
        What the mean is taken of: what the net gives, as the 2015 release does, or
        its softmax.
    output : str, optional
        Blob with the scores; default: the net's first output.
    label : str
        What the progress bar is called.

    Yields
    ------
    ndarray of float32, shape (K, [Z,] Y, X)

    Raises
    ------
    DataError
        An image of other extents or channels than the plans and the net.
    """
    blob = output or model.output
    steps = total * sum(map(len, plans.values()))
    with tqdm(total=steps, desc=label, unit="tile", disable=None) as progress:
        for image in images:
            running = _Mean(image, softmax=of == "probabilities")
            for one, plan in plans.items():
                check_image(model, image, one.extent(image.shape[1:]), plan)
                classes = prepare(model, plan, blob)
                for _ in running.add(model, one, plan, blob=blob, classes=classes):
                    progress.update()
            yield running.result()


class _Mean:
    """The sum of one image's passes, in float64: their order does not matter."""

    def __init__(self, image: FloatArray, *, softmax: bool) -> None:
        self.image = image
        self.softmax = softmax
        self.count = 0
        self.total: NDArray[np.float64] = np.zeros(0)

    def add(
        self, model: Model, one: Pass, plan: Plan, *, blob: str, classes: int
    ) -> Iterator[Tile]:
        """Add a pass, giving every tile that is done."""
        if not self.count:
            self.total = np.zeros((classes, *self.image.shape[1:]))
        self.count += 1
        if one.is_exact:
            yield from self._add_exact(model, one, plan, blob)
        else:
            yield from self._add_rotated(model, one, plan, blob)

    def result(self) -> FloatArray:
        mean = np.empty(self.total.shape, np.float32)
        for target, total in zip(mean, self.total, strict=True):
            target[:] = total / self.count
        return mean

    def _add_exact(
        self, model: Model, one: Pass, plan: Plan, blob: str
    ) -> Iterator[Tile]:
        image, total = one.apply(self.image), one.apply(self.total)
        inputs = ((tile, read_tile(image, plan, tile)) for tile in plan)
        for tile, scores in tile_scores(
            model, plan, inputs, blob=blob, softmax=self.softmax
        ):
            target: tuple[slice, ...] = (slice(None), *tile.target)
            total[target] += scores
            yield tile

    def _add_rotated(
        self, model: Model, one: Pass, plan: Plan, blob: str
    ) -> Iterator[Tile]:
        source = self.image[..., ::-1] if one.mirror else self.image
        total = self.total[..., ::-1] if one.mirror else self.total
        spline = np.empty(source.shape, np.float32)
        for at in np.ndindex(source.shape[:-2]):
            ndimage.spline_filter(source[at], output=spline[at], mode="mirror")
        canvas = np.empty((len(total), *plan.image), np.float32)
        inputs = ((tile, _read_rotated(spline, one, plan, tile)) for tile in plan)
        for tile, scores in tile_scores(
            model, plan, inputs, blob=blob, softmax=self.softmax
        ):
            target: tuple[slice, ...] = (slice(None), *tile.target)
            canvas[target] = scores
            yield tile
        columns = np.arange(total.shape[-1])
        for row in range(total.shape[-2]):
            places = one.to_version(total.shape[-2:], np.array(row), columns)
            for at in np.ndindex(total.shape[:-2]):
                total[at][row] += ndimage.map_coordinates(
                    canvas[at], places, order=1, mode="nearest"
                )


def _read_rotated(
    spline: FloatArray, one: Pass, plan: Plan, tile: Tile
) -> NDArray[Any]:
    """Read a tile of the rotated image from the image's spline coefficients."""
    y, x = np.ogrid[tuple(
        slice(start, start + size)
        for start, size in zip(tile.start[-2:], plan.tile[-2:], strict=True)
    )]  # fmt: skip
    places = one.to_image(spline.shape[-2:], y, x)
    depth = _mirrored_depth(spline, plan, tile)
    part = np.empty((len(depth), *plan.tile[-2:]), np.float32)
    flat = spline.reshape(-1, *spline.shape[-2:])
    beyond = "constant" if plan.padding == "zero" else "mirror"
    for target, plane in zip(part, depth, strict=True):
        ndimage.map_coordinates(
            flat[plane], places, output=target, order=3, mode=beyond, prefilter=False
        )
    whole = part.reshape(len(spline), *plan.tile)
    if plan.padding == "zero":
        around = (*tile.start[:-2], 0, 0), (*plan.image[:-2], *plan.tile[-2:])
        blank_outside(whole, *around)  # what map_coordinates cannot: slices
    return whole


def _centre(extent: Sequence[int]) -> tuple[float, float]:
    return (extent[-2] - 1) / 2, (extent[-1] - 1) / 2


def _turn(
    matrix: NDArray[np.float64],
    y: NDArray[Any],
    x: NDArray[Any],
    centre: tuple[float, float],
) -> NDArray[np.float64]:
    """Turn (y, x) about the origin, which then lies at a centre."""
    (yy, yx), (xy, xx) = matrix
    return np.array([yy * y + yx * x + centre[0], xy * y + xx * x + centre[1]])


def _mirrored_depth(spline: FloatArray, plan: Plan, tile: Tile) -> list[int]:
    """Give the planes that a tile reads, by channel and z."""
    planes = np.arange(int(np.prod(spline.shape[:-2]))).reshape(spline.shape[:-2])
    if planes.ndim > 1:
        places = mirror_index(tile.start[0], plan.tile[0], planes.shape[1])
        planes = planes[:, places]
    return [int(plane) for plane in planes.ravel()]
