"""Tests of nets that detect objects: mean average precision, as SSD's solver has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe.engine.net import Net
from caffe.engine.solvers.report import MeanOutputs
from caffe.errors import CheckError
from caffe.glog import log, number

Floats = NDArray[np.float32]
_COLUMNS = 5  # image, label, score, true, false
_SAME = 1e-6  # recalls that differ by no more are one
_VERSIONS = ("11point", "MaxIntegral", "Integral")


def check_evaluation(param: Any) -> None:
    """Refuse evaluations that there are not.

    Parameters
    ----------
    param : SolverParameter

    Raises
    ------
    CheckError
        Naming what there is.
    """
    if param.eval_type not in ("classification", "detection"):
        raise CheckError(
            f"Unknown evaluation type: {param.eval_type}; expected classification or "
            "detection"
        )
    if param.ap_version not in _VERSIONS:
        raise CheckError(
            f"Unknown ap_version: {param.ap_version}; expected one of "
            f"{', '.join(_VERSIONS)}"
        )


def tally(param: Any) -> MeanOutputs:
    """Make what adds up a test, by the solver's ``eval_type``."""
    return AveragePrecisions(param) if param.eval_type == "detection" else MeanOutputs()


def average_precision(
    scores: NDArray[Any], true: NDArray[Any], positives: int, version: str
) -> float:
    """Area under precision over recall.

    Parameters
    ----------
    scores, true : array of shape (n,)
        Of all detections of a class: how sure it is, and 1 if it is true or 0.
    positives : int
        How many there are to be found.
    version : str
        ``"Integral"``: precision times step of recall; ``"MaxIntegral"``: with the
        largest precision of this recall or more; ``"11point"``: the mean of those at
        recall 0, 0.1 .. 1.

    Examples
    --------
    >>> scores, true = np.array([0.9, 0.8, 0.7]), np.array([1, 0, 1])
    >>> versions = ("Integral", "MaxIntegral", "11point")
    >>> [round(average_precision(scores, true, 2, v), 3) for v in versions]
    [0.833, 0.833, 0.848]
    """
    if not len(scores) or not positives:
        return 0.0
    found = np.asarray(true)[np.argsort(-np.asarray(scores), kind="stable")].cumsum()
    precision = (found / np.arange(1, len(found) + 1)).astype(np.float32)
    recall = (found / positives).astype(np.float32)
    if version != "Integral":
        precision = np.maximum.accumulate(precision[::-1])[::-1]
    if version == "11point":
        first = np.searchsorted(recall, np.arange(11) / 10)
        at = np.append(precision, np.float32(0))[first]
        return float((at / np.float32(11)).sum(dtype=np.float32))
    steps = np.diff(recall, prepend=np.float32(0))
    return float((precision * np.where(steps > _SAME, steps, 0)).sum(dtype=np.float32))


class AveragePrecisions(MeanOutputs):
    """Average precision of each class, and their mean, over batches.

    The outputs of the net are what DetectionEvaluate makes.
    """

    def __init__(self, param: Any) -> None:
        super().__init__()
        self._param = param
        self._rows: dict[str, list[Floats]] = {}

    def add(self, net: Net) -> list[tuple[str, float]]:
        """Run a forward, and take its outputs."""
        self._loss += np.float32(net.forward_loss())
        self._batches += 1
        for name in net.outputs:
            rows = net.blobs[name].data
            if rows.shape[-1:] != (_COLUMNS,):
                raise CheckError(
                    f"eval_type is detection, output '{name}' of the test net has "
                    f"shape {rows.shape}: expected 5 numbers a row, as those of "
                    "DetectionEvaluate"
                )
            kept = self._rows.setdefault(name, [])
            kept.append(rows.reshape(-1, _COLUMNS).copy())
        return []

    @property
    def values(self) -> list[tuple[str, float]]:
        """Name and mean average precision of every output."""
        found = []
        for name, rows in self._rows.items():
            classes = self._classes(rows)
            known = [p for p in classes.values() if p is not None]
            precisions = np.array(known, np.float32)
            total = precisions.sum(dtype=np.float32)
            found.append((name, float(total / np.float32(max(len(classes), 1)))))
        return found

    def log_details(self) -> None:
        """Log classes without detections, and with ``show_per_class_result`` others."""
        for rows in self._rows.values():
            for label, precision in self._classes(rows).items():
                if precision is None:
                    text = f"Missing true_pos for label: {label}"
                    log("solver.cpp:519", text, "W")
                elif self._param.show_per_class_result:
                    log("solver.cpp:537", f"class{label}: {number(precision)}")

    def _classes(self, batches: Sequence[Floats]) -> dict[int, float | None]:
        """Average precision by label; None: nothing of the class was detected."""
        rows = np.concatenate(batches)
        heads, rest = rows[rows[:, 0] == -1], rows[rows[:, 0] != -1]
        # who finds a difficult box may be neither true nor false
        rest = rest[(rest[:, 3:] != 0).any(1)]
        found: dict[int, float | None] = {}
        for label in np.unique(heads[:, 1]).tolist():
            own = rest[rest[:, 1] == label]
            count = int(heads[heads[:, 1] == label, 2].sum())
            version = self._param.ap_version
            found[int(label)] = (
                average_precision(own[:, 2], own[:, 3], count, version)
                if len(own)
                else None
            )
        return found
