"""Non-maximum suppression as OpenCV's functions of that name do it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from caffe.engine.boxes import first_by_score, suppressed
from caffe.errors import CheckError

Indices = NDArray[np.int32] | tuple[()]
_SIDES = 4


def NMSBoxes(
    bboxes: Any,
    scores: Any,
    score_threshold: float,
    nms_threshold: float,
    eta: float = 1.0,
    top_k: int = 0,
) -> Indices:
    """Choose boxes, best first, that overlap with no better one.

    Parameters
    ----------
    bboxes : (n, 4) array-like
        x, y, width and height of each.
    scores : (n,) array-like
    score_threshold : float
        Boxes up to this score are left out.
    nms_threshold : float
        Two boxes are one if their intersection over union is more than this.
    eta : float, default 1
        Below 1: what the threshold is multiplied by after each box that stays, while
        it is above 0.5.
    top_k : int, default 0
        How many of the best boxes are looked at; 0: all.

    Returns
    -------
    (k,) array of int32
        Numbers of the boxes; an empty tuple if there are none.

    Raises
    ------
    CheckError
        If there are not as many scores as boxes, or a threshold is below 0.

    Examples
    --------
    >>> boxes = [[0, 0, 10, 10], [1, 1, 10, 10], [50, 50, 5, 5]]
    >>> NMSBoxes(boxes, [0.8, 0.9, 0.7], 0.5, 0.4).tolist()
    [1, 2]
    """
    corners, values = _checked(bboxes, scores, score_threshold, nms_threshold)
    nms_threshold = _rounded(nms_threshold)
    best = _candidates(corners, values, score_threshold, nms_threshold, top_k)
    return _given(best[suppressed(corners[best], nms_threshold, eta)])


def NMSBoxesBatched(
    bboxes: Any,
    scores: Any,
    class_ids: Sequence[int],
    score_threshold: float,
    nms_threshold: float,
    eta: float = 1.0,
    top_k: int = 0,
) -> Indices:
    """Do so among the boxes of each class.

    Parameters
    ----------
    bboxes, scores, score_threshold, nms_threshold, eta, top_k
        As for `NMSBoxes`; `top_k` counts boxes of all classes.
    class_ids : (n,) array-like of int

    Returns
    -------
    (k,) array of int32
        Best first.
    """
    corners, values = _checked(bboxes, scores, score_threshold, nms_threshold)
    nms_threshold = _rounded(nms_threshold)
    classes = torch.as_tensor(np.asarray(class_ids, np.int64))
    if len(classes) != len(values):
        raise CheckError(f"{len(classes)} class_ids are given for {len(values)} boxes")
    best = _candidates(corners, values, score_threshold, nms_threshold, top_k)
    kept = [
        of_class[suppressed(corners[of_class], nms_threshold, eta)]
        for of_class in (best[classes[best] == label] for label in classes.unique())
    ]
    chosen = torch.cat(kept) if kept else best
    return _given(chosen[first_by_score(values[chosen], -1)])


def _checked(
    bboxes: Any, scores: Any, score_threshold: float, nms_threshold: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give boxes by their corners, and scores in single precision."""
    boxes = np.asarray(bboxes, np.float64).reshape(-1, _SIDES)
    values = np.asarray(scores, np.float32).ravel()
    if len(boxes) != len(values):
        raise CheckError(f"{len(values)} scores are given for {len(boxes)} boxes")
    if score_threshold < 0 or nms_threshold < 0:
        raise CheckError(
            f"score_threshold is {score_threshold:g}, nms_threshold "
            f"{nms_threshold:g}: expected 0 or more"
        )
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    return torch.from_numpy(corners), torch.from_numpy(values)


def _rounded(threshold: float) -> float:
    """Most overlap that OpenCV, in single precision, takes for up to a threshold.

    It computes the difference of the overlap and 1, which decides where overlaps of
    whole numbers are just the threshold.
    """
    most, one = np.float32(threshold), np.float32(1)
    least: np.float32 = one - most
    if one - least > most:
        least = np.nextafter(least, one)
    below = np.nextafter(least, np.float32(-np.inf))
    return 1 - (float(least) + float(below)) / 2


def _candidates(
    corners: torch.Tensor,
    values: torch.Tensor,
    least: float,
    threshold: float,
    top_k: int,
) -> torch.Tensor:
    """Boxes above the least score, best first."""
    above = values.gt(float(np.float32(least))).nonzero()[:, 0]
    places = above[first_by_score(values[above], top_k or -1)]
    boxes = corners[places]
    flat = (boxes[:, 2:] <= boxes[:, :2]).any(1)
    if threshold < 1:  # OpenCV takes two boxes without area for one
        flat &= flat.cumsum(0) > 1
        places = places[~flat]
    return places


def _given(kept: torch.Tensor) -> Indices:
    return kept.numpy().astype(np.int32) if len(kept) else ()
