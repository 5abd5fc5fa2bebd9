"""Overlaps of boxes (left, top, right, bottom), and which of them stay."""

from __future__ import annotations

from collections.abc import Callable

import torch

_BLOCK = 192  # boxes that are compared with one another at once
Overlaps = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def areas(boxes: torch.Tensor, pixel: float = 0) -> torch.Tensor:
    """Areas of (..., 4) boxes; 0 where right is left of left, or bottom above top.

    pixel : what the sides are longer than the differences of coordinates, 1 in pixels.
    """
    return _sides(boxes[..., 2:] - boxes[..., :2], pixel).prod(-1)


def _sides(differences: torch.Tensor, pixel: float) -> torch.Tensor:
    if not pixel:
        return differences.clamp_(min=0)
    return torch.where(differences >= 0, differences + pixel, 0)


def overlaps(a: torch.Tensor, b: torch.Tensor, pixel: float = 0) -> torch.Tensor:
    """Intersection over union (n, m) of (n, 4) boxes and (m, 4) others."""
    # coordinate by coordinate: pairs of them would be slow to go through
    ours, theirs = a.t()[:, :, None], b.t()[:, None].contiguous()
    width, height = (
        _sides(
            torch.minimum(ours[i + 2], theirs[i + 2]).sub_(
                torch.maximum(ours[i], theirs[i])
            ),
            pixel,
        )
        for i in range(2)
    )
    both = width.mul_(height)
    either = (areas(a, pixel)[:, None] + areas(b, pixel)).sub_(both)
    # boxes without area have nothing in common with any
    return both.div_(either).nan_to_num_(0)


def suppressed(
    boxes: torch.Tensor,
    threshold: float,
    eta: float = 1.0,
    groups: torch.Tensor | None = None,
    *,
    most: int | None = None,
    shared: Overlaps = overlaps,
) -> torch.Tensor:
    """Greedy non-maximum suppression.

    Parameters
    ----------
    boxes : (n, 4) tensor
        Best first.
    threshold : float
        A box stays unless it overlaps with one that stays by more than this.
    eta : float, default 1
        Below 1, after each box that stays the threshold is multiplied by it while it
        is above 0.5. Not with groups.
    groups : (n,) tensor, optional
        Only boxes of one group suppress one another.
    most : int, optional
        So many boxes are enough. Not with eta.
    shared : callable, default `overlaps`
        Overlaps (n, m) of (n, 4) boxes and (m, 4) others.

    Returns
    -------
    (k,) tensor of int64
        The boxes that stay, in order.
    """
    indices, kept, threshold = _with_eta(boxes, threshold, eta)
    if groups is None:
        groups = torch.zeros_like(boxes[:, 0])
    for part in indices.split(_BLOCK):
        if most is not None and sum(map(len, kept)) >= most:
            break
        if kept:
            before = torch.cat(kept)
            worst = _within(boxes, groups, before, part, shared).amax(0)
            part = part[worst <= threshold]
        hits = _within(boxes, groups, part, part, shared) > threshold
        kept.append(part[_first_come(hits)])
    return torch.cat(kept)[:most] if kept else indices[:0]


def _within(
    boxes: torch.Tensor,
    groups: torch.Tensor,
    a: torch.Tensor,
    b: torch.Tensor,
    shared: Overlaps,
) -> torch.Tensor:
    """Overlaps of the boxes of two lists of indices, 0 where groups differ."""
    same = groups[a][:, None] == groups[b]
    return shared(boxes[a], boxes[b]).mul_(same)


def _with_eta(
    boxes: torch.Tensor, threshold: float, eta: float
) -> tuple[torch.Tensor, list[torch.Tensor], float]:
    """Suppress while the threshold changes: what is left, what stays, the threshold."""
    indices = torch.arange(len(boxes), device=boxes.device)
    kept: list[torch.Tensor] = []
    if eta >= 1:
        return indices, kept, threshold
    worst = boxes.new_zeros(len(boxes))
    while threshold > 0.5 and len(indices):
        worst = torch.maximum(worst, overlaps(boxes[indices[:1]], boxes[indices])[0])
        kept.append(indices[:1])
        threshold *= eta
        # a later box is held against all that stay by the threshold of its turn
        indices, worst = indices[1:], worst[1:]
        passed = (worst <= threshold).nonzero()[:, 0]
        first = int(passed[0]) if len(passed) else len(indices)
        indices, worst = indices[first:], worst[first:]
    return indices[worst <= threshold], kept, threshold


def _first_come(hits: torch.Tensor) -> torch.Tensor:
    """Mask of those that no earlier one of the mask hits, of an (n, n) relation."""
    matrix = hits.float().triu_(1)
    mask = torch.ones(len(hits), device=hits.device)
    while True:
        # each time one more link of every chain of hits is right, at least
        better = (mask @ matrix == 0).float()
        if torch.equal(mask, better):
            return mask > 0
        mask = better


def first_by_score(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Places of the `count` largest of (n,) scores, largest first; -1: of all.

    Of equal ones the earlier place comes first.
    """
    places = None
    if 0 <= count < len(scores):
        if count == 0:
            return torch.zeros(0, dtype=torch.int64, device=scores.device)
        least = scores.topk(count).values[-1]
        places = (scores >= least).nonzero()[:, 0]
        scores = scores[places]
    order = scores.argsort(descending=True, stable=True)
    if places is not None:
        order = places[order][:count]
    return order
