"""Finetune a model: from annotated images to weights and a definition for Fiji."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyunet
from pyunet.children import only_one
from pyunet.errors import DataError
from pyunet.files import atomic_path, followed
from pyunet.notes import read_notes
from pyunet_fiji.finetuning import nets, preparing
from pyunet_fiji.finetuning.curves import Curves
from pyunet_fiji.finetuning.preparing import Meaning, Pair
from pyunet_fiji.finetuning.running import PREFIX, SOLVER, Training, train
from pyunet_fiji.modeldef import ModelDefinition, read_modeldef, write_modeldef
from pyunet_fiji.modeldef.loading import check_weights
from pyunet_fiji.models import ENDING

PLAN, MODEL, WEIGHTS = "finetune.json", "model.prototxt", ".caffemodel.h5"
CURVES, PICTURE, LOG, FILES = "curves.csv", "curves.png", "train.log", "files"
SNAPSHOTS = 20  # a training


@dataclass(frozen=True)
class Job:
    """What is to be finetuned, on what, and how long.

    Attributes
    ----------
    model : Path
        The ``.modeldef.h5`` to start from.
    weights : Path or None
        Of that model; None: from scratch.
    training, validation : tuple of Pair
        Annotated images; without validation nothing is validated.
    out : Path
        Folder of the results; its name becomes the new model's.
    meaning : Meaning
        Of labels and pixels.
    iterations : int
    rate : float
        Learning rate.
    tile : tuple of int
        Input tile in pixels, (z)yx or one number; (): the plugin's.
    validation_interval : int or None
        Iterations between validations; None: 20 of them in all.
    gpu : int or None
        None for the CPU.
    """

    model: Path
    weights: Path | None
    training: tuple[Pair, ...]
    out: Path
    validation: tuple[Pair, ...] = ()
    meaning: Meaning = field(default_factory=Meaning)
    iterations: int = 1000
    rate: float = 1e-4
    tile: tuple[int, ...] = ()
    validation_interval: int | None = None
    gpu: int | None = None

    @property
    def name(self) -> str:
        """The new model's name, and what its files' names begin with."""
        return followed(self.out).name

    @property
    def result(self) -> Path:
        """The finetuned weights."""
        return self.out / f"{self.name}{WEIGHTS}"

    @property
    def definition(self) -> Path:
        """The finetuned model's definition."""
        return self.out / f"{self.name}{ENDING}"

    @property
    def best(self) -> Path:
        """The weights that validated best."""
        return self.out / f"{self.name}_best{WEIGHTS}"

    @property
    def interval(self) -> int:
        """Iterations between validations, and between snapshots."""
        return self.validation_interval or max(1, self.iterations // SNAPSHOTS)


@dataclass(frozen=True)
class Result:
    """What a run came to.

    Attributes
    ----------
    reached : int
        Updates done; fewer than wanted if it was stopped.
    curves : Curves
    """

    reached: int
    curves: Curves


def finetune(job: Job) -> Result:
    """Carry out a finetuning; stopped, or called again, it goes on where it was.

    Parameters
    ----------
    job : Job

    Returns
    -------
    Result

    Raises
    ------
    DataError
        A job that cannot be done, with the reason; results of another job in its
        folder.
    """
    _check(job)
    with only_one(job.out, "finetuning") as lock:
        return _finetune(job, lock)


def _finetune(job: Job, lock: int) -> Result:
    plan = _claim(job)
    if job.result.is_file():
        return Result(job.iterations, _curves(job, plan))
    folder = job.out / FILES
    if not (folder / preparing.TRAIN_LIST).is_file() or "tiles" not in plan:
        plan = _prepare(job, plan, folder)
    curves = _curves(job, plan)
    training = Training(
        folder=folder,
        iterations=job.iterations,
        weights=job.weights,
        gpu=job.gpu,
        log=job.out / LOG,
        csv=job.out / CURVES,
        png=job.out / PICTURE,
        best=job.best,
        held=(lock,),
    )
    reached = train(training, curves)
    if reached == job.iterations:
        with atomic_path(job.result) as draft:
            shutil.copyfile(training.snapshot(reached), draft)
        shutil.rmtree(folder, ignore_errors=True)  # made again from the images
    return Result(reached, curves)


def _check(job: Job) -> None:
    for name in ("iterations", "interval"):
        if getattr(job, name) < 1:
            raise DataError(
                f"{name} {getattr(job, name)}: accepted are numbers of 1 and more"
            )
    if not 0 < job.rate < float("inf"):
        raise DataError(f"rate {job.rate:g}: accepted are numbers above 0")
    if (job.out.exists() or job.out.is_symlink()) and not job.out.is_dir():
        raise DataError(f"{job.out}: is no folder; --out wants one, or a new name")


def _claim(job: Job) -> dict[str, Any]:
    """Note what is to be done, or see that it is what was begun here."""
    wanted = json.loads(json.dumps(asdict(job), default=_absolute))
    path = job.out / PLAN
    if not path.is_file():
        for file in (job.result, job.definition, job.best):
            if file.exists():
                raise DataError(
                    f"{file}: is there already, from something else; take another --out"
                )
        return {"pyunet": pyunet.__version__, "job": wanted}
    plan = read_notes(path)
    before = plan.get("job")
    if not isinstance(before, dict):
        raise DataError(f"{path}: says no job; accepted is what a finetuning wrote")
    changed = [key for key in wanted if before.get(key) != wanted[key]]
    if changed:
        raise DataError(
            f"{job.out}: was begun with another {' and '.join(changed)}; take another "
            "--out, or delete that folder"
        )
    return dict(plan)


def _absolute(value: object) -> str:
    return str(followed(value)) if isinstance(value, Path) else str(value)


def _prepare(job: Job, plan: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Convert the data and write all that the training reads."""
    definition = read_modeldef(job.model)
    tile = (
        nets.check_tile(definition, job.tile)
        if job.tile
        else nets.default_tile(definition)
    )
    count = nets.class_count(definition)
    channels = None
    if job.weights is not None:
        channels = check_weights(job.model, definition, job.weights, but=[nets.SCORE])
    annotated = preparing.read_annotations(
        job.training,
        job.validation,
        job.meaning,
        model_classes=definition.class_names,
        model_count=count,
    )
    ident = f"{definition.ident}-unet-{uuid.uuid4()}"
    finetuned = nets.finetuned_definition(
        definition,
        ident=plan.setdefault("ident", ident),
        name=job.name,
        train_list=preparing.TRAIN_LIST,
        tile=tile,
        class_names=annotated.class_names,
    )
    _make(folder)
    tiles = preparing.write_files(
        folder,
        annotated,
        definition,
        tile=tile,
        element_size_um=job.meaning.element_size_um,
        channels=channels,
    )
    _write_nets(job, definition, finetuned, folder, tiles)
    write_modeldef(job.definition, finetuned)
    plan |= {
        "tiles": tiles,
        "tile": tile,
        "zero": annotated.zero,
        "classes": annotated.class_names,
    }
    _write(job.out / PLAN, json.dumps(plan, indent=1) + "\n")
    return plan


def _write_nets(
    job: Job,
    definition: ModelDefinition,
    finetuned: ModelDefinition,
    folder: Path,
    tiles: int,
) -> None:
    schedule = nets.Schedule(
        iterations=job.iterations,
        rate=job.rate,
        gpu=job.gpu is not None,
        validation_tiles=tiles,
        validation_interval=job.interval,
        snapshot=min(job.interval, job.iterations),
    )
    valid_list = preparing.VALID_LIST if tiles else None
    net = nets.run_prototxt(finetuned, valid_list=valid_list)
    solver = nets.run_solver(definition, schedule, net=MODEL, prefix=PREFIX)
    _write(folder / MODEL, net)
    _write(folder / SOLVER, solver)


def _curves(job: Job, plan: Mapping[str, Any]) -> Curves:
    names: Sequence[str] = plan["classes"][1:]
    return Curves.read_csv(job.out / CURVES, names)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made: {error.strerror}") from error


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as draft:
        draft.write_text(text, encoding="utf-8")
