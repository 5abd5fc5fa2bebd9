"""Labels, the steps that they belong to, and how far sequences are apart."""

from __future__ import annotations

import torch
from torch.nn import functional

NEVER = -1e30  # logarithm of a probability of 0 whose gradient is a number


def lengths(indicators: torch.Tensor) -> torch.Tensor:
    """Count the steps of each sequence: up to the next 0, which begins another one."""
    begins = indicators == 0
    begins[0] = False
    steps = torch.arange(len(begins), device=begins.device)[:, None]
    return steps.where(begins, len(begins)).amin(0)


def until(ends: torch.Tensor) -> torch.Tensor:
    """Count the labels before the first that is an end (T, N): (N,)."""
    return (~ends).cumprod(0).sum(0)


def collapsed(
    labels: torch.Tensor, counts: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels (T, N) of which equal neighbours are one, and their new numbers."""
    steps = torch.arange(len(labels), device=labels.device)[:, None]
    kept = steps < counts
    kept[1:] &= labels[1:] != labels[:-1]
    order = (~kept).int().argsort(dim=0, stable=True)
    return labels.gather(0, order), kept.sum(0)


def costs(
    scores: torch.Tensor,
    lengths: torch.Tensor,
    labels: torch.Tensor,
    counts: torch.Tensor,
    blank: int,
    *,
    merge: bool,
) -> torch.Tensor:
    """Negative logarithm of the probability of each sequence's labels: (N,).

    Parameters
    ----------
    scores : (T, N, classes), before the softmax
    lengths, counts : (N,), of the steps and of the labels that count
    labels : (L, N)
    blank : int
    merge : bool
        Equal neighbours are one unless a blank is between them.
    """
    states = 2 * len(labels) + 1
    path = labels.new_full((labels.shape[1], states), blank)
    path[:, 1::2] = labels.t()
    logs = scores.log_softmax(2).gather(2, path.expand(len(scores), *path.shape))
    label = path != blank
    may_stay = label.logical_not() | merge
    may_jump = label.clone()
    may_jump[:, :2] = False
    if merge:
        may_jump[:, 2:] &= path[:, 2:] != path[:, :-2]
    numbers = torch.arange(states, device=path.device)
    alpha = logs[0].where(numbers < 2, NEVER)
    last = [alpha]
    for log in logs[1:]:
        before = functional.pad(alpha, (2, 0), value=NEVER)
        ways = torch.stack(
            [
                alpha.where(may_stay, NEVER),
                before[:, 1:-1],
                before[:, :-2].where(may_jump, NEVER),
            ]
        )
        alpha = ways.logsumexp(0) + log
        last.append(alpha)
    samples = torch.arange(len(path), device=path.device)
    end = torch.stack(last)[lengths - 1, samples]
    final = end.gather(1, 2 * counts[:, None])
    before = end.gather(1, (2 * counts[:, None] - 1).clamp(min=0))
    before = before.where(counts[:, None] > 0, NEVER)
    return -torch.cat([final, before], 1).logsumexp(1)


def edit_distances(
    first: torch.Tensor,
    first_counts: torch.Tensor,
    second: torch.Tensor,
    second_counts: torch.Tensor,
) -> torch.Tensor:
    """Levenshtein's distances of the beginnings of rows: (N,)."""
    samples = torch.arange(len(first), device=first.device)
    columns = torch.arange(second.shape[1] + 1, device=first.device)
    row = columns.expand(len(first), -1)
    rows = [row]
    for i, label in enumerate(first.t(), 1):
        replaced = row[:, :-1] + (second != label[:, None]).long()
        least = torch.minimum(row[:, 1:] + 1, replaced)
        least = functional.pad(least, (1, 0), value=i)
        # insertions: each column from any before it, one step dearer a column
        row = (least - columns).cummin(1).values + columns
        rows.append(row)
    return torch.stack(rows)[first_counts, samples, second_counts]
