"""Smooth random displacements of pixels, in two kinds that have names.

``paper``
    Ronneberger, Fischer, Brox: U-Net (MICCAI 2015), section 3.1: random displacement
    vectors on a coarse 3 x 3 grid, Gaussian with 10 pixels standard deviation,
    per-pixel displacements by bicubic interpolation. The outer nodes lie on the
    corners, however large the tile; the surface goes through the nodes.
``freiburg``
    What the layer CreateDeformation of Freiburg's Caffe makes: control points at a
    given spacing in pixels, Gaussian, and a uniform cubic B-spline that comes near
    them without going through them. So the displacements are smaller than those of
    the control points: on average over a cell of the grid their variance is
    (151/315)^axes of it, 0.230 on two axes, whatever the spacing.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pyunet.errors import DataError

Field = NDArray[np.float32]
FieldName = Literal["paper", "freiburg"]
FIELDS: tuple[FieldName, ...] = ("paper", "freiburg")
Std = float | tuple[float, ...]
Spacing = int | tuple[int, ...]


def elastic_field(
    shape: tuple[int, ...],
    rng: np.random.Generator,
    *,
    std: Std,
    grid: int = 3,
    field: FieldName = "paper",
    spacing: Spacing = 150,
) -> Field:
    """Draw a smooth random displacement of every pixel.

    Parameters
    ----------
    shape : ([Z,] Y, X)
        Size of the tile in pixels.
    rng : numpy Generator
        Source of randomness. With ``freiburg`` it gives the same field as it gives
        the layer.
    std : float or one an axis
        Standard deviation at the nodes or control points, pixels; 0 for all means no
        displacement, and nothing is drawn.
    grid : int, default 3
        ``paper``: nodes along each axis.
    field : {"paper", "freiburg"}
        The kind, see above.
    spacing : int or one an axis, default 150
        ``freiburg``: pixels between control points, of which an axis has
        ``size // spacing + 4``.

    Returns
    -------
    ndarray of float32, shape (axes, [Z,] Y, X)
        Displacements along each axis, pixels.

    Raises
    ------
    DataError
        Values for another number of axes.

    Examples
    --------
    >>> field = elastic_field((5, 7), np.random.default_rng(0), std=10.0)
    >>> node = 10 * np.random.default_rng(0).standard_normal()
    >>> field.shape, bool(np.isclose(field[0, 0, 0], node))
    ((2, 5, 7), True)
    """
    axes = len(shape)
    stds = per_axis(std, axes, "standard deviations")
    if not any(stds):
        return np.zeros((axes, *shape), np.float32)
    if field == "paper":
        bases = [paper_basis(length, grid) for length in shape]
        nodes: NDArray[Any] = rng.standard_normal((axes, *(grid,) * axes))
    else:
        steps = per_axis(spacing, axes, "spacings")
        bases = [freiburg_basis(n, s) for n, s in zip(shape, steps, strict=True)]
        counts = [len(basis) for basis in bases]
        nodes = rng.standard_normal((axes, *counts), np.float32)
    return np.stack(
        [
            _spread((node * scale).astype(np.float32), bases)
            for node, scale in zip(nodes, stds, strict=True)
        ]
    )


def per_axis(value: float | tuple[float, ...], axes: int, what: str) -> list[float]:
    """Give one number an axis.

    Examples
    --------
    >>> per_axis(10, 2, "spacings"), per_axis((2, 10, 10), 3, "spacings")
    ([10, 10], [2, 10, 10])
    """
    values = list(value) if isinstance(value, tuple) else [value] * axes
    if len(values) != axes:
        raise DataError(
            f"{len(values)} {what} ({', '.join(map(str, values))}) for {axes} axes: "
            "expected one, or one for each axis"
        )
    return values


@functools.lru_cache(maxsize=16)
def paper_basis(length: int, nodes: int) -> Field:
    """Weights of the nodes at every pixel of an axis, shape (nodes, length).

    A cubic spline through the nodes, mirrored at the outer ones.
    """
    at = np.linspace(0, nodes - 1, length)
    rows = [
        ndimage.map_coordinates(unit, [at], order=3, mode="mirror")
        for unit in np.eye(nodes)
    ]
    return np.stack(rows).astype(np.float32)


@functools.lru_cache(maxsize=16)
def freiburg_basis(length: int, spacing: int) -> Field:
    """Weights of the control points at every pixel, shape (points, length).

    The uniform cubic B-spline: pixel ``e * spacing + i`` mixes control points e to
    e + 3 by the four pieces of its basis function at ``i / spacing``.

    Examples
    --------
    >>> points = np.array([1, 4, -2, 3, 0, 5], np.float32)
    >>> [f"{value:.4f}" for value in (points @ freiburg_basis(10, 4))[:4]]
    ['2.5000', '1.8958', '1.0417', '0.2500']
    """
    pixel = np.arange(length)
    piece, t = pixel // spacing, pixel % spacing / spacing
    basis = np.zeros((length // spacing + 4, length), np.float32)
    for number, weight in enumerate(
        [
            (1 - t) ** 3 / 6,
            (3 * t**3 - 6 * t**2 + 4) / 6,
            (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
            t**3 / 6,
        ]
    ):
        basis[piece + number, pixel] = weight
    return basis


def _spread(nodes: Field, bases: list[Field]) -> Field:
    """Multiply one small matrix along each axis."""
    for basis in bases:
        # the first axis leaves, its pixels become the last: all take their turn;
        # einsum, as threads of a BLAS cost more than so small a product
        nodes = np.einsum("p...,pl->...l", nodes, basis)
    return nodes
