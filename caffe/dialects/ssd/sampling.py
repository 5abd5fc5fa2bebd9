"""Boxes of an image under crops, mirrors and changes of size, and crops by chance.

Annotations are rows (G, 8) of float32 as MultiBoxLoss takes them: image, label,
instance, left, top, right, bottom, difficult.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from caffe.engine.boxes import areas, overlaps
from caffe.errors import CheckError

Floats = NDArray[np.float32]
BOX = slice(3, 7)
WHOLE = (0.0, 0.0, 1.0, 1.0)


def projected(rows: Floats, window: Sequence[float], emit: Any = None) -> Floats:
    """Boxes in parts of a window, cut to it; those outside are left out.

    Parameters
    ----------
    window : left, top, right, bottom
    emit : EmitConstraint, optional
        Leave out also those whose centre is outside, or of which too little is inside.
    """
    corners = np.array(window, np.float32)
    start, end = np.tile(corners[:2], 2), np.tile(corners[2:], 2)
    boxes = rows[:, BOX]
    kept = np.ones(len(rows), np.bool_)
    if emit is not None:
        kept = _emitted(boxes, window, emit)
    new = ((boxes - start) / (end - start)).clip(0, 1)
    kept &= ((new[:, 2:] - new[:, :2]) > 0).all(1)
    rows = rows[kept]
    rows[:, BOX] = new[kept]
    return rows


def mirrored(rows: Floats) -> Floats:
    """Boxes of the mirrored image."""
    rows = rows.copy()
    rows[:, 3], rows[:, 5] = 1 - rows[:, 5], 1 - rows[:, 3]
    return rows


def _emitted(boxes: Floats, window: Sequence[float], emit: Any) -> NDArray[np.bool_]:
    start, end = np.array(window[:2], np.float32), np.array(window[2:], np.float32)
    if emit.emit_type == emit.CENTER:
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        centred: NDArray[np.bool_] = np.all(
            (centres >= start) & (centres <= end), axis=1
        )
        return centred
    covered = _covered(boxes, np.array([window], np.float32))[:, 0]
    enough: NDArray[np.bool_] = covered > emit.emit_overlap
    return enough


def _covered(boxes: Floats, others: Floats) -> Floats:
    """Which part (n, m) of each box is covered by each of the others."""
    first = np.maximum(boxes[:, None, :2], others[:, :2])
    last = np.minimum(boxes[:, None, 2:], others[:, 2:])
    shared = (last - first).clip(min=0).prod(2)
    own = areas(torch.from_numpy(boxes)).numpy()[:, None]
    covered: Floats = np.divide(shared, own, out=np.zeros_like(shared), where=own > 0)
    return covered


def draw_windows(
    rows: Floats, samplers: Sequence[Any], rng: np.random.Generator
) -> Floats:
    """Draw the windows (n, 4) that samplers accept.

    Parameters
    ----------
    samplers : sequence of BatchSampler
        Each draws up to ``max_trials`` windows and takes the first ``max_sample`` that
        meet its constraints; one of the boxes has to meet all of them.
    """
    found = [np.zeros((0, 4), np.float32)]
    for sampler in samplers:
        if sampler.use_original_image:
            windows = _windows(sampler.sampler, sampler.max_trials, rng)
            windows = windows[_meets(windows, rows[:, BOX], sampler.sample_constraint)]
            most = sampler.max_sample if sampler.HasField("max_sample") else None
            found.append(windows[:most])
    return np.concatenate(found)


def _windows(sampler: Any, count: int, rng: np.random.Generator) -> Floats:
    scales = sampler.min_scale, sampler.max_scale
    ratios = sampler.min_aspect_ratio, sampler.max_aspect_ratio
    if not 0 < scales[0] <= scales[1] <= 1 or not 0 < ratios[0] <= ratios[1]:
        raise CheckError(
            f"sampler has scales {scales[0]:g} to {scales[1]:g} and aspect ratios "
            f"{ratios[0]:g} to {ratios[1]:g}: expected rising ones above 0, scales up "
            "to 1"
        )
    scale = rng.uniform(*scales, count)
    ratio = rng.uniform(*ratios, count)
    ratio = np.minimum(np.maximum(ratio, scale**2), 1 / scale**2)
    sizes = scale[:, None] * np.stack([np.sqrt(ratio), 1 / np.sqrt(ratio)], 1)
    start = rng.uniform(0, 1, (count, 2)) * (1 - sizes)
    windows: Floats = np.concatenate([start, start + sizes], 1).astype(np.float32)
    return windows


def _meets(windows: Floats, boxes: Floats, constraint: Any) -> NDArray[np.bool_]:
    """Mask of the windows for which a box meets every constraint that is given."""
    measures = {
        "jaccard_overlap": lambda: overlaps(
            torch.from_numpy(windows), torch.from_numpy(boxes.copy())
        ).numpy(),
        "sample_coverage": lambda: _covered(windows, boxes),
        "object_coverage": lambda: _covered(boxes.copy(), windows).T,
    }
    good = np.ones((len(windows), len(boxes)), np.bool_)
    limited = False
    for name, measure in measures.items():
        least, most = f"min_{name}", f"max_{name}"
        if constraint.HasField(least) or constraint.HasField(most):
            limited = True
            values = measure()
            if constraint.HasField(least):
                good &= values >= getattr(constraint, least)
            if constraint.HasField(most):
                good &= values <= getattr(constraint, most)
    met: NDArray[np.bool_] = np.any(good, axis=1) | (not limited)
    return met
