"""Counts of all rules over thresholds and slices, as the ISBI 2012 program makes them.

In the truth 0 is membrane and everything else inside; a prediction is the probability
of inside. Slices are independent of each other: no object continues in the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from tqdm import tqdm

from pyunet.errors import DataError
from pyunet_metrics.contingency import (
    Contingency,
    contingency,
    f_score,
    information_score,
    pair_counts,
    square_counts,
)
from pyunet_metrics.thinning import border_thinning


def thresholds(step: float, largest: float) -> tuple[float, ...]:
    """Return 0, step, ... by repeated addition, as the official program does."""
    values = [0.0]
    while values[-1] + step <= largest:
        values.append(values[-1] + step)
    return tuple(values)


THRESHOLDS = thresholds(0.1, 1.0)


class _Cut:
    """One slice at one threshold, with what several metrics need of it."""

    def __init__(
        self, truth: NDArray[np.bool_], objects: NDArray[np.bool_], prediction: Any
    ) -> None:
        self.truth = truth  # above 0: what the pixel error means by inside
        self.objects = objects  # above the threshold: what all others mean
        self.prediction = prediction

    def same_as(self, other: _Cut | None) -> bool:
        """Return whether nothing changed since another threshold."""
        return (
            other is not None
            and _equal(self.objects, other.objects)
            and _equal(self.prediction, other.prediction)
        )

    @cached_property
    def _labels(self) -> NDArray[np.int32]:
        return np.asarray(ndimage.label(self.objects)[0])

    @cached_property
    def components(self) -> Contingency:
        return contingency(self._labels, ndimage.label(self.prediction)[0])

    @cached_property
    def thinned(self) -> Contingency:
        return contingency(self._labels, border_thinning(self.prediction))

    def pixel_counts(self) -> tuple[float, ...]:
        tp = np.count_nonzero(self.truth & self.prediction)
        fp = np.count_nonzero(self.prediction) - tp
        fn = np.count_nonzero(self.truth) - tp
        return float(tp), float(self.truth.size - tp - fp - fn), float(fp), float(fn)


Rule = Callable[[_Cut], Sequence[float]]
RULES: Mapping[str, Rule] = {
    "pixel": _Cut.pixel_counts,
    "rand": lambda cut: square_counts(cut.components),
    "rand_2014": lambda cut: pair_counts(cut.components),
    "rand_classic": lambda cut: pair_counts(cut.components, background=True),
    "v_rand": lambda cut: square_counts(cut.thinned),
    "v_info": lambda cut: (information_score(cut.thinned),),
}


@dataclass(frozen=True)
class Best:
    """A metric at the threshold where it is best over the whole stack.

    Attributes
    ----------
    value : float
        The score (1 is best) or, for the metrics called errors, the error (0 is).
    threshold : float or None
        Where it was reached; None where no threshold gave a score above 0.
    slices : list of float
        The same of each slice alone at that threshold; for the metrics that pool
        their counts over the slices these do not average to `value`.
    """

    value: float
    threshold: float | None
    slices: list[float]


class Curves:
    """Counts of every rule, threshold and slice, and the scores made of them.

    Parameters
    ----------
    truth, prediction : array, shape (Y, X) or (Z, Y, X)
        See the module.
    rules : sequence of str, optional
        Which of `RULES` to follow; default all.
    progress : bool, default False
        Show a bar on stderr if that is a terminal.

    Raises
    ------
    DataError
        Shapes that differ or have not 2 or 3 axes, no pixels, NaN.

    Examples
    --------
    >>> Curves([[1, 1, 0, 1]], [[0.9, 0.6, 0.15, 0.9]], ["pixel"]).pixel_error()
    Best(value=0.0, threshold=0.2, slices=[0.0])
    """

    def __init__(
        self,
        truth: ArrayLike,
        prediction: ArrayLike,
        rules: Sequence[str] = tuple(RULES),
        *,
        progress: bool = False,
    ) -> None:
        slices = list(zip(*stacks(truth, prediction), strict=True))
        by_rule: dict[str, list[list[Sequence[float]]]] = {rule: [] for rule in rules}
        hide = None if progress else True
        for true, cut in tqdm(slices, "scoring", unit="slice", disable=hide):
            for rule, values in _of_slice(true, cut, rules).items():
                by_rule[rule].append(values)
        self.counts = {
            rule: np.array(values).swapaxes(0, 1) for rule, values in by_rule.items()
        }

    def pixel_error(self) -> Best:
        """Return `pixel_error`."""
        return self._error("pixel")

    def rand_error(self, form: str = "rand") -> Best:
        """Return `rand_error`; the form is "rand", "rand_2014" or "rand_classic"."""
        return self._error(form)

    def v_rand(self, *, binary: bool = False) -> Best:
        """Return `v_rand`, or what threshold 0 alone gives."""
        return self._mean(f_score(self.counts["v_rand"]), binary)

    def v_info(self, *, binary: bool = False) -> Best:
        """Return `v_info`, or what threshold 0 alone gives."""
        return self._mean(self.counts["v_info"][..., 0], binary)

    def _error(self, rule: str) -> Best:
        counts = self.counts[rule]
        place, score = _maximum(f_score(counts.sum(axis=1)))
        slices = f_score(counts[place or 0])
        return Best(1 - score, _threshold(place), (1 - slices).tolist())

    def _mean(self, scores: NDArray[np.float64], binary: bool) -> Best:
        place, score = _maximum(scores[: 1 if binary else None].mean(axis=1))
        return Best(score, _threshold(place), scores[place or 0].tolist())


def stacks(
    truth: ArrayLike, prediction: ArrayLike
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return both as stacks (Z, Y, X) of one shape, without NaN; raise DataError."""
    true, predicted = np.asarray(truth), np.asarray(prediction)
    if true.shape != predicted.shape or true.ndim not in (2, 3) or not true.size:
        raise DataError(
            f"truth of shape {true.shape} and prediction of shape {predicted.shape}: "
            "expected the same shape for both, (Y, X) or (Z, Y, X)"
        )
    for name, array in (("truth", true), ("prediction", predicted)):
        if np.isnan(array).any():
            raise DataError(f"the {name} has NaN values; expected numbers")
    shape = (-1, *true.shape[-2:])
    return true.reshape(shape), predicted.reshape(shape)


def _of_slice(
    truth: NDArray[Any], prediction: NDArray[Any], rules: Sequence[str]
) -> dict[str, list[Sequence[float]]]:
    """Return the counts of one slice at all thresholds.

    Values are compared as the official program does: rounded to float32, then as
    doubles.
    """
    values: dict[str, list[Sequence[float]]] = {rule: [] for rule in rules}
    last: _Cut | None = None
    inside = truth.astype(np.float32) > 0
    for objects, predicted in zip(_cuts(truth), _cuts(prediction), strict=True):
        cut = _Cut(inside, objects, predicted)
        repeated = cut.same_as(last)
        for rule, results in values.items():
            results.append(results[-1] if repeated else RULES[rule](cut))
        last = cut
    return values


def _cuts(array: NDArray[Any]) -> list[NDArray[np.bool_]]:
    """Return what is above each threshold; no whole number lies between two of them."""
    if array.dtype.kind in "bui":
        return [array > 0] * len(THRESHOLDS)
    values = array.astype(np.float32).astype(np.float64)
    return [values > threshold for threshold in THRESHOLDS]


def _equal(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> bool:
    return first is second or np.array_equal(first, second)


def _maximum(scores: NDArray[np.float64]) -> tuple[int | None, float]:
    """Return the first place of the largest score above 0, and it; NaN never wins."""
    usable = np.where(scores > 0, scores, 0.0)
    place = int(usable.argmax())
    score = float(usable[place])
    return (place if score > 0 else None), score


def _threshold(place: int | None) -> float | None:
    return None if place is None else THRESHOLDS[place]
