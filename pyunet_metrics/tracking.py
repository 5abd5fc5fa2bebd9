"""Scores of the Cell Tracking Challenge: SEG, DET, TRA, and the IoU of the U-Net paper.

Truth comes before prediction. Folders are those of the challenge: the truth has
``TRA/man_track*.tif`` with ``TRA/man_track.txt`` and ``SEG/man_seg*.tif``, a result
``mask*.tif`` with ``res_track.txt``.
"""

from __future__ import annotations

import contextlib
import io
import math
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyunet.errors import DataError
from pyunet_metrics.contingency import overlaps

_TRACKS = ["Valid", "DET", "TRA", "LNK"]


def evaluate(truth_dir: str | Path, result_dir: str | Path) -> dict[str, float]:
    """Return the challenge's scores of one sequence, by py-ctcmetrics.

    Parameters
    ----------
    truth_dir : str or Path
        E.g. ``01_GT``, with ``TRA`` and, for SEG, ``SEG``.
    result_dir : str or Path
        E.g. ``01_RES``.

    Returns
    -------
    dict of str to float
        No units.

        - ``SEG``: mean IoU of the truth's objects, as `mean_iou`; NaN without ``SEG``
        - ``DET``, ``TRA``, ``LNK``: 1 less the effort to correct the detections, the
          tracks with their links, the links alone, over that of making all from
          nothing; 0 to 1, 1 is best
        - ``AOGM`` and ``AOGM_0``: both efforts of TRA, weighted sums of ``AOGM_NS``
          (splits, 5), ``AOGM_FN`` (10), ``AOGM_FP`` (1), ``AOGM_ED`` (links too many,
          1), ``AOGM_EA`` (missing, 1.5), ``AOGM_EC`` (of the wrong kind, 1)
        - ``OP_CSB``, ``OP_CTB``: means of SEG with DET and with TRA

    Raises
    ------
    DataError
        A folder or file that is not there, a result that the challenge's validator
        refuses, or py-ctcmetrics is not installed.

    References
    ----------
    M. Maska et al., "The Cell Tracking Challenge: 10 years of objective benchmarking",
    Nature Methods 20, 2023; P. Matula et al., "Cell tracking accuracy measurement
    based on comparison of acyclic oriented graphs", PLoS ONE 10, 2015.

    Examples
    --------
    >>> evaluate("nowhere_GT", "nowhere_RES")
    Traceback (most recent call last):
    pyunet.errors.DataError: nowhere_GT/TRA: no such folder; expected a ground \
truth of the Cell Tracking Challenge
    """
    truth, result = Path(truth_dir), Path(result_dir)
    for path, what in ((truth / "TRA", "a ground truth"), (result, "a result")):
        if not path.is_dir():
            raise DataError(
                f"{path}: no such folder; expected {what} of the Cell Tracking "
                "Challenge"
            )
    has_masks = any((truth / "SEG").glob("*.tif"))
    metrics = ["Valid", "DET", "SEG", "TRA", "LNK"] if has_masks else list(_TRACKS)
    run = _evaluate_sequence()
    try:
        # It prints its answers, and warns of what its validator refuses.
        with (
            _masks_only(result) as folder,
            contextlib.redirect_stdout(io.StringIO()),
            warnings.catch_warnings(record=True) as told,
        ):
            warnings.simplefilter("always", UserWarning)
            scores = run(str(folder), str(truth), metrics, threads=1)
    except (AssertionError, OSError, ValueError, LookupError) as error:
        raise DataError(f"{result} with {truth}: {error}") from error
    if not scores["Valid"]:
        reasons = "; ".join(str(each.message) for each in told[:3])
        raise DataError(f"{result}: is not a valid result: {reasons}")
    return {
        "SEG": math.nan,
        **{name: float(value) for name, value in scores.items()},
    }


def mean_iou(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Return the mean IoU of the truth's objects: SEG, and table 2 of the U-Net paper.

    An object R of the truth and one S of the prediction match if S covers more than
    half of R. The IoU is ``|R and S| / |R or S|`` of the pair, and 0 for an R without
    match; the mean is over the objects of all frames. Objects that were found but are
    not in the truth cost nothing.

    Parameters
    ----------
    truth, prediction : array of int, shape (N, [Z,] Y, X) or (Y, X)
        The number of an object at its pixels, 0 elsewhere. Axis 0 counts frames where
        there are 3 axes or more; an object of each frame is one.

    Returns
    -------
    float
        0 to 1, 1 is best; NaN if the truth has no object; no unit.

    Raises
    ------
    DataError
        Shapes that differ, negative numbers or fractions.

    References
    ----------
    O. Ronneberger, P. Fischer, T. Brox, "U-Net", MICCAI 2015, table 2, gives the
    challenge's SEG as "IOU"; M. Maska et al., Bioinformatics 30, 2014.

    Examples
    --------
    Of two objects, one is found with 1 of 3 pixels too many, the other by half only:

    >>> mean_iou([[1, 1, 0, 2, 2]], [[3, 3, 3, 4, 0]])
    0.3333333333333333
    """
    true, predicted = np.asarray(truth), np.asarray(prediction)
    frames = [(true, predicted)]
    if true.ndim > 2 and true.shape == predicted.shape:
        frames = list(zip(true, predicted, strict=True))
    scores: list[float] = []
    for true_frame, predicted_frame in frames:
        common = overlaps(true_frame, predicted_frame)
        areas = common.truth_areas[:, None]
        matched = 2 * common.shared > areas
        iou = common.shared / (areas + common.prediction_areas - common.shared)
        scores += np.where(matched, iou, 0.0).sum(axis=1).tolist()
    return float(np.mean(scores)) if scores else math.nan


@contextlib.contextmanager
def _masks_only(result: Path) -> Iterator[Path]:
    """Give a folder with the challenge's files only: every image counts as a mask."""
    images = {*result.glob("*.tif")}
    masks = {*result.glob("mask*.tif")}
    if images == masks or not masks:
        yield result
        return
    with tempfile.TemporaryDirectory() as folder:
        for path in (*masks, *result.glob("res_track.txt")):
            shutil.copyfile(path, Path(folder, path.name))
        yield Path(folder)


def _evaluate_sequence() -> Callable[..., dict[str, Any]]:
    try:
        from ctc_metrics import evaluate_sequence
    except ImportError as error:
        raise DataError(
            "scores of the Cell Tracking Challenge need py-ctcmetrics: "
            "pip install pyunet[metrics]"
        ) from error
    run: Callable[..., dict[str, Any]] = evaluate_sequence
    return run
