"""The sections of a report, in their order; each is there or says why not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyunet_reproduce.report.curves import curve_figures
from pyunet_reproduce.report.net import describe_net, describe_solver
from pyunet_reproduce.report.pictures import Figure, weight_figures
from pyunet_reproduce.report.run import Run, Table
from pyunet_reproduce.report.scores import CaseScore, Scored, score_cases

ABSENT = {
    "model": "No net is given (--model, --weights).",
    "data": "No training set is given (--data).",
    "curves": "No log of the training is given (--log).",
    "scores": "No truth and prediction are given (--truth, --prediction).",
    "weights": "No training set is given (--data).",
}
MOST_COLUMNS = 6  # classes with a column of their own


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side, below a line of text."""

    text: str
    figures: Sequence[Figure]


@dataclass(frozen=True)
class Confusion:
    """Pixels by true class (row) and found class (column).

    Attributes
    ----------
    names : list of str
    rows : list of list of (str, float)
        The count as it is written, and its share of the row.
    """

    names: list[str]
    rows: list[list[tuple[str, float]]]


@dataclass(frozen=True)
class Section:
    """One section of the page.

    Attributes
    ----------
    name : str
        For links.
    title : str
    missing : str
        Why there is nothing, or not all; else empty.
    tables : list of Table
    galleries : list of Gallery
    confusion : Confusion or None
    """

    name: str
    title: str
    missing: str = ""
    tables: list[Table] = field(default_factory=list)
    galleries: list[Gallery] = field(default_factory=list)
    confusion: Confusion | None = None


def make_sections(run: Run) -> list[Section]:
    """Make all sections of a report.

    Parameters
    ----------
    run : Run

    Returns
    -------
    list of Section

    Raises
    ------
    DataError
        A part that is there and cannot be read.
    """
    scored = None if run.cases is None else score_cases(run.cases())

    def why(part: str) -> str:
        return run.absent.get(part, ABSENT[part])

    makers: Sequence[Callable[[], Section]] = (
        lambda: _model(run, why("model")),
        lambda: _data(run, why("data")),
        lambda: _curves(run, why("curves")),
        lambda: _scores(run, scored, why("scores")),
        lambda: _pictures(scored, why("scores")),
        lambda: _confusion(run, scored, why("scores")),
        lambda: _weights(run, why("weights")),
    )
    first, *rest = [make() for make in makers]
    return [first, *rest, _kernels(first)]


def _model(run: Run, why: str) -> Section:
    tables, galleries, missing = [], [], why
    if run.deploy is not None and (
        run.weights is not None or run.deploy.suffix != ".h5"
    ):
        rows, kernels, no_kernels = describe_net(run.deploy, run.weights)
        tables.append(Table("Net", (), rows))
        galleries = [Gallery("", kernels)] if kernels else []
        missing = no_kernels
    if run.solver:
        tables.append(Table("Solver", (), describe_solver(run.solver)))
    if run.settings:
        tables.append(Table("Training", (), run.settings))
    return Section("model", "Model", missing, tables, galleries)


def _kernels(model: Section) -> Section:
    """Give the kernels, which come last, a section of their own."""
    galleries = list(model.galleries)
    model.galleries.clear()
    return Section(
        "kernels",
        "Kernels of the first layer",
        "" if galleries else model.missing,
        galleries=galleries,
    )


def _data(run: Run, why: str) -> Section:
    tables = [Table("", (), run.data)] if run.data else []
    return Section("data", "Data", "" if tables else why, tables)


def _curves(run: Run, why: str) -> Section:
    figures = [] if run.charts is None else curve_figures(run.charts())
    galleries = [Gallery("", figures)] if figures else []
    return Section("curves", "Curves", "" if figures else why, galleries=galleries)


def _scores(run: Run, scored: Scored | None, why: str) -> Section:
    tables = list(run.tables)
    if scored is None:
        return Section("scores", "Scores", why, tables)
    names = _class_names(run, len(scored.confusion))
    shown = names if len(names) <= MOST_COLUMNS else []
    header = ["image", "mean IoU", "pixels right", *(f"IoU {label}" for label in shown)]
    rows = [_score_row(label.name, label, len(shown)) for label in scored.cases]
    tables.append(Table("Images", header, rows))
    tables.append(Table("Mean over the images", (), _means(scored.cases)))
    return Section("scores", "Scores", "", tables)


def _score_row(name: str, score: CaseScore, classes: int) -> list[str]:
    values = [score.mean_iou, score.accuracy, *score.iou[:classes]]
    words = [f"{value:.4f}" if np.isfinite(value) else "-" for value in values]
    return [name, *words, *["-"] * (classes + 2 - len(words))]


def _means(cases: Sequence[CaseScore]) -> list[tuple[str, str]]:
    iou = [case.mean_iou for case in cases]
    dice = [float(np.nanmean(case.dice)) for case in cases]
    right = [case.accuracy for case in cases]
    each = {"mean IoU": iou, "mean Dice": dice, "pixels right": right}
    return [
        (name, f"{np.mean(values):.4f} (from {min(values):.4f} to {max(values):.4f})")
        for name, values in each.items()
    ]


def _pictures(scored: Scored | None, why: str) -> Section:
    if scored is None:
        return Section("images", "Worst and best images", why)
    galleries = [
        Gallery(f"{kind}: {score.name}, mean IoU {score.mean_iou:.4f}", figures)
        for kind, some in (("Worst", scored.worst), ("Best", scored.best))
        for score, figures in some
    ]
    return Section("images", "Worst and best images", "", galleries=galleries)


def _confusion(run: Run, scored: Scored | None, why: str) -> Section:
    title = "Confusion of the classes"
    if scored is None:
        return Section("confusion", title, why)
    return Section(
        "confusion", title, confusion=confusion_of(
            scored.confusion, _class_names(run, len(scored.confusion))
        ),
    )  # fmt: skip


def confusion_of(counts: NDArray[Any], names: Sequence[str]) -> Confusion:
    """Write a table of counts, each with its share of the true class.

    Examples
    --------
    >>> confusion_of(np.array([[3, 1], [0, 0]]), ["out", "in"]).rows[0]
    [('3 (75.0 %)', 0.75), ('1 (25.0 %)', 0.25)]
    """
    rows = []
    for row in counts.tolist():
        total = max(sum(row), 1)
        rows.append([(f"{n:,} ({100 * n / total:.1f} %)", n / total) for n in row])
    return Confusion(list(names), rows)


def _weights(run: Run, why: str) -> Section:
    title = "Weights of the loss"
    if run.weight_example is None:
        return Section("weights", title, why)
    example = run.weight_example()
    gallery = Gallery(example.caption, weight_figures(example))
    return Section("weights", title, galleries=[gallery])


def _class_names(run: Run, count: int) -> list[str]:
    names = list(run.class_names[:count])
    return names + [f"class {number}" for number in range(len(names), count)]
