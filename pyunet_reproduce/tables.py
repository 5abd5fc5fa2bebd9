"""Published values beside measured ones, as text, CSV and HTML."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from pyunet.boundary import reading
from pyunet.csv_text import csv_text
from pyunet.files import atomic_path
from pyunet.toml import from_table, read_toml
from pyunet_reproduce.recipes import (
    Published,
    Recipe,
    filled,
    published,
    read_recipe,
    recipe_names,
)
from pyunet_reproduce.runner import Run, machine
from pyunet_reproduce.scores import mean_and_spread

NONE = "-"


@dataclass(frozen=True)
class Table:
    """A table of words.

    Attributes
    ----------
    header : tuple of str
    rows : sequence of tuple of str

    Examples
    --------
    >>> table = Table(("metric", "measured"), [("AUC", "0.98")])
    >>> print(table.text())
    metric  measured
    AUC     0.98
    >>> print(table.csv(), end="")
    metric,measured
    AUC,0.98
    """

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def text(self) -> str:
        """Give it in columns."""
        lines = [self.header, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(map(str.ljust, line, widths)).rstrip() for line in lines
        )

    def csv(self) -> str:
        """Give it as RFC 4180 says, with plain line ends."""
        return csv_text([self.header, *self.rows])

    def html(self, title: str = "pyunet reproduce") -> str:
        """Give a whole page."""

        def line(words: tuple[str, ...], tag: str) -> str:
            cells = "".join(f"<{tag}>{html.escape(word)}</{tag}>" for word in words)
            return f"<tr>{cells}</tr>\n"

        return (
            '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
            f"<title>{html.escape(title)}</title>\n"
            "<style>body{font:15px sans-serif}table{border-collapse:collapse}"
            "td,th{border:1px solid #bbb;padding:3px 8px;text-align:left}</style>\n"
            f"<h1>{html.escape(title)}</h1>\n<table>\n{line(self.header, 'th')}"
            + "".join(line(row, "td") for row in self.rows)
            + "</table>\n</html>\n"
        )


FORMATS: dict[str, Callable[[Table], str]] = {
    "text": lambda table: table.text() + "\n",
    "csv": Table.csv,
    "html": Table.html,
}


@dataclass(frozen=True)
class Measured:
    """One entry of ``measured.toml``.

    Attributes
    ----------
    recipe, dataset, metric : str
        What was measured; data set and metric as in ``published.tsv``, or the name
        of a score that has no published number.
    value, spread : float
        Mean over the seeds (of each seed's mean over its folds), and their standard
        deviation, in the published unit.
    seeds, folds : list of int
        What it is the mean of.
    minutes : float
        Of training, the mean a fold.
    by, on, machine : str
        Who, on which day (ISO 8601), with what.
    model : str
        The published model that was trained; default: a U-Net.
    """

    recipe: str
    dataset: str
    metric: str
    value: float
    spread: float
    seeds: list[int]
    folds: list[int]
    minutes: float
    by: str
    on: str
    machine: str
    model: str = ""

    def fits(self, row: Published) -> bool:
        """Whether it stands beside a published row."""
        ours = (self.dataset, self.metric, self.model)
        return ours == (row.dataset, row.metric, row.net)

    def shown(self) -> str:
        """Give the number as it stands in a table."""
        if len(self.seeds) > 1:
            return f"{self.value:.4f} ± {self.spread:.4f}"
        return f"{self.value:.4f}"

    def toml(self) -> str:
        """Write it as an entry of ``measured.toml``."""
        lines = (f"{key} = {json.dumps(value)}" for key, value in vars(self).items())
        return "[[measured]]\n" + "\n".join(lines) + "\n"


def measure(recipe: Recipe, runs: Sequence[Run], *, by: str) -> list[Measured]:
    """Sum up runs of a recipe: published rows first, then its other scores.

    Parameters
    ----------
    recipe : Recipe
    runs : sequence of Run
    by : str
        Who ran them.

    Returns
    -------
    list of Measured
    """
    rows = dict.fromkeys(
        (row.dataset, row.metric, fill.part, fill.score, fill.scale)
        for fill, row in filled(recipe)
        if row.net == recipe.net.model
    )
    rows |= dict.fromkeys((recipe.title, name, "", name, 1.0) for name in recipe.also)
    result = []
    for dataset, metric, part, score, scale in rows:
        seeds = sorted({run.seed for run in runs})
        means = [
            mean_and_spread(
                scale * run.scores[part][score] for run in runs if run.seed == seed
            )[0]
            for seed in seeds
        ]
        value, spread = mean_and_spread(means)
        result.append(
            Measured(
                recipe.name,
                dataset,
                metric,
                round(value, 6),
                round(spread, 6),
                seeds,
                sorted({run.fold for run in runs}),
                round(mean_and_spread(run.seconds / 60 for run in runs)[0], 1),
                by,
                max(run.on for run in runs),
                machine(),
                recipe.net.model,
            )
        )
    return result


def result_table(recipe: Recipe, measured: Sequence[Measured]) -> Table:
    """Give a recipe's published values beside the measured ones."""
    rows = []
    for fill, row in filled(recipe):
        value = next((value for value in measured if value.fits(row)), None)
        rows.append(
            (
                row.dataset,
                row.metric,
                row.value,
                row.model,
                fill.score,
                value.shown() if value else NONE,
                _of(value, recipe.split.folds),
            )
        )
    for value in measured:
        if value.metric in recipe.also:
            rows.append(
                (
                    value.dataset,
                    NONE,
                    NONE,
                    NONE,
                    value.metric,
                    value.shown(),
                    _of(value, recipe.split.folds),
                )
            )
    header = ("data set", "metric", "published", "by model", "score", "measured", "of")
    return Table(header, rows)


def all_rows() -> Table:
    """Give all published rows: which recipe fills them, what was measured so far."""
    recipes = [read_recipe(name) for name in recipe_names()]
    measured = read_measured()
    rows = []
    for row in published():
        names = [
            recipe.name
            for recipe in recipes
            if any(row == other for _, other in filled(recipe))
            and row.net in {net.model for net in (recipe.net, *recipe.others)}
        ]
        ours = [value for value in measured if value.fits(row)]
        rows.append(
            (
                row.dataset,
                row.metric,
                row.value,
                row.model,
                ", ".join(names),
                "implemented" if names else NONE,
                "; ".join(value.shown() for value in ours) or NONE,
                "; ".join(value.by for value in ours) or NONE,
                "; ".join(value.on for value in ours) or NONE,
            )
        )
    header = (
        "data set", "metric", "published", "model", "recipe", "state", "measured",
        "by", "on",
    )  # fmt: skip
    return Table(header, rows)


def read_measured(path: Path | None = None) -> list[Measured]:
    """Read what was measured so far.

    Parameters
    ----------
    path : Path, optional
        Default: the list that comes with the package.

    Raises
    ------
    DataError
        A file that is no such list.
    """
    if path is None:
        path = Path(str(resources.files("pyunet_reproduce"))) / "measured.toml"
    entries = read_toml(path).get("measured", [])
    with reading(path, "no list of measured values"):
        return [
            from_table(Measured, entry, f"{path}: measured {number}")
            for number, entry in enumerate(entries, 1)
        ]


def write_results(
    out: Path, recipe: Recipe, runs: Sequence[Run], *, by: str
) -> tuple[Table, list[Path]]:
    """Write ``results.json``, ``table.txt``, ``.csv``, ``.html``, ``measured.toml``.

    Returns
    -------
    table : Table
    paths : list of Path
        What was written.
    """
    measured = measure(recipe, runs, by=by)
    table = result_table(recipe, measured)
    report = {
        "recipe": recipe.name,
        "measured": [vars(value) for value in measured],
        "runs": [vars(run) for run in runs],
    }
    contents = {
        "results.json": json.dumps(report, indent=1) + "\n",
        "table.txt": table.text() + "\n",
        "table.csv": table.csv(),
        "table.html": table.html(f"{recipe.title}: published and measured"),
        "measured.toml": "\n".join(value.toml() for value in measured),
    }
    for name, text in contents.items():
        with atomic_path(out / name) as draft:
            draft.write_text(text, encoding="utf-8")
    return table, [out / name for name in contents]


def _of(value: Measured | None, folds: int) -> str:
    """Say what a number is the mean of."""
    if value is None:
        return NONE
    seeds = f"{len(value.seeds)} seed" + "s" * (len(value.seeds) > 1)
    if folds == 1:
        return seeds
    some = "all" if len(value.folds) == folds else ",".join(map(str, value.folds))
    return f"{seeds}, folds {some} of {folds}"
