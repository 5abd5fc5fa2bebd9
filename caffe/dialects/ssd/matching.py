"""Which prior box stands for which true box, and which for none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from caffe.engine.boxes import first_by_score, overlaps, suppressed
from caffe.engine.layers.shared import as_labels
from caffe.errors import CheckError

NONE, LEFT_OUT = -1, -2  # a prior of no true box; one that counts as nothing
_TOUCH = 1e-6  # boxes that overlap by no more than this do not overlap


@dataclass(frozen=True)
class Truths:
    """True boxes of a batch.

    Attributes
    ----------
    images, labels : (G,) tensor of int64
    boxes : (G, 4) tensor
    """

    images: torch.Tensor
    labels: torch.Tensor
    boxes: torch.Tensor

    @classmethod
    def read(cls, rows: torch.Tensor, *, difficult: bool, background: int) -> Truths:
        """Take the rows of a bottom of labels.

        Parameters
        ----------
        rows : (G, 8) tensor
            Image, label, instance, left, top, right, bottom, difficult; rows of image
            -1 are empty.
        difficult : bool
            Whether difficult boxes are taken.
        background : int
            Class that no box may have.

        Raises
        ------
        CheckError
            If one has.
        """
        kept = rows[:, 0] != NONE
        labels = as_labels(rows[:, 1])
        if (kept & (labels == background)).any():
            raise CheckError(
                f"a true box has label {background}: expected another one, as this is "
                "the background"
            )
        if not difficult:
            kept &= rows[:, 7] == 0
        rows = rows[kept]
        return cls(as_labels(rows[:, 0]), labels[kept], rows[:, 3:7])

    def of_image(self, image: int) -> torch.Tensor:
        """Places of the boxes of an image."""
        return (self.images == image).nonzero()[:, 0]


def match(
    truths: torch.Tensor, boxes: torch.Tensor, options: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Match the boxes of priors to the true ones of an image.

    First every true box gets the one that overlaps with it most, the largest overlap
    first; with ``match_type`` PER_PREDICTION each of the others then gets the true box
    that it overlaps with most, by ``overlap_threshold`` at least.

    Parameters
    ----------
    truths : (G, 4) tensor
    boxes : (P, 4) tensor
    options : MultiBoxLossParameter

    Returns
    -------
    matched : (P,) tensor of int64
        Which true box; -1: none, -2: none, and the box shall not count
        (``ignore_cross_boundary_bbox``).
    most : (P,) tensor
        Largest overlap, or that with the true box that was given first.
    """
    matched = torch.full((len(boxes),), NONE, device=boxes.device)
    if not len(truths):
        return matched, boxes.new_zeros(len(boxes))
    shared = overlaps(truths, boxes)
    shared[shared <= _TOUCH] = 0
    if options.ignore_cross_boundary_bbox:
        crossing = ((boxes < 0) | (boxes > 1)).any(1)
        shared[:, crossing] = 0
    most, which = shared.max(0)
    if options.match_type == options.PER_PREDICTION:
        near = (most > 0) & (most >= options.overlap_threshold)
        matched = torch.where(near, which, matched)
    if options.ignore_cross_boundary_bbox:
        matched[crossing] = LEFT_OUT
    for box, truth, overlap in _pairs(shared):
        matched[box] = truth
        most[box] = overlap
    return matched, most


def _pairs(shared: torch.Tensor) -> Iterator[tuple[int, int, float]]:
    """Boxes and truths of the largest overlaps (G, P) in turn, each used once.

    Of equal overlaps that of the first box, and of the first truth, counts. What is
    used is set to 0.
    """
    best, columns = shared.max(1)
    for _ in range(len(shared)):
        tied = best == best.max()
        truth = int(torch.where(tied, columns, shared.shape[1]).argmin())
        box, overlap = int(columns[truth]), float(best[truth])
        if overlap <= 0:
            break
        yield box, truth, overlap
        shared[:, box] = 0
        best[truth] = 0
        stale = ((columns == box) & (best > 0)).nonzero()[:, 0]
        if len(stale):
            best[stale], columns[stale] = shared[stale].max(1)


def mine(
    matched: torch.Tensor,
    most: torch.Tensor,
    losses: torch.Tensor,
    boxes: torch.Tensor,
    options: Any,
) -> torch.Tensor:
    """Choose the priors of an image that are hard.

    Parameters
    ----------
    matched, most : (P,) tensor
        As `match` gives them.
    losses : (P,) tensor
    boxes : (P, 4) tensor
        For the suppression that ``nms_param`` asks for.
    options : MultiBoxLossParameter

    Returns
    -------
    (P,) tensor of bool
        The chosen ones.
    """
    hard = options.mining_type == options.HARD_EXAMPLE
    eligible = torch.ones_like(matched, dtype=torch.bool)
    if not hard:
        eligible = (matched == NONE) & (most < options.neg_overlap)
    places = eligible.nonzero()[:, 0]
    count = options.sample_size
    if not hard:
        count = int(int((matched > NONE).sum()) * options.neg_pos_ratio)
    count = min(count, len(places))
    nms = options.nms_param
    if options.HasField("nms_param") and nms.nms_threshold > 0:
        places = places[first_by_score(losses[places], nms.top_k)]
        places = places[suppressed(boxes[places], nms.nms_threshold)][:count]
    else:
        places = places[first_by_score(losses[places], count)]
    chosen = torch.zeros_like(eligible)
    chosen[places] = True
    return chosen
