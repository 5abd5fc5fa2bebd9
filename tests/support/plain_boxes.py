"""Rules of boxes, written out box by box."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

Box = Sequence[float]


def overlap(a: Box, b: Box) -> float:
    """Jaccard overlap of two boxes, in the order of SSD's operations."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    size = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return width * height / (size[0] + size[1] - width * height)


def greedy(boxes: Sequence[Box], threshold: float, eta: float) -> list[int]:
    """Places of the boxes, best first, that non-maximum suppression leaves."""
    kept: list[int] = []
    for i, box in enumerate(boxes):
        if all(overlap(box, boxes[j]) <= threshold for j in kept):
            kept.append(i)
            if eta < 1 and threshold > 0.5:
                threshold *= eta
    return kept


def some_boxes(count: int, seed: int) -> torch.Tensor:
    random = np.random.default_rng(seed)
    centre, size = (
        random.uniform(0, 1, (count, 2)),
        random.uniform(0.05, 0.5, (count, 2)),
    )
    both = np.concatenate([centre - size / 2, centre + size / 2], 1)
    return torch.from_numpy(both.astype(np.float32))
