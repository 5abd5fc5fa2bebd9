"""What ``pyunet finetune --out`` leaves behind, for a report."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyunet.errors import DataError
from pyunet.files import followed
from pyunet.notes import read_notes
from pyunet_fiji.finetuning import preparing
from pyunet_fiji.finetuning.images import read_hyperstack
from pyunet_fiji.finetuning.job import CURVES, PLAN, WEIGHTS
from pyunet_fiji.finetuning.nets import Schedule, run_solver
from pyunet_fiji.finetuning.preparing import Meaning, Pair
from pyunet_fiji.finetuning.samples import Sample, make_sample
from pyunet_fiji.modeldef import ModelDefinition, read_modeldef
from pyunet_fiji.models import find_definition
from pyunet_reproduce.report.curves import finetuning_charts
from pyunet_reproduce.report.run import Case, Run, WeightExample

NOT_FINISHED = "The finetuning is not finished: the same command goes on with it."
GONE = "{}: is not there any more, so nothing is segmented for this page."
NO_VALIDATION = (
    "The finetuning had no validation images (--validation-share, --valid-images)."
)


def is_finetuned(folder: Path) -> bool:
    """Tell the folder of a finetuning."""
    return (folder / PLAN).is_file()


def read_finetuned(folder: Path) -> Run:
    """Find what a finetuning left in its folder.

    Validation images are segmented when the report's scores are made, by the weights
    that validated best, at the net's pixel size.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    Run

    Raises
    ------
    DataError
        A plan or a definition that cannot be read.
    """
    done = _Finetuned(folder, _read_plan(folder / PLAN))
    absent, weights = {}, done.weights()
    cases = example = None
    if weights is None:
        absent["model"] = absent["scores"] = NOT_FINISHED
    elif not done.validation:
        absent["scores"] = NO_VALIDATION
    elif gone := _first_gone(done.validation):
        absent["scores"] = GONE.format(gone)
    else:
        cases = functools.partial(done.cases, weights)
    if gone := _first_gone(done.training[:1]):
        absent["weights"] = GONE.format(gone)
    else:
        example = done.weight_example
    table = folder / CURVES
    if not table.is_file():
        absent["curves"] = NOT_FINISHED
    return Run(
        title=followed(folder).name,
        deploy=done.path,
        weights=weights,
        solver=done.solver(),
        data=done.data(),
        charts=functools.partial(finetuning_charts, table, done.classes[1:]),
        class_names=done.classes,
        cases=cases,
        weight_example=example,
        absent=absent,
    )


@dataclass(frozen=True)
class _Finetuned:
    folder: Path
    plan: Mapping[str, Any]

    @functools.cached_property
    def path(self) -> Path:
        return find_definition(self.folder)

    @functools.cached_property
    def definition(self) -> ModelDefinition:
        return read_modeldef(self.path)

    @property
    def job(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.plan["job"]
        return found

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.plan["classes"])

    @property
    def training(self) -> list[Pair]:
        return _pairs(self.job["training"])

    @property
    def validation(self) -> list[Pair]:
        return _pairs(self.job["validation"])

    @property
    def element_size_um(self) -> tuple[float, ...] | None:
        given = self.job["meaning"]["element_size_um"]
        return None if given is None else tuple(given)

    def weights(self) -> Path | None:
        """Give the weights that validated best, else those of the end."""
        best = sorted(self.folder.glob(f"*_best{WEIGHTS}"))
        return next(iter([*best, *sorted(self.folder.glob(f"*{WEIGHTS}"))]), None)

    def solver(self) -> str:
        job, tiles = self.job, self.plan.get("tiles", 0)
        schedule = Schedule(
            iterations=job["iterations"],
            rate=job["rate"],
            gpu=job["gpu"] is not None,
            validation_tiles=tiles,
            validation_interval=job["validation_interval"] or 1,
        )
        return run_solver(self.definition, schedule, net="", prefix="")

    def data(self) -> list[tuple[str, str]]:
        job = self.job
        names = [f"{len(pairs)}: {_names(pairs)}" for pairs in (
            self.training, self.validation)]  # fmt: skip
        return [
            ("training images", names[0]),
            ("validation images", names[1] if self.validation else "none"),
            ("classes", ", ".join(self.classes)),
            ("labels are", str(job["meaning"]["kind"])),
            ("input tile", " x ".join(map(str, self.plan["tile"])) + " pixels"),
            ("start", str(job["weights"] or "random weights")),
        ]

    def samples(self, pairs: Sequence[Pair]) -> Iterator[tuple[Pair, Sample]]:
        """Convert images and annotations as the training did."""
        meaning = Meaning(
            kind=self.job["meaning"]["kind"],
            zero=self.plan["zero"],
            class_names=self.classes[1:],
            element_size_um=self.element_size_um,
        )
        annotated = preparing.read_annotations(
            pairs, (), meaning, model_classes=(), model_count=len(self.classes)
        )
        for pair, marks in annotated.training:
            yield (
                pair,
                make_sample(
                    read_hyperstack(pair.image),
                    marks,
                    self.definition,
                    self.classes,
                    element_size_um=self.element_size_um,
                ),
            )

    def cases(self, weights: Path) -> Iterator[Case]:
        from pyunet.inference.outputs import most_likely
        from pyunet.inference.segmenting import Segmenter
        from pyunet.inference.windows import Inputs
        from pyunet_fiji.modeldef.loading import load_definition

        model, _ = load_definition(self.path, weights)
        for pair, sample in self.samples(self.validation):
            segmenter = Segmenter.within(model)
            for number, image in enumerate(sample.data):
                (scores,) = segmenter.scores(Inputs.of_array(image))
                several = len(sample.data) > 1
                yield Case(
                    f"{pair.image.name}, {number}" if several else pair.image.name,
                    sample.labels[number, 0].astype(np.intp),
                    most_likely(scores, "scores").astype(np.intp),
                    image,
                    sample.weights[number, 0] > 0,
                )

    def weight_example(self) -> WeightExample:
        pair, sample = next(self.samples(self.training[:1]))
        image, labels, weights = sample.data[0], sample.labels[0, 0], sample.weights[0]
        weight = weights[0]
        if labels.ndim > 2:
            middle = len(labels) // 2
            image, labels, weight = image[:, middle], labels[middle], weight[middle]
        caption = f"The first training image, {pair.image.name}, at the net's size."
        return WeightExample(caption, image, labels, weight)


def _read_plan(path: Path) -> Mapping[str, Any]:
    plan = read_notes(path)
    missing = {"job", "classes", "tile", "zero"} - plan.keys()
    if missing:
        raise DataError(
            f"{path}: says no {', no '.join(sorted(missing))}; accepted is the folder "
            "of a finetuning that has begun to train"
        )
    return plan


def _pairs(entries: Sequence[Mapping[str, str | None]]) -> list[Pair]:
    return [
        Pair(Path(str(one["image"])), Path(one["labels"]) if one["labels"] else None)
        for one in entries
    ]


def _first_gone(pairs: Sequence[Pair]) -> Path | None:
    files = (file for pair in pairs for file in (pair.image, pair.annotation))
    return next((file for file in files if not file.is_file()), None)


def _names(pairs: Sequence[Pair]) -> str:
    shown = ", ".join(pair.image.name for pair in pairs[:6])
    return shown if len(pairs) <= 6 else f"{shown}, ..."
