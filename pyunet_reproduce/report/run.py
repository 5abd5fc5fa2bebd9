"""What a report is about: each part by itself, and why one is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyunet.training_logs.charts import Chart

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Case:
    """One image that was segmented, with its truth.

    Attributes
    ----------
    name : str
    truth, prediction : ndarray of int, shape ([Z,] Y, X)
        Classes; 0 is background.
    image : ndarray or None, shape (C, [Z,] Y, X)
    counts : ndarray of bool or None, shape ([Z,] Y, X)
        The pixels that are scored; None: all.
    """

    name: str
    truth: NDArray[Any]
    prediction: NDArray[Any]
    image: NDArray[Any] | None = None
    counts: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class WeightExample:
    """One training image, its labels and the weights of the loss.

    Attributes
    ----------
    caption : str
    image : ndarray, shape (C, Y, X)
    labels, weights : ndarray, shape (Y, X)
        Of the image, or of its middle.
    """

    caption: str
    image: NDArray[Any]
    labels: NDArray[Any]
    weights: NDArray[Any]


@dataclass(frozen=True)
class Table:
    """A table with a title.

    Attributes
    ----------
    title : str
    header : sequence of str
        Empty: rows are names and values.
    rows : sequence of sequence of str
    """

    title: str
    header: Sequence[str]
    rows: Rows


@dataclass(frozen=True)
class Run:
    """What is known of a training; None and empty: not there.

    Attributes
    ----------
    title : str
    deploy, weights : Path or None
        The net, a prototxt or a ``.modeldef.h5``, and its weights.
    solver : str
        Text of the solver's prototxt.
    settings : rows of (name, value)
        Of the training, beside the solver's.
    data : rows of (name, value)
    charts : callable or None
        Gives the curves.
    class_names : sequence of str
        Class 0 first; default: numbers.
    cases : callable or None
        Gives an iterator over the segmented images.
    weight_example : callable or None
    tables : sequence of Table
        Scores of all images together.
    absent : dict of str to str
        Part -> why it is not there.
    """

    title: str
    deploy: Path | None = None
    weights: Path | None = None
    solver: str = ""
    settings: Rows = ()
    data: Rows = ()
    charts: Callable[[], list[Chart]] | None = None
    class_names: Sequence[str] = ()
    cases: Callable[[], Iterator[Case]] | None = None
    weight_example: Callable[[], WeightExample] | None = None
    tables: Sequence[Table] = ()
    absent: Mapping[str, str] = field(default_factory=dict)
