"""What ``pyunet reproduce --out`` leaves behind, for a report."""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pyunet.boundary import reading
from pyunet.errors import DataError
from pyunet.files import followed
from pyunet.notes import read_notes
from pyunet.toml import from_table
from pyunet_reproduce.nets import output_tile
from pyunet_reproduce.predicting import prediction_file, read_predictions
from pyunet_reproduce.readers import Case as Source
from pyunet_reproduce.readers import find_cases, read_case
from pyunet_reproduce.recipes import Recipe
from pyunet_reproduce.report.run import Case, Run, Table, WeightExample
from pyunet_reproduce.runner import PLAN, SCORES, WEIGHTS
from pyunet_reproduce.samples import survey, tiles
from pyunet_reproduce.scores import View
from pyunet_reproduce.splitting import Fold, make_folds

TABLE = "table.csv"
RUN = re.compile(r"seed(\d+)_fold(\d+)")
NO_LOG = "pyunet reproduce keeps no log of its trainings."
NOT_FINISHED = "{}: is not finished; the same command goes on with it."


def is_reproduced(folder: Path) -> bool:
    """Tell a folder of results of recipes, or one run in it."""
    return (folder / PLAN).is_file() or any(folder.glob(f"seed*_fold*/{PLAN}"))


def read_reproduced(folder: Path) -> Run:
    """Find what a reproduction left: of a folder of several, all folds of one seed.

    Parameters
    ----------
    folder : Path
        What ``--out`` named, or one run in it.

    Returns
    -------
    Run

    Raises
    ------
    DataError
        A plan that cannot be read.
    """
    runs = [
        _Reproduced(run_folder, read_notes(run_folder / PLAN))
        for run_folder in _folders(folder)
    ]
    first = runs[0]
    absent = {"curves": NO_LOG}
    cases = example = None
    unfinished = next((run for run in runs if not run.scored), None)
    if unfinished is not None:
        absent["scores"] = NOT_FINISHED.format(unfinished.folder)
    elif not first.data.is_dir():
        absent["scores"] = f"{first.data}: the data set is not there any more."
    else:
        cases = functools.partial(_cases, runs)
    if first.data.is_dir():
        example = first.weight_example
    else:
        absent["weights"] = f"{first.data}: the data set is not there any more."
    deploy, solver = first.folder / "deploy.prototxt", first.folder / "solver.prototxt"
    weights = first.folder / WEIGHTS
    return Run(
        title=f"{first.recipe.title}, {followed(folder).name}",
        deploy=deploy if deploy.is_file() else None,
        weights=weights if weights.is_file() else None,
        solver=solver.read_text(encoding="utf-8") if solver.is_file() else "",
        data=first.facts(),
        cases=cases,
        weight_example=example,
        tables=_tables(folder, runs),
        absent=absent,
    )


@dataclass(frozen=True)
class _Reproduced:
    folder: Path
    plan: Mapping[str, Any]

    @functools.cached_property
    def recipe(self) -> Recipe:
        return from_table(Recipe, self.plan["recipe"], str(self.folder / PLAN))

    @property
    def data(self) -> Path:
        return Path(self.plan["data"])

    @property
    def scored(self) -> bool:
        return (self.folder / SCORES).is_file()

    @functools.cached_property
    def fold(self) -> Fold:
        folds: list[Fold] = make_folds(
            self.recipe, lambda part: find_cases(self.recipe, part, self.data)
        )
        return folds[int(self.plan["fold"])]

    def facts(self) -> list[tuple[str, str]]:
        recipe, how = self.recipe, self.recipe.training
        rows = [("data set", recipe.title), ("published at", recipe.published_at)]
        if self.data.is_dir():
            rows += [
                ("training images", str(len(self.fold.train))),
                ("test images", str(len(self.fold.test))),
            ]
        rows += [
            ("training tiles", f"{how.samples} of {_sizes(recipe.net.input)} pixels"),
            ("classes", str(recipe.labels.classes)),
            ("seed", str(self.plan["seed"])),
        ]
        return rows

    def cases(self) -> Iterator[Case]:
        predictions = self.folder / "predictions"
        there = [
            (part, case)
            for part, case in self.fold.test
            if prediction_file(predictions, part, case).is_file()
        ]
        stored = read_predictions(predictions, there)
        for (part, case), values in zip(there, stored, strict=True):
            example = read_case(self.recipe, part, case)
            view = View.of(example, values)
            yield Case(
                case.name, view.truth, view.prediction, example.image, view.counts
            )

    def weight_example(self) -> WeightExample:
        """Draw one training tile as the training did, from the first image alone."""
        recipe = replace(self.recipe, training=replace(self.recipe.training, samples=1))

        def read(part: str, case: Source) -> Any:
            return read_case(recipe, part, case)

        chosen = self.fold.train[:1]
        surveyed = survey(recipe, chosen, read)
        output = output_tile(recipe, surveyed.channels)
        seed = int(self.plan["seed"])
        sample = next(tiles(recipe, surveyed, read, output=output, seed=seed))
        image, label, weights = sample.data, sample.label[0], sample.weights[0]
        if label.ndim > 2:
            middle = len(label) // 2
            image, label, weights = image[:, middle], label[middle], weights[middle]
        return WeightExample(
            f"A training tile of {chosen[0][1].name}, deformed at random.",
            image, label, weights,
        )  # fmt: skip


def _cases(runs: Sequence[_Reproduced]) -> Iterator[Case]:
    for run in runs:
        yield from run.cases()


def _folders(folder: Path) -> list[Path]:
    if (folder / PLAN).is_file():
        return [folder]
    numbers = {
        run_folder.parent: tuple(map(int, match.groups()))
        for run_folder in folder.glob(f"seed*_fold*/{PLAN}")
        if (match := RUN.fullmatch(run_folder.parent.name))
    }
    if not numbers:
        raise DataError(f"{folder}: has no run seedN_foldN of pyunet reproduce")
    seed = min(numbers.values())[0]
    return sorted(
        (run_folder for run_folder in numbers if numbers[run_folder][0] == seed),
        key=lambda run_folder: numbers[run_folder],
    )


def _tables(folder: Path, runs: Sequence[_Reproduced]) -> list[Table]:
    tables = []
    table = folder / TABLE
    if table.is_file():
        with table.open(encoding="utf-8", newline="") as file, reading(table):
            header, *rows = csv.reader(file)
        tables.append(Table("Published and measured", header, rows))
    for run in runs:
        if run.scored:
            scores = read_notes(run.folder / SCORES)["scores"]
            rows = [
                [f"{part} {name}".strip(), f"{value:.4f}"]
                for part, of_part in scores.items()
                for name, value in of_part.items()
            ]
            tables.append(Table(f"Scores of {run.folder.name}", (), rows))
    return tables


def _sizes(extents: Sequence[int]) -> str:
    return " x ".join(map(str, extents))
