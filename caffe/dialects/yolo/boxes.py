"""Arithmetic of boxes: centre x, centre y, width, height, in parts of the image."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.errors import CheckError

_BLOCK = 256  # boxes that are compared with one another at once


def overlaps(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Intersection over union of boxes of shapes (..., 4) that broadcast.

    Examples
    --------
    >>> one = torch.tensor([0.5, 0.5, 1.0, 1.0])
    >>> overlaps(one, torch.tensor([[0.5, 0.25, 1.0, 0.5], [2, 2, 1, 1]])).tolist()
    [0.5, 0.0]
    """
    a, b, c, d = first[..., :2], first[..., 2:], second[..., :2], second[..., 2:]
    sides = torch.minimum(a + b / 2, c + d / 2) - torch.maximum(a - b / 2, c - d / 2)
    shared = sides.clamp(min=0).prod(-1)
    either = b.prod(-1) + d.prod(-1) - shared
    return (shared / either).nan_to_num(0)


def best_ones(boxes: torch.Tensor, threshold: float) -> torch.Tensor:
    """Numbers of the boxes that overlap with no better one by a threshold or more.

    Parameters
    ----------
    boxes : tensor of shape (n, 4)
        The best first.
    threshold : float

    Returns
    -------
    tensor of int64
        In order.
    """
    kept = torch.empty(0, dtype=torch.int64, device=boxes.device)
    for part in torch.arange(len(boxes), device=boxes.device).split(_BLOCK):
        block = boxes[part]
        free = (overlaps(boxes[kept][:, None], block) < threshold).all(0)
        part, block = part[free], block[free]
        hides = (overlaps(block[:, None], block) >= threshold).triu(1)
        kept = torch.cat([kept, part[_unhidden(hides)]])
    return kept


def _unhidden(hides: torch.Tensor) -> torch.Tensor:
    """Mask of those that no other of the mask hides; only earlier ones hide."""
    mask = torch.ones(len(hides), dtype=torch.bool, device=hides.device)
    while True:
        # each round settles one link more of every chain, at least
        before, mask = mask, ~(hides & mask[:, None]).any(0)
        if mask.equal(before):
            return mask


def places(height: int, width: int, like: torch.Tensor) -> torch.Tensor:
    """Column and row of each cell of a grid: (height, width, 2)."""
    rows = torch.arange(height, dtype=like.dtype, device=like.device)
    columns = torch.arange(width, dtype=like.dtype, device=like.device)
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)


def read_anchors(biases: Sequence[float], count: int) -> list[tuple[float, float]]:
    """Sizes of anchors from the numbers of a prototxt.

    Raises
    ------
    CheckError
        If there are not two for each.
    """
    if len(biases) < 2 * count:
        raise CheckError(
            f"biases has {len(biases)} values: expected {2 * count}, a width and a "
            f"height for each of {count} boxes"
        )
    return list(zip(biases[: 2 * count : 2], biases[1 : 2 * count : 2], strict=True))
