"""Freiburg's random fields of the places where an image is to be read.

Coordinates are in voxels, in the order of the axes: (y, x) or (z, y, x).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.layers.shared import text
from caffe.errors import CheckError

Floats = NDArray[np.float32]
Range = tuple[float, float]

_NOTHING: Range = (0.0, 0.0)
_TINY = 1e-30  # its inverse is still finite in single precision
_TURNING_PLANES = ((1, 2), (0, 2), (0, 1))  # about z, y, x, of coordinates (z, y, x)


@register("CreateDeformation")
class CreateDeformationLayer(Operator):
    """Random field of the places where each voxel of an image is to be read.

    Options (``create_deformation_param``)
        nz, ny, nx : int, default 0. Extents of the field; nz 0: two axes.
        ncomponents : int, default 2. 2 or 3 coordinates; 2 on three axes: y and x.
        batch_size : int, default 1. Of the field where there is no bottom.
        voxel_relsize_z : float, default 1. Size of a voxel in z by that in x; counts
            for the rotation.
        random_elastic_grid_spacing : a value an axis, voxels between control points.
        random_elastic_deform_magnitude : a value a component, standard deviation of
            their displacements in voxels; 0: none.
        random_rotate_from, random_rotate_to : degrees; 1 value, or 3 with three
            components: about z, then y, then x.
        random_offset_from, random_offset_to : a value a component, voxels.
        random_offset_range_from_in_blob_shape, random_offset_range_from_pdf : bool.
            The centre is a random voxel of the bottom; the latter by the bottom's
            values, which need not sum to 1.
        random_offset_range_from_ignore_label : int above 0. The centre is a random
            voxel of the bottom whose integer part is another.
        random_mirror_flag : a value a component; without effect, as in caffe_unet.

    Bottoms
        0 : optional, (N, C, [Z,] Y, X); its first channel counts.

    Tops
        0 : (N, [nz,] ny, nx, ncomponents).

    Displacements are uniform cubic B-splines of those of the control points. Displaced
    coordinates are turned about the field's centre, then moved to the bottom's (or the
    chosen voxel) and by the offset. A centre is half the extent, so that half a turn
    maps index i to N - i. Draws, from the host's generator: the control points of all
    samples, then for each sample angle, offset and mirroring by axis, then the voxel.
    """

    bottoms = (0, 1)
    source = True
    differentiable_bottoms = ()

    def setup(self, param: Any, context: Context) -> None:
        """Read and check the options."""
        options = param.create_deformation_param
        sizes = (int(options.nz), int(options.ny), int(options.nx))
        self._sizes: Shape = sizes if options.nz else sizes[1:]
        self._components = int(options.ncomponents)
        if self._components not in {2, len(self._sizes)}:
            expected = "2 or 3" if options.nz else "2, as nz is 0"
            raise CheckError(f"ncomponents is {self._components}: expected {expected}")
        self._relsize_z = float(options.voxel_relsize_z)
        if not (math.isfinite(self._relsize_z) and abs(self._relsize_z) >= _TINY):
            raise CheckError(
                f"voxel_relsize_z is {self._relsize_z:g}: expected a finite number "
                "other than 0"
            )
        self._read_affine(options)
        self._read_elastic(options)
        self._read_centre(options)

    def _read_affine(self, options: Any) -> None:
        """Ranges for z, y and x; with two components those of z are nothing."""
        count = self._components
        blank = 3 - count
        angles = _read_ranges(options, "random_rotate", 3 if count == 3 else 1)
        self._angles = angles + [_NOTHING] * (3 - len(angles))
        self._offsets = [_NOTHING] * blank + _read_ranges(
            options, "random_offset", count
        )
        flags = _read_values(options, "random_mirror_flag", count)
        self._mirror_flags = [0] * blank + (flags or [0] * count)

    def _read_elastic(self, options: Any) -> None:
        """One matrix an axis that makes displacements of those of control points."""
        self._splines: list[Floats] = []
        spacing = _read_values(options, "random_elastic_grid_spacing", len(self._sizes))
        if not spacing:
            return
        if min(spacing) < 1:
            raise CheckError(
                f"random_elastic_grid_spacing is {text(spacing)}: "
                "expected values above 0"
            )
        self._magnitudes = list(options.random_elastic_deform_magnitude.v)
        enough = len(self._magnitudes) >= self._components
        if not enough or not all(0 <= value < math.inf for value in self._magnitudes):
            raise CheckError(
                f"random_elastic_deform_magnitude is {text(self._magnitudes)}: "
                f"expected {self._components} values of 0 or more"
            )
        pairs = zip(self._sizes, spacing, strict=True)
        self._splines = [_spline_matrix(size, step) for size, step in pairs]

    def _read_centre(self, options: Any) -> None:
        self._ignored = int(options.random_offset_range_from_ignore_label)
        given = {
            "in_blob_shape": options.random_offset_range_from_in_blob_shape,
            "pdf": options.random_offset_range_from_pdf,
            "ignore_label": self._ignored > 0,
        }
        names = [name for name, wanted in given.items() if wanted]
        if len(names) > 1:
            raise CheckError(
                f"random_offset_range_from_{names[0]} is given, and _{names[1]} too: "
                "expected one of them"
            )
        self._centre_from = names[0] if names else ""
        if self._centre_from in {"pdf", "ignore_label"} and not self.param.bottom:
            raise CheckError(
                f"random_offset_range_from_{self._centre_from} is given without a "
                "bottom to look at: expected one bottom"
            )

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """As many samples as the bottom has."""
        batch = int(self.param.create_deformation_param.batch_size)
        if bottom_shapes:
            (bottom,) = bottom_shapes
            axes = 2 + len(self._sizes)
            if len(bottom) < axes or (self._centre_from and 0 in bottom[1:]):
                raise CheckError(
                    f"bottom 0 is {text(bottom)}: expected {axes} axes, as the "
                    f"field has {len(self._sizes)} spatial axes, with values in them"
                )
            batch = bottom[0]
        return [(batch, *self._sizes, self._components)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Draw on the host for all samples; deform, turn and move on the device."""
        ((batch, *sizes, components),) = self.shapes(
            [tuple(bottom.shape) for bottom in bottoms]
        )
        extents = tuple(bottoms[0].shape[2 : 2 + len(sizes)]) if bottoms else sizes
        points = self._draw_points(batch, context.rng)
        rows = np.empty((batch, components, 4), np.float32)
        for n in range(batch):
            image = bottoms[0][n].detach() if bottoms else None
            matrix = self._draw_matrix(_with_z(tuple(extents)), image, context.rng)
            rows[n] = matrix[3 - components : 3]
        moves = None
        if points is not None:
            moves = upsampled(points, self._splines, context.device)
        return [deformation(sizes, moves, _on(context.device, rows))]

    def _draw_points(self, batch: int, rng: np.random.Generator) -> Floats | None:
        """Displacements of the control points (N, components, ...), if any move."""
        if not self._splines:
            return None
        points = tuple(spline.shape[1] for spline in self._splines)
        result = np.empty((batch, self._components, *points), np.float32)
        for sample in result:
            pairs = zip(sample, self._magnitudes, strict=False)
            for component, magnitude in pairs:
                draws = rng.standard_normal(points, np.float32)
                component[...] = draws * np.float32(magnitude)
        return result

    def _draw_matrix(
        self, extents: Shape, image: torch.Tensor | None, rng: np.random.Generator
    ) -> Floats:
        """Map of homogeneous coordinates (z, y, x, 1) of the field to the bottom's."""
        angles, offset = [], np.zeros(3, np.float32)
        for i in range(3):
            angles.append(_uniform(rng, *self._angles[i]))
            offset[i] = _uniform(rng, *self._offsets[i])
            if self._mirror_flags[i] == 1:
                rng.integers(2)  # caffe_unet draws it as well, and makes nothing of it
        if self._centre_from:
            voxel = self._draw_voxel(extents, image, rng)
            offset += np.array(voxel) - _half(extents) + 0.5
        matrix = _translation(-_half(_with_z(self._sizes)))
        matrix = _z_scaling(self._relsize_z) @ matrix
        for plane, angle in zip(_TURNING_PLANES, angles, strict=True):
            matrix = _rotation(plane, angle) @ matrix
        matrix = _z_scaling(1 / self._relsize_z) @ matrix
        matrix = _translation(_half(extents)) @ matrix
        return _translation(offset) @ matrix

    def _draw_voxel(
        self, extents: Shape, image: torch.Tensor | None, rng: np.random.Generator
    ) -> Shape:
        if image is None or self._centre_from == "in_blob_shape":
            return tuple(int(rng.integers(extent)) for extent in extents)
        values = image.reshape(-1)[: math.prod(extents)].cpu().numpy()
        if self._centre_from == "ignore_label":
            values = np.trunc(values) != self._ignored
        sums = np.cumsum(values, dtype=np.float32)
        if not 0 <= sums[-1] < math.inf:
            raise CheckError(
                f"bottom 0 sums to {sums[-1]:g}: expected 0 or more for a pdf"
            )
        # above 0, so that a voxel of probability 0 is never chosen
        draw = sums[-1] * (1 - rng.random(dtype=np.float32))
        index = min(int(np.searchsorted(sums, draw)), len(sums) - 1)
        return tuple(int(i) for i in np.unravel_index(index, extents))


def upsampled(
    points: Floats, splines: Sequence[Floats], device: torch.device
) -> torch.Tensor:
    """Displacements of all voxels, made of those of the control points.

    Parameters
    ----------
    points : (N, components, points along each axis)
    splines : sequence of (size, points)
        A matrix an axis.
    device : torch.device
        The CPU multiplies in numpy's float32. Others do so in float64, which nobody
        rounds to TF32 or bfloat16: they agree with the CPU to its rounding.

    Returns
    -------
    tensor of (N, components, size of each axis), float32
    """
    if device.type != "cpu":
        return interpolated(_on(device, points), [_on(device, s) for s in splines])
    sizes = [len(spline) for spline in splines]
    result = np.empty((*points.shape[:2], *sizes), np.float32)
    for n, c in np.ndindex(points.shape[:2]):
        values = points[n, c]
        for axis, spline in enumerate(splines):
            values = np.moveaxis(np.tensordot(spline, values, (1, axis)), 0, axis)
        result[n, c] = values
    return torch.from_numpy(result)


def interpolated(points: torch.Tensor, splines: Sequence[torch.Tensor]) -> torch.Tensor:
    """Apply a matrix (size, points) along each axis behind the first two, in float64.

    Examples
    --------
    >>> sums = torch.tensor([[1.0, 1.0]])
    >>> interpolated(torch.arange(4.0).reshape(1, 1, 2, 2), [sums, sums])
    tensor([[[[6.]]]])
    """
    values = points.double()
    for axis, spline in enumerate(splines, 2):
        values = (values.movedim(axis, -1) @ spline.double().T).movedim(-1, axis)
    return values.float()


def deformation(
    sizes: Sequence[int], moves: torch.Tensor | None, rows: torch.Tensor
) -> torch.Tensor:
    """Field of the places that an affine map gives displaced voxels.

    Parameters
    ----------
    sizes : sequence of int
        Extents of the field.
    moves : (N, components, ...) or None
        Displacements in voxels, on the device of `rows`; None: of nothing.
    rows : (N, components, 4)
        The map of homogeneous coordinates (z, y, x, 1).

    Returns
    -------
    tensor of (N, ..., components)

    Examples
    --------
    >>> shift = torch.tensor([[[0, 1.0, 0, 5], [0, 0, 1, 7]]])
    >>> deformation((1, 2), None, shift)
    tensor([[[[5., 7.],
              [5., 8.]]]])
    """
    batch, components = rows.shape[:2]
    field = rows.new_empty((batch, *sizes, components))
    places: Tensors = []
    for axis in range(len(sizes) - components, len(sizes)):
        ones = [1] * (len(sizes) - axis - 1)
        steps = torch.arange(sizes[axis], dtype=rows.dtype, device=rows.device)
        place = steps.reshape(1, -1, *ones)
        if moves is not None:
            place = place + moves[:, len(places)]
        places.append(place)
    rows = rows.reshape(batch, components, 4, *[1] * len(sizes))
    # a CPU's cache holds one sample, a GPU rather starts fewer operations
    step = 1 if rows.is_cpu else max(1, batch)
    for start in range(0, batch, step):
        part = slice(start, start + step)
        near = [place if len(place) == 1 else place[part] for place in places]
        for component, row in enumerate(rows[part].unbind(1)):
            *factors, value = row[:, 3 - len(places) :].unbind(1)
            for factor, place in zip(factors, near, strict=True):
                # not one operation, which would round once less than numpy does
                value = value + factor * place
            field[part, ..., component] = value
    return field


def _on(device: torch.device, values: Floats) -> torch.Tensor:
    """Values on a device, without waiting for what it does."""
    return torch.from_numpy(values).to(device, non_blocking=True)


def _read_values(options: Any, name: str, count: int) -> list[Any]:
    """Values of a vector option, or none if it is not given."""
    if not options.HasField(name):
        return []
    values = list(getattr(options, name).v)
    if len(values) != count:
        raise CheckError(f"{name} has {len(values)} values: expected {count}")
    return values


def _read_ranges(options: Any, stem: str, count: int) -> list[Range]:
    low = _read_values(options, f"{stem}_from", count)
    high = _read_values(options, f"{stem}_to", count)
    if len(low) != len(high):
        raise CheckError(
            f"{stem}_{'from' if low else 'to'} is given alone: "
            f"expected both {stem}_from and {stem}_to"
        )
    for a, b in zip(low, high, strict=True):
        if not -math.inf < a <= b < math.inf:
            raise CheckError(
                f"{stem}_from is {text(low)}, {stem}_to {text(high)}: "
                "expected numbers from <= to"
            )
    return list(zip(low, high, strict=True)) or [_NOTHING] * count


def _spline_matrix(size: int, spacing: int) -> Floats:
    """Values of a uniform cubic B-spline at 0 .. size - 1, by its control points."""
    position = np.arange(size)
    segment, t = position // spacing, position % spacing / spacing
    weights = (
        (1 - t) ** 3 / 6,
        (3 * t**3 - 6 * t**2 + 4) / 6,
        (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
        t**3 / 6,
    )
    matrix = np.zeros((size, size // spacing + len(weights)), np.float32)
    for i, weight in enumerate(weights):
        matrix[position, segment + i] = weight
    return matrix


def _uniform(rng: np.random.Generator, low: float, high: float) -> np.float32:
    return np.float32(low + (high - low) * rng.random(dtype=np.float32))


def _with_z(extents: Shape) -> Shape:
    return (1,) * (3 - len(extents)) + extents


def _half(extents: Shape) -> Floats:
    return np.array([extent / 2 for extent in extents], np.float32)


def _translation(offset: Floats) -> Floats:
    matrix = np.eye(4, dtype=np.float32)
    matrix[:3, 3] = offset
    return matrix


def _z_scaling(factor: float) -> Floats:
    return np.diag([factor, 1, 1, 1]).astype(np.float32)


def _rotation(plane: tuple[int, int], degrees: np.float32) -> Floats:
    i, j = plane
    angle = math.radians(degrees)
    matrix = np.eye(4, dtype=np.float32)
    matrix[i, i] = matrix[j, j] = math.cos(angle)
    matrix[i, j], matrix[j, i] = -math.sin(angle), math.sin(angle)
    return matrix
