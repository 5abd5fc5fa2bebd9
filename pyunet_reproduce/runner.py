"""Carry out a recipe: data, training, prediction, scores; stopped, it goes on."""

from __future__ import annotations

import functools
import json
import logging
import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyunet
from pyunet.boundary import reading
from pyunet.data.hdf5 import write_training_set
from pyunet.errors import DataError
from pyunet.files import atomic_path, followed
from pyunet.notes import read_notes
from pyunet_reproduce import readers, samples
from pyunet_reproduce.nets import output_tile, write_nets
from pyunet_reproduce.predicting import predict
from pyunet_reproduce.recipes import Recipe
from pyunet_reproduce.scores import Scores, evaluate
from pyunet_reproduce.splitting import Fold, make_folds
from pyunet_reproduce.training import be_quiet, train

LOG = logging.getLogger(__name__)
PLAN, SCORES, WEIGHTS = "plan.json", "scores.json", "weights.caffemodel"


@dataclass(frozen=True)
class Run:
    """What one training came to.

    Attributes
    ----------
    seed, fold : int
    scores : dict of str to dict of str to float
        Test part -> score -> value.
    seconds : float
        Of training, as far as it was not interrupted.
    on : str
        Day, ISO 8601.
    """

    seed: int
    fold: int
    scores: dict[str, Scores]
    seconds: float
    on: str


@dataclass(frozen=True)
class Job:
    """What is to be run.

    Attributes
    ----------
    recipe : Recipe
    data, out : Path
        The data set's folder; the folder of all results.
    gpu : int, optional
        Default: the CPU.
    """

    recipe: Recipe
    data: Path
    out: Path
    gpu: int | None = None

    def read(self, part: str, case: readers.Case) -> readers.Example:
        """Read one image."""
        return readers.read_case(self.recipe, part, case)

    @functools.cached_property
    def folds(self) -> list[Fold]:
        """The folds of the data set."""
        return make_folds(
            self.recipe,
            lambda part: readers.find_cases(self.recipe, part, self.data),
        )

    def folder(self, seed: int, fold: int) -> Path:
        """Where one run works."""
        return self.out / f"seed{seed}_fold{fold}"


def reproduce(
    job: Job, *, seeds: Sequence[int] = (0,), folds: Sequence[int] | None = None
) -> list[Run]:
    """Carry out a recipe for some seeds and folds.

    Everything is kept in ``job.out``: what is there already is not done again.

    Parameters
    ----------
    job : Job
    seeds : sequence of int
        Of the training tiles and the net's first weights.
    folds : sequence of int, optional
        Default: all.

    Returns
    -------
    list of Run

    Raises
    ------
    DataError
        No data; results of another recipe in ``job.out``.
    KeyboardInterrupt
        It was stopped.
    """
    be_quiet()
    if not job.data.is_dir():
        raise DataError(
            f"{job.data}: no such folder. {readers.where_to_get(job.recipe)}"
        )
    if seeds and min(seeds) < 0:
        raise DataError(f"seed {min(seeds)}: accepted are 0 and more")
    wanted = range(len(job.folds)) if folds is None else folds
    for fold in wanted:
        if not 0 <= fold < len(job.folds):
            raise DataError(
                f"fold {fold}: {job.recipe.name} has folds 0 to {len(job.folds) - 1}"
            )
    return [_run(job, seed, fold) for seed in seeds for fold in wanted]


def load_runs(out: Path) -> list[Run]:
    """Read the results that a folder holds.

    Raises
    ------
    DataError
        A file of results that is damaged.
    """
    return [_load(path) for path in sorted(out.glob(f"seed*_fold*/{SCORES}"))]


def machine() -> str:
    """Name this machine's processor, for a table.

    >>> bool(machine())
    True
    """
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    except OSError:
        names = []
    if not names:
        return platform.processor() or platform.machine()
    return f"{names[0]}, {len(names)} threads"


def _run(job: Job, seed: int, fold: int) -> Run:
    folder = job.folder(seed, fold)
    _claim(job, folder, seed, fold)
    done = folder / SCORES
    if done.is_file():
        LOG.info("%s: seed %d, fold %d is done", job.recipe.name, seed, fold)
        return _load(done)
    parts = job.folds[fold]
    LOG.info(
        "%s: seed %d, fold %d: %d images train, %d are tested",
        job.recipe.name, seed, fold, len(parts.train), len(parts.test),
    )  # fmt: skip
    seconds = _train(job, folder, parts, seed)
    files = write_nets(
        job.recipe,
        folder,
        channels=_notes(folder)["channels"],
        source=folder / "data" / "train.txt",
        seed=seed,
    )
    predict(
        job.recipe,
        parts.test,
        job.read,
        files=files,
        weights=folder / WEIGHTS,
        out=folder / "predictions",
        gpu=job.gpu,
    )
    scores = evaluate(
        job.recipe,
        parts.test,
        job.read,
        predictions=folder / "predictions",
        deploy=files.deploy,
    )
    run = Run(seed, fold, scores, seconds, date.today().isoformat())
    _write(done, asdict(run))
    return run


def _train(job: Job, folder: Path, fold: Fold, seed: int) -> float:
    """Make the training set and train; both go on where they were."""
    notes = _notes(folder)
    if (folder / WEIGHTS).is_file():
        return float(notes["seconds"])
    data = folder / "data"
    if not (data / "train.txt").is_file():
        found = samples.survey(job.recipe, fold.train, job.read)
        output = output_tile(job.recipe, found.channels)
        write_training_set(
            samples.tiles(job.recipe, found, job.read, output=output, seed=seed),
            job.recipe.training.samples,
            data,
        )
        notes["channels"] = found.channels
        _write(folder / "notes.json", notes)
    files = write_nets(
        job.recipe,
        folder,
        channels=notes["channels"],
        source=data / "train.txt",
        seed=seed,
    )
    began = time.monotonic()
    try:
        train(files.solver, folder / WEIGHTS, gpu=job.gpu, label=folder.name)
    finally:
        notes["seconds"] += time.monotonic() - began
        _write(folder / "notes.json", notes)
    # some gigabytes, made again from the recipe if they are wanted
    shutil.rmtree(data)
    shutil.rmtree(folder / "snapshots", ignore_errors=True)
    return float(notes["seconds"])


def _claim(job: Job, folder: Path, seed: int, fold: int) -> None:
    """Note what is to be run, or see that it is what was run here before."""
    plan = json.loads(
        json.dumps(
            {
                "recipe": asdict(job.recipe),
                "data": str(followed(job.data)),
                "seed": seed,
                "fold": fold,
            }
        )
    )
    path = folder / PLAN
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _write(path, {"pyunet": pyunet.__version__, **plan})
        return
    before = {key: value for key, value in read_notes(path).items() if key != "pyunet"}
    if before != plan:
        changed = [key for key in plan if before.get(key) != plan[key]]
        raise DataError(
            f"{folder}: was begun with another {' and '.join(changed)}; take another "
            "--out, or delete that folder"
        )


def _notes(folder: Path) -> dict[str, Any]:
    path = folder / "notes.json"
    return read_notes(path) if path.is_file() else {"seconds": 0.0, "channels": 1}


def _load(path: Path) -> Run:
    content = read_notes(path)
    with reading(path, "no results of a run"):
        return Run(**content)


def _write(path: Path, content: dict[str, Any]) -> None:
    with atomic_path(path) as draft:
        draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
