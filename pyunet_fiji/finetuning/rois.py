"""Draw annotations from the ROIs of ImageJ.

Source: modeldef_h5.md, section 4. A pixel belongs to an area when its centre does. An
area is named ``class[#instance][-n..]``: equal numbers of a class are one instance, an
area without number is one of its own, ``-n`` only tells names apart; ``ignore`` is no
class. Areas are drawn in their order, one over the other.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from skimage import draw

from pyunet.boundary import reading
from pyunet.errors import DataError
from pyunet_fiji.finetuning.annotations import (
    BACKGROUND,
    FIRST_CLASS,
    IGNORE,
    Annotation,
    by_frame,
)

Pixels = tuple[NDArray[np.intp], NDArray[np.intp]]
NAME = re.compile(r"(.*?)(?:#(\d{1,9}))?(?:-\d+)*")
IGNORE_NAME = "ignore"
AREAS = ("POLYGON", "RECT", "OVAL", "FREEHAND", "TRACED")
NO_AREAS = ("TEXT", "ARROW", "IMAGE")
# a centre on the left or upper edge of an area is inside, on the others outside
TO_THE_CENTRE = 0.5 + 1e-6
ON_THE_CIRCLE = 1e-6


class RoiName(NamedTuple):
    """A ROI's name, taken apart.

    >>> RoiName.of("cell#12-3")
    RoiName(group='cell', number=12)
    >>> RoiName.of("cell-1")
    RoiName(group='cell', number=None)
    """

    group: str
    number: int | None

    @classmethod
    def of(cls, name: str) -> RoiName:
        """Take a name apart."""
        found = NAME.fullmatch(" ".join(name.split()))
        group, number = found.groups() if found else (name, None)
        return cls(group, int(number) if number else None)

    @property
    def ignored(self) -> bool:
        """Whether what it marks is to be ignored."""
        return self.group.lower() == IGNORE_NAME


class _Area(NamedTuple):
    """One object: its pixels, those around that become "ignore", its slice."""

    pixels: Pixels
    ring: Pixels | None
    position: int


@dataclass(frozen=True)
class RoiMarks:
    """The ROIs of an image.

    Attributes
    ----------
    rois : tuple of roifile.ImagejRoi
        In the order in which they are drawn.
    name : str
        What messages call it.
    """

    rois: tuple[Any, ...]
    name: str

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their first appearance."""
        names = self._names
        groups = [name.group for name in names if name.group and not name.ignored]
        return tuple(dict.fromkeys(groups))

    @property
    def _names(self) -> list[RoiName]:
        return [RoiName.of(roi.name) for roi in self.rois]

    @property
    def class_count(self) -> int:
        """How many classes there are; at least 1."""
        return max(len(self.class_names), 1)

    def drawn(
        self,
        shape: Sequence[int],
        dimensions: int,
        class_names: Sequence[str],
        *,
        stack_channels: int = 1,
        disk_radius_px: int = 2,
    ) -> Annotation:
        """Draw the annotation; see `Marks`."""
        classes = np.full(tuple(shape), BACKGROUND, np.uint8)
        instances = np.zeros((len(class_names) - 1, *shape), np.int32)
        names = self._names
        free = itertools.count(max((name.number or 0 for name in names), default=0) + 1)
        for roi, name in zip(self.rois, names, strict=True):
            target = self._class_of(name, class_names)
            for area in self._areas(roi, tuple(shape[2:]), disk_radius_px):
                number = name.number or next(free)
                for plane in self._planes(roi, area.position, shape, stack_channels):
                    _ignore_around(classes[plane], area.ring)
                    classes[plane][area.pixels] = target
                    if target >= FIRST_CLASS:
                        instances[target - FIRST_CLASS][plane][area.pixels] = number
        each = [by_frame(cells, dimensions) for cells in instances]
        return Annotation(by_frame(classes, dimensions), np.stack(each, axis=1))

    def _class_of(self, name: RoiName, class_names: Sequence[str]) -> int:
        if name.ignored:
            return IGNORE
        if name.group in class_names:
            return BACKGROUND + list(class_names).index(name.group)
        if not name.group and len(class_names) == FIRST_CLASS:
            return FIRST_CLASS
        raise DataError(
            f"{self.name}: a ROI of class {name.group!r}; "
            f"expected {', '.join(class_names)} or {IGNORE_NAME}"
        )

    def _planes(
        self, roi: Any, position: int, shape: Sequence[int], channels: int
    ) -> Iterator[tuple[int, int]]:
        """Give frames and slices where an area lies: all of them without a position."""
        times, slices = shape[:2]
        z, time = roi.z_position, roi.t_position
        if position and not (z or time):
            time, z = divmod((position - 1) // channels, slices)
            time, z = time + 1, z + 1
        if not (0 <= z <= slices and 0 <= time <= times):
            raise DataError(
                f"{self.name}: ROI {roi.name!r} lies in slice {z} of frame {time}; the "
                f"image has {slices} slice(s) and {times} frame(s)"
            )
        frames = [time - 1] if time else range(times)
        planes = [z - 1] if z else range(slices)
        yield from itertools.product(frames, planes)

    def _areas(
        self, roi: Any, plane: tuple[int, ...], disk_radius_px: int
    ) -> list[_Area]:
        kind, subtype = roi.roitype.name, roi.subtype.name
        with reading(f"{self.name}: ROI {roi.name!r}"):
            if kind == "POINT":
                return _points(roi, plane, disk_radius_px)
            if roi.composite or (kind in AREAS and subtype not in NO_AREAS):
                return [_Area(_pixels(roi, plane), None, roi.position)]
        what = subtype if kind in AREAS else kind
        raise DataError(
            f"{self.name}: ROI {roi.name!r} is of kind {what.lower()}; "
            "expected areas or points"
        )


def _pixels(roi: Any, plane: tuple[int, ...]) -> Pixels:
    """Give the pixels of an area, those outside the image left out."""
    if roi.composite:
        mask = np.zeros(plane, bool)
        for part in roi.coordinates(multi=True):
            mask[_inside(part, plane)] ^= True
        rows, columns = np.nonzero(mask)
        return rows, columns
    if roi.roitype.name == "OVAL":
        height, width = roi.bottom - roi.top, roi.right - roi.left
        middle = (roi.top + (height - 1) / 2, roi.left + (width - 1) / 2)
        radii = (height / 2, width / 2)
        rows, columns = draw.ellipse(*middle, *radii, shape=plane)  # type: ignore[no-untyped-call]
        return rows, columns
    return _inside(roi.coordinates(), plane)


def _inside(corners: NDArray[Any], plane: tuple[int, ...]) -> Pixels:
    """Give the pixels whose centre lies in a polygon of corners (x, y)."""
    x, y = np.asarray(corners, np.float64).T - TO_THE_CENTRE
    rows, columns = draw.polygon(y, x, shape=plane)  # type: ignore[no-untyped-call]
    return rows, columns


def _points(roi: Any, plane: tuple[int, ...], radius_px: int) -> list[_Area]:
    """Give each point of a ROI a disk, and a ring of twice its radius."""
    positions = roi.counter_positions
    if positions is None or not positions.any():
        positions = [roi.position] * roi.n_coordinates
    pixels = np.floor(roi.coordinates()).astype(int)
    return [
        _Area(
            _disk((y, x), radius_px, plane),
            _disk((y, x), 2 * radius_px, plane),
            int(position),
        )
        for (x, y), position in zip(pixels, positions, strict=True)
    ]


def _disk(centre: tuple[int, int], radius_px: int, plane: tuple[int, ...]) -> Pixels:
    radius = radius_px + ON_THE_CIRCLE
    rows, columns = draw.disk(centre, radius, shape=plane)  # type: ignore[no-untyped-call]
    return rows, columns


def _ignore_around(classes: NDArray[np.uint8], ring: Pixels | None) -> None:
    if ring is not None:
        around = classes[ring]
        classes[ring] = np.where(around == BACKGROUND, IGNORE, around)
