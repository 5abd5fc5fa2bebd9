"""Arithmetic of boxes: centre x, centre y, width, height, in parts of the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from caffe.engine.boxes import suppressed
from caffe.errors import CheckError


def overlaps(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Intersection over union of boxes of shapes (..., 4) that broadcast.

    Examples
    --------
    >>> one = torch.tensor([0.5, 0.5, 1.0, 1.0])
    >>> overlaps(one, torch.tensor([[0.5, 0.25, 1.0, 0.5], [2, 2, 1, 1]])).tolist()
    [0.5, 0.0]
    """
    # coordinate by coordinate: pairs of them would be slow to go through
    ours, theirs = first.unbind(-1), second.unbind(-1)
    width, height = (
        torch.minimum(ours[i] + ours[i + 2] / 2, theirs[i] + theirs[i + 2] / 2)
        .sub(torch.maximum(ours[i] - ours[i + 2] / 2, theirs[i] - theirs[i + 2] / 2))
        .clamp(min=0)
        for i in range(2)
    )
    shared = width * height
    either = ours[2] * ours[3] + theirs[2] * theirs[3] - shared
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
    if threshold <= 0:  # all do
        return torch.arange(min(len(boxes), 1), device=boxes.device)
    half = boxes[:, 2:] / 2
    corners = torch.cat([boxes[:, :2] - half, boxes[:, :2] + half], 1)
    # SSD's leaves out what overlaps by more
    below = np.nextafter(np.float32(threshold), np.float32(-1))
    return suppressed(corners, float(below))


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
