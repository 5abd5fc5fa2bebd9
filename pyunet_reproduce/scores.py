"""Score predictions by the names that recipes use: ``family.name``.

``ranking.roc_auc``, ``ranking.best_f1``, ...
    `pyunet_metrics.ranking`, pixels of all images pooled, within the field of view.
``overlap.pooled.dice``, ``overlap.per_image.dice``, ...
    `pyunet_metrics.overlap`: class 1 at threshold 0.5, of all pixels, or the mean over
    the images; ``overlap.mean_iou`` is the mean over the classes, pooled,
    ``overlap.objects_iou`` the same without class 0.
``saliency.s_measure``, ``objects.object_dice``, ``distance.hausdorff``, ...
    The mean over the images. Objects are connected regions of class 1.
``isbi2012.v_rand``, ...
    `pyunet_metrics.isbi2012`, all images as one stack.
``cost.gflops``, ``cost.multiply_adds``, ``cost.parameters``
    `caffe.cost` of the net for one image of 512 x 512 pixels, in 10^9 (but
    for the parameters).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from pyunet.errors import DataError
from pyunet_metrics import ranking
from pyunet_metrics.overlap import MEASURES
from pyunet_reproduce.predicting import FINEST, read_predictions
from pyunet_reproduce.readers import Case, Example
from pyunet_reproduce.recipes import Recipe
from pyunet_reproduce.samples import Read

COST_TILE = 512
GIGA = 1e9
Scores = dict[str, float]


@dataclass
class View:
    """One image as metrics want it.

    Attributes
    ----------
    truth, prediction : ndarray of int, shape ([Z,] Y, X)
        Classes; 0 where nothing counts.
    probability : ndarray of float, same shape
        Of class 1 (not class 0, with more classes).
    counts : ndarray of bool, same shape
    objects : ndarray of int32, same shape
        True objects.
    levels : ndarray of int, same shape
        The probability in steps of 1 / 65535.
    """

    truth: NDArray[np.intp]
    prediction: NDArray[np.intp]
    probability: NDArray[np.float64]
    counts: NDArray[np.bool_]
    objects: NDArray[np.int32]
    levels: NDArray[np.intp]

    @classmethod
    def of(cls, example: Example, stored: NDArray[Any]) -> View:
        """Understand a stored prediction."""
        counts = example.counts
        levels = stored.astype(np.intp)
        if stored.dtype == np.uint8:
            prediction, levels = levels, np.where(levels > 0, FINEST, 0)
        else:
            prediction = (levels > FINEST / 2).astype(np.intp)
        truth = np.where(counts, example.classes, 0).astype(np.intp)
        objects = example.instances
        if not objects.any():
            objects = _regions(truth)
        return cls(
            truth,
            np.where(counts, prediction, 0),
            np.where(counts, levels, 0) / FINEST,
            counts,
            objects,
            levels,
        )


@dataclass
class Tally:
    """Adds up the images of a part, keeping no more of them than asked for.

    Attributes
    ----------
    classes : int
    names : set of str
        Full names of the scores.
    """

    classes: int
    names: set[str]
    ranks: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((2, FINEST + 1), np.int64)
    )
    overlaps: list[NDArray[np.int64]] = field(default_factory=list)
    per_image: dict[str, list[Scores]] = field(default_factory=dict)
    stack: list[View] = field(default_factory=list)

    def add(self, view: View) -> None:
        """Take in one image."""
        families = {name.partition(".")[0] for name in self.names}
        if "ranking" in families:
            for positive in (0, 1):
                chosen = view.levels[view.counts & ((view.truth > 0) == positive)]
                self.ranks[positive] += np.bincount(chosen, minlength=FINEST + 1)
        if "overlap" in families:
            self.overlaps.append(_confusion(view, self.classes))
        if "isbi2012" in families:
            self.stack.append(view)
        for family in families & PER_IMAGE.keys():
            self.per_image.setdefault(family, []).append(PER_IMAGE[family](view))

    def result(self) -> Scores:
        """Give the scores of these names."""
        results: Scores = {}
        if self.ranks.any():
            results |= _named("ranking", _ranking(self.ranks))
        if self.overlaps:
            results |= _named("overlap", _overlap(np.array(self.overlaps)))
        if self.stack:
            results |= _named("isbi2012", _isbi(self.stack))
        for family, scores in self.per_image.items():
            means = {name: _mean([each[name] for each in scores]) for name in scores[0]}
            results |= _named(family, means)
        return _chosen(
            {name for name in self.names if not name.startswith("cost.")},
            results,
        )


def evaluate(
    recipe: Recipe,
    cases: Sequence[tuple[str, Case]],
    read: Read,
    *,
    predictions: Path,
    deploy: Path,
) -> dict[str, Scores]:
    """Score the predictions of one run.

    Parameters
    ----------
    recipe : Recipe
    cases : sequence of (str, Case)
        Part and case of all test images.
    read : callable
        Reads a case of a part.
    predictions : Path
        Where `pyunet_reproduce.predicting.predict` put them.
    deploy : Path
        The net, for its cost.

    Returns
    -------
    dict of str to dict of str to float
        Test part ("" is all of them) -> score -> value.

    Raises
    ------
    DataError
        A score that no family has.
    """
    asked = {(fill.part, fill.score) for fill in recipe.fills}
    asked |= {("", name) for name in recipe.also}
    tallies = {
        part: Tally(recipe.labels.classes, {name for of, name in asked if of == part})
        for part in {of for of, _ in asked}
    }
    stored = read_predictions(predictions, cases)
    for (part, case), values in zip(cases, stored, strict=True):
        view = View.of(read(part, case), values)
        for name in {"", part} & tallies.keys():
            tallies[name].add(view)
    results = {part: tally.result() for part, tally in tallies.items()}
    costs = [(part, name) for part, name in asked if name.startswith("cost.")]
    costs_of_net = net_cost(deploy) if costs else {}
    for part, name in costs:
        results[part][name] = _chosen({name}, costs_of_net)[name]
    return results


def net_cost(deploy: Path) -> Scores:
    """Give what a net costs for one image of 512 x 512 pixels (512 each axis)."""
    import caffe

    net = caffe.Net(str(deploy), caffe.TEST)
    tile = (axis.input_for(COST_TILE) for axis in caffe.geometry(net).axes)
    net_costs = caffe.cost(net, {"data": (*net.blobs["data"].shape[:2], *tile)})
    return _named(
        "cost",
        {
            "gflops": net_costs.gflops,
            "multiply_adds": net_costs.multiply_adds / GIGA,
            "parameters": float(net_costs.parameters),
        },
    )


def _ranking(counted: NDArray[np.int64]) -> Scores:
    present = counted.any(axis=0)
    negatives, positives = (row[present][::-1] for row in counted)
    ranks = ranking.Ranking(
        np.flatnonzero(present)[::-1] / FINEST,
        np.cumsum(positives),
        np.cumsum(negatives),
    )
    f1, threshold = ranks.best_f1()
    return {
        "roc_auc": ranks.roc_auc(),
        "average_precision": ranks.average_precision(),
        "pr_auc": ranks.pr_auc(),
        "best_f1": f1,
        "best_f1_threshold": threshold,
    }


def _confusion(view: View, classes: int) -> NDArray[np.int64]:
    """Count true and false positives and negatives of each class, shape (4, K)."""
    truth, prediction = view.truth[view.counts], view.prediction[view.counts]
    tp = np.bincount(truth[truth == prediction], minlength=classes)
    true = np.bincount(truth, minlength=classes)
    positive = np.bincount(prediction, minlength=classes)
    return np.array([tp, positive - tp, true - tp, truth.size - true - positive + tp])


def _overlap(counts: NDArray[np.int64]) -> Scores:
    pooled = counts.sum(axis=0)
    scores: Scores = {}
    for name, rule in MEASURES.items():
        scores[f"pooled.{name}"] = float(rule(*pooled)[1])
        scores[f"per_image.{name}"] = _mean(rule(*counts.swapaxes(0, 1))[:, 1])
    iou = MEASURES["iou"](*pooled)
    scores["mean_iou"] = _mean(iou)
    scores["objects_iou"] = _mean(iou[1:])
    return scores


def _isbi(views: list[View]) -> Scores:
    from pyunet_metrics import isbi2012

    shapes = {view.truth.shape for view in views}
    if len(shapes) > 1:
        raise DataError(
            f"images of {len(shapes)} sizes; expected one size for the stack"
        )
    return isbi2012.evaluate(
        np.stack([view.truth for view in views]),
        np.stack([view.probability for view in views]),
    )


def _saliency(view: View) -> Scores:
    from pyunet_metrics import saliency

    # 8 bits, as maps are stored for these measures
    grey = np.rint(view.probability * 255).astype(np.uint8)
    return saliency.evaluate(view.truth > 0, grey)


def _objects(view: View) -> Scores:
    from pyunet_metrics import objects

    predicted = _regions(view.prediction)
    scores = objects.evaluate(view.objects[None], predicted[None])["per_image"]
    return {name: float(values[0]) for name, values in scores.items()}


def _distance(view: View) -> Scores:
    from pyunet_metrics import distance

    return distance.evaluate(view.truth > 0, view.prediction > 0)


def _mean(values: ArrayLike) -> float:
    """Give the mean of the numbers that are defined."""
    defined = np.asarray(values, np.float64)
    defined = defined[~np.isnan(defined)]
    return float(defined.mean()) if defined.size else math.nan


def _regions(classes: NDArray[np.intp]) -> NDArray[np.int32]:
    return np.asarray(ndimage.label(classes > 0)[0], np.int32)


def _chosen(names: set[str], scores: Scores) -> Scores:
    missing = sorted(names - scores.keys())
    if missing:
        raise DataError(f"score {missing[0]}; expected one of {', '.join(scores)}")
    return {name: scores[name] for name in sorted(names)}


def _named(family: str, scores: Scores) -> Scores:
    return {f"{family}.{name}": value for name, value in scores.items()}


PER_IMAGE: dict[str, Callable[[View], Scores]] = {
    "saliency": _saliency,
    "objects": _objects,
    "distance": _distance,
}


def mean_and_spread(values: Iterable[float]) -> tuple[float, float]:
    """Give the mean and the standard deviation (of a sample; 0 for one value).

    >>> mean_and_spread([1.0, 3.0])
    (2.0, 1.4142135623730951)
    """
    array = np.array(list(values), np.float64)
    return float(array.mean()), float(array.std(ddof=1)) if array.size > 1 else 0.0
