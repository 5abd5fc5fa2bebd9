"""Whole families of metrics of one stack: of all images, and of each.

What each number means stands in the module of its family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyunet.errors import DataError
from pyunet_metrics import distance, isbi2012, objects, overlap, ranking, saliency
from pyunet_metrics import warping as warps
from pyunet_metrics.curves import Curves

Numbers = dict[str, float]


@dataclass(frozen=True)
class Pair:
    """A truth and a prediction, in every form that a family may want.

    Attributes
    ----------
    truth, classes : array of int, shape (Z, Y, X)
        Classes of the truth, and as predicted.
    count : int
        How many classes there are.
    probability : array of float, shape (Z, Y, X)
        Of being inside (not class 0), as predicted.
    truth_objects, objects : array of int, shape (Z, Y, X)
        Object numbers, 0 is none.
    field : array of bool, shape (Z, Y, X), optional
        The pixels that `overlap` and `ranking` count.
    element_size : tuple of float
        Size of a pixel along (Y, X), or along (Z, Y, X): then `distance` takes the
        stack for one volume. Empty: 1 along (Y, X).
    """

    truth: NDArray[Any]
    classes: NDArray[Any]
    count: int
    probability: NDArray[Any]
    truth_objects: NDArray[Any]
    objects: NDArray[Any]
    field: NDArray[np.bool_] | None = None
    element_size: tuple[float, ...] = ()

    @property
    def is_volume(self) -> bool:
        """Whether the stack is one volume."""
        return len(self.element_size) == 3


@dataclass(frozen=True)
class Scores:
    """The scores of one family.

    Attributes
    ----------
    pooled : dict of str to float
        Of all images together; for `distance` and ``object_hausdorff`` the mean.
    per_image : dict of str to list of float
        Of each image; may lack some names.
    per_class : dict of str to list of float
        Of each class, pooled; only of `overlap`.
    """

    pooled: Numbers
    per_image: dict[str, list[float]]
    per_class: dict[str, list[float]]


def _isbi(pair: Pair) -> Scores:
    inside = pair.truth > 0
    curves = Curves(inside, pair.probability, progress=True)
    counted = warps.counts(inside, pair.probability, progress=True)
    warped = isbi2012.warping_summary(counted, inside.size)
    best = int(counted[..., 0].sum(axis=1).argmin())
    each = {
        name: getattr(curves, name)().slices
        for name in ("pixel_error", "rand_error", "v_rand", "v_info")
    }
    each["warping_error"] = (counted[best, :, 0] / inside[0].size).tolist()
    return Scores(isbi2012.summary(curves) | warped, each, {})


def _overlap(pair: Pair) -> Scores:
    """Give the numbers of class 1 of two classes; of more, means over the classes."""
    scores = overlap.evaluate(pair.truth, pair.classes, pair.count, mask=pair.field)

    def one(of_class: NDArray[np.float64]) -> float:
        return float(of_class[1]) if pair.count == 2 else overlap.mean(of_class)

    pooled = {name: one(of_class) for name, of_class in scores["pooled"].items()}
    pooled["mean_iou"] = overlap.mean(scores["pooled"]["iou"])
    each = {name: [*map(one, rows)] for name, rows in scores["per_image"].items()}
    each["mean_iou"] = [overlap.mean(row) for row in scores["per_image"]["iou"]]
    return Scores(
        pooled, each, {name: row.tolist() for name, row in scores["pooled"].items()}
    )


def _ranking(pair: Pair) -> Scores:
    field = np.ones(pair.truth.shape, bool) if pair.field is None else pair.field
    pooled = ranking.evaluate(pair.truth, pair.probability, mask=field)
    images = zip(pair.truth, pair.probability, field, strict=True)
    each = [ranking.evaluate(truth, map_, mask=mask) for truth, map_, mask in images]
    return Scores(pooled, _columns(each), {})


def _distance(pair: Pair) -> Scores:
    true, predicted = pair.truth > 0, pair.classes > 0
    if pair.is_volume:
        pooled = distance.evaluate(true, predicted, element_size=pair.element_size)
        return Scores(pooled, {}, {})
    each = [
        distance.evaluate(*images, element_size=pair.element_size)
        for images in zip(true, predicted, strict=True)
    ]
    columns = _columns(each)
    return Scores({n: float(np.mean(c)) for n, c in columns.items()}, columns, {})


def _objects(pair: Pair) -> Scores:
    true, predicted = pair.truth_objects, pair.objects
    if pair.is_volume:
        true, predicted = true[None], predicted[None]
    scores = objects.evaluate(true, predicted, element_size=pair.element_size)
    return Scores(scores["pooled"], {} if pair.is_volume else scores["per_image"], {})


def _saliency(pair: Pair) -> Scores:
    true = pair.truth > 0
    images = zip(true, pair.probability, strict=True)
    each = [saliency.evaluate(*image) for image in images]
    return Scores(saliency.evaluate(true, pair.probability), _columns(each), {})


def _columns(rows: Sequence[Numbers]) -> dict[str, list[float]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


FAMILIES: Mapping[str, Callable[[Pair], Scores]] = {
    "isbi": _isbi,
    "overlap": _overlap,
    "ranking": _ranking,
    "distance": _distance,
    "objects": _objects,
    "saliency": _saliency,
}


def score(pair: Pair, families: Sequence[str]) -> dict[str, Scores]:
    """Return the scores of some families.

    Parameters
    ----------
    pair : Pair
    families : sequence of str
        Of `FAMILIES`.

    Returns
    -------
    dict of str to Scores

    Raises
    ------
    DataError
        Another family, or what the functions of a family refuse.

    Examples
    --------
    >>> mask = np.array([[[0, 1, 1], [0, 0, 0]]])
    >>> pair = Pair(mask, mask, 2, mask / 2, mask, mask)
    >>> scores = score(pair, ["overlap", "ranking"])
    >>> scores["overlap"].pooled["dice"], scores["ranking"].per_image["roc_auc"]
    (1.0, [1.0])
    """
    unknown = [name for name in families if name not in FAMILIES]
    if unknown:
        raise DataError(
            f"metrics {', '.join(unknown)}: expected some of {', '.join(FAMILIES)}"
        )
    return {name: FAMILIES[name](pair) for name in families}
