"""Gaussian filtering of points in space, on a permutohedral lattice.

Each point is spread over the corners of the simplex of the lattice that it lies in, the
lattice is blurred along its axes, and each point reads what its corners have then
(A. Adams, J. Baek, A. Davis: Fast high-dimensional filtering using the permutohedral
lattice, 2010). The time does not depend on the width of the Gaussian.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from caffe.errors import CheckError

_MOST_KEYS = 1 << 62


class Lattice:
    """The lattice that some points lie in.

    Parameters
    ----------
    features : tensor of shape (points, axes), float32
        Places, in standard deviations of the Gaussian.
    """

    def __init__(self, features: torch.Tensor) -> None:
        self._axes = features.shape[1]
        elevated = _elevated(features)
        nearest, rank = self._simplex(elevated)
        self._weights = self._barycentric(elevated - nearest, rank)
        keys = self._corners(nearest, rank).reshape(-1, self._axes)
        packed, strides = _packed(keys, margin=self._axes + 1)
        known, corner = packed.unique(return_inverse=True)
        # 0 is the number of what is not there
        self._corner = (corner.view(-1, self._axes + 1) + 1).int()
        self._neighbours = self._find_neighbours(known, strides)
        order = corner.argsort(stable=True)
        counts = corner.bincount()
        self._sources = (order // (self._axes + 1)).int()
        self._shares = self._weights.flatten()[order]
        # what is not there comes first, and gets nothing
        self._starts = functional.pad(counts.cumsum(0) - counts, (1, 0)).int()

    def _simplex(self, elevated: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Nearest point of the lattice whose remainder is 0, and order of the axes."""
        step = self._axes + 1
        scaled = elevated / step
        up, down = scaled.ceil() * step, scaled.floor() * step
        nearest = torch.where(up - elevated < elevated - down, up, down)
        excess = (nearest.sum(1, keepdim=True) / step).round().long()
        order = (elevated - nearest).argsort(dim=1, descending=True, stable=True)
        # how many differences are larger, of equal ones those that come first
        rank = order.argsort(dim=1) + excess
        low, high = rank < 0, rank > self._axes
        nearest = nearest + step * (low.float() - high.float())
        return nearest, rank + step * (low.long() - high.long())

    def _barycentric(self, rest: torch.Tensor, rank: torch.Tensor) -> torch.Tensor:
        """Weights of the corners: (points, axes + 1)."""
        share = rest / (self._axes + 1)
        weights = rest.new_zeros(len(rest), self._axes + 2)
        weights.scatter_add_(1, self._axes - rank, share)
        weights.scatter_add_(1, self._axes + 1 - rank, -share)
        weights[:, 0] += 1 + weights[:, -1]
        return weights[:, :-1]

    def _corners(self, nearest: torch.Tensor, rank: torch.Tensor) -> torch.Tensor:
        """Places of the corners: (points, axes + 1, axes); the last axis follows."""
        step = self._axes + 1
        remainder = torch.arange(step, device=rank.device)[:, None]
        beyond = rank[:, None] > self._axes - remainder
        offset = torch.where(beyond, remainder - step, remainder)
        return (nearest.long()[:, None] + offset)[..., : self._axes]

    def _find_neighbours(
        self, known: torch.Tensor, strides: list[int]
    ) -> list[torch.Tensor]:
        """Numbers of each point and both its neighbours, (points + 1, 3), by axis."""
        numbers = torch.arange(1, len(known) + 1, device=known.device)
        found = []
        for axis in range(self._axes + 1):
            along = strides[axis] * (self._axes + 1) if axis < self._axes else 0
            wanted = known + (along - sum(strides))
            place = torch.searchsorted(known, wanted).clamp(max=len(known) - 1)
            there = known[place] == wanted
            one = torch.where(there, place + 1, 0)
            other = torch.zeros_like(one)
            other[place[there]] = numbers[there]
            found.append(
                functional.pad(torch.stack([one, numbers, other], 1), (0, 0, 1, 0))
            )
        return [numbers.int() for numbers in found]

    def filter(self, values: torch.Tensor, *, backward: bool = False) -> torch.Tensor:
        """Weighted sums over near points, of each channel.

        Parameters
        ----------
        values : tensor of shape (points, channels)
        backward : bool
            The transpose of the filter, which blurs the axes in the other order.
        """
        table = _sums(values, self._sources, self._shares, self._starts)
        blur = torch.tensor([0.5, 1, 0.5], device=values.device)
        for numbers in self._neighbours[:: -1 if backward else 1]:
            table = _sums(table, numbers, blur.repeat(len(numbers), 1))
        found = _sums(table, self._corner, self._weights)
        return found / (1 + 2.0**-self._axes)


class _Filter(torch.autograd.Function):
    """`Lattice.filter` with its gradient."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, lattice: Lattice) -> torch.Tensor:
        ctx.lattice = lattice
        return lattice.filter(values)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.lattice.filter(grads[0], backward=True), None


def gaussian(values: torch.Tensor, lattice: Lattice) -> torch.Tensor:
    """Filter (points, channels), differentiable by autograd."""
    found: torch.Tensor = _Filter.apply(values, lattice)
    return found


def _elevated(features: torch.Tensor) -> torch.Tensor:
    """Places in the plane of the lattice: (points, axes + 1), each row's sum 0."""
    axes = features.shape[1]
    numbers = torch.arange(1, axes + 1, device=features.device)
    width = (2 / 3) ** 0.5 * (axes + 1)
    scaled = features * (width / (numbers * (numbers + 1)).sqrt())
    behind = scaled.flip(1).cumsum(1).flip(1)
    first = behind[:, :1]
    others = torch.cat([behind[:, 1:], torch.zeros_like(first)], 1) - numbers * scaled
    return torch.cat([first, others], 1)


def _packed(keys: torch.Tensor, *, margin: int) -> tuple[torch.Tensor, list[int]]:
    """One number for each key, and what a step along each axis adds to it.

    Keys that lie outside by up to `margin` have numbers of their own.
    """
    low, high = keys.aminmax(dim=0)
    sides = (high - low + 1 + 2 * margin).tolist()
    strides = [1]
    for side in sides:
        strides.append(strides[-1] * int(side))
    if strides.pop() > _MOST_KEYS:
        raise CheckError(
            f"places in the lattice span {sides}: expected larger theta_alpha, "
            "theta_beta and theta_gamma"
        )
    steps = torch.tensor(strides, device=keys.device)
    return ((keys - low + margin) * steps).sum(1), strides


def _sums(
    table: torch.Tensor,
    numbers: torch.Tensor,
    weights: torch.Tensor,
    starts: torch.Tensor | None = None,
) -> torch.Tensor:
    """Weighted sums of rows of a table: of each row of numbers, or from each start."""
    weights = weights.to(table.dtype)
    return functional.embedding_bag(
        numbers, table, starts, mode="sum", per_sample_weights=weights
    )
