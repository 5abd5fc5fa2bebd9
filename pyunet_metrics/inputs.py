"""What the numbers of a prediction file mean; nothing is guessed silently."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from pyunet.errors import DataError

SMALLEST_MAP = 32  # an 8-bit map never above it would say that nothing is inside


@dataclass(frozen=True)
class Prediction:
    """A prediction, understood.

    Attributes
    ----------
    probability : array of float, shape (Z, Y, X)
        Of being inside (not class 0), 0 to 1.
    classes : array of int, shape (Z, Y, X)
        The most likely class.
    count : int
        How many classes there are.
    sentence : str
        What was understood, for a person.
    """

    probability: NDArray[Any]
    classes: NDArray[np.intp]
    count: int
    sentence: str


def prediction_of(array: NDArray[Any], values: str | None = None) -> Prediction:
    """Make a probability of inside of what a prediction file holds.

    Parameters
    ----------
    array : array, shape (Z, C, Y, X)
        With `values` C is the number of classes, or 1 for class "inside" alone.
        Otherwise C is 1: floats 0..1 (probability of inside), labels 0/1 or 0/255 of
        any type, or an 8-bit probability map 0..255.
    values : "scores", "probabilities" or None
        What `pyunet segment` noted in its file: scores get a softmax, those of one
        class a sigmoid.

    Returns
    -------
    Prediction

    Raises
    ------
    DataError
        Values or channels that are none of these.

    Examples
    --------
    >>> maps = np.array([0, 51, 204, 255], np.uint8).reshape(1, 1, 1, 4)
    >>> prediction = prediction_of(maps)
    >>> prediction.probability.tolist() == (maps[0] / np.float32(255)).tolist()
    True
    >>> prediction.sentence
    '8-bit map 0 to 255, divided by 255: probability of inside'
    """
    if not np.isfinite(array).all():
        raise DataError("has NaN or infinite values; expected finite numbers")
    if values is None:
        return _of_one_channel(array)
    if values not in ("scores", "probabilities"):
        raise DataError(
            f"notes pyunet_values = {values}; expected scores or probabilities"
        )
    return _of_classes(array, raw=values == "scores")


def instances_of(array: NDArray[Any]) -> Prediction:
    """Take the numbers of a prediction file for objects; all but 0 is inside.

    Parameters
    ----------
    array : array, shape (Z, 1, Y, X)
        Whole numbers, 0 where there is no object.

    Returns
    -------
    Prediction
        The numbers are its `classes`, of which only 0 and the rest are told apart.

    Raises
    ------
    DataError
        Fractions, negative numbers, more than one channel.

    Examples
    --------
    >>> instances_of(np.array([[[[0, 7, 9]]]])).sentence
    'object numbers, 2 of them'
    """
    numbers = array[:, 0]
    objects = numbers.astype(np.intp)
    if array.shape[1] != 1 or (objects != numbers).any() or objects.min() < 0:
        raise DataError(
            f"has {array.shape[1]} channel(s) of {array.dtype} from {array.min():g}; "
            "expected object numbers: one channel, whole, not negative"
        )
    count = np.count_nonzero(np.unique(objects))
    inside = (objects > 0).astype(np.float32)
    return Prediction(inside, objects, 2, f"object numbers, {count} of them")


def _of_classes(array: NDArray[Any], *, raw: bool) -> Prediction:
    count = array.shape[1]
    if count == 1:
        inside = special.expit(array[:, 0]) if raw else _within_unit(array[:, 0])
        classes = (inside > 0.5).astype(np.intp)
        made = "scores of class inside, sigmoid" if raw else "probabilities of inside"
        return Prediction(inside, classes, 2, made)
    shares = special.softmax(array, axis=1) if raw else array
    inside = shares[:, 1] if count == 2 else 1 - shares[:, 0]
    made = f"scores of {count} classes, softmax" if raw else f"{count} probabilities"
    which = "class 1 is" if count == 2 else f"classes 1 to {count - 1} are"
    return Prediction(
        _within_unit(inside), shares.argmax(axis=1), count, f"{made}: {which} inside"
    )


def _of_one_channel(array: NDArray[Any]) -> Prediction:
    if array.shape[1] != 1:
        raise DataError(
            f"has {array.shape[1]} channels; expected 1, or scores that "
            "`pyunet segment` wrote"
        )
    plane = array[:, 0]
    values = np.unique(plane)
    top = values[-1]
    probability: NDArray[Any]
    if set(values.tolist()) <= {0, 1} or set(values.tolist()) <= {0, 255}:
        sentence = f"labels, {_listed(values)}: {top:g} is inside"
        probability = (plane > 0).astype(np.float32)
    elif plane.dtype == np.uint8 and top >= SMALLEST_MAP:
        sentence = (
            f"8-bit map {values[0]} to {top}, divided by 255: probability of inside"
        )
        probability = plane / np.float32(255)
    elif plane.dtype.kind == "f":
        sentence = f"floats {values[0]:g} to {top:g}: probability of inside"
        probability = _within_unit(plane)
    else:
        raise DataError(
            f"has {plane.dtype} {_listed(values)}; expected labels 0/1 or 0/255, "
            "probabilities 0..1 or 8-bit maps 0..255"
        )
    return Prediction(probability, (probability > 0.5).astype(np.intp), 2, sentence)


def _within_unit(probability: NDArray[Any]) -> NDArray[Any]:
    low, high = float(probability.min()), float(probability.max())
    if low < -1e-5 or high > 1 + 1e-5:
        raise DataError(
            f"has values from {low:g} to {high:g}; expected probabilities 0..1"
        )
    return probability


def _listed(values: NDArray[Any]) -> str:
    if len(values) > 2:
        return f"{len(values)} values from {values[0]:g} to {values[-1]:g}"
    word = "value" if len(values) == 1 else "values"
    return f"{word} " + " and ".join(f"{value:g}" for value in values)
