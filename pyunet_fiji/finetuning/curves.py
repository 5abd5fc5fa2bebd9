"""The curves of a finetuning: losses and what validation found, kept as CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pyunet.boundary import reading
from pyunet.errors import DataError
from pyunet.files import atomic_path
from pyunet_fiji.finetuning.log_lines import Step, Validation

MEASURES = ("iou", "f1_detection", "f1_segmentation")
FIRST_COLUMNS = ("iteration", "training_loss", "validation_loss")


@dataclass
class Curves:
    """What is known of a training so far.

    Attributes
    ----------
    class_names : tuple of str
        Without background.
    training : dict of int to float
        Iteration -> loss of the tile before that update.
    validation : dict of int to Validation
        Number of updates -> what validation found then.
    """

    class_names: tuple[str, ...]
    training: dict[int, float] = field(default_factory=dict)
    validation: dict[int, Validation] = field(default_factory=dict)

    def add(self, event: Step | Validation) -> None:
        """Take in a step or a validation."""
        if isinstance(event, Step):
            self.training[event.iteration] = event.loss
        else:
            self.validation[event.iteration] = event

    def cut(self, iteration: int) -> None:
        """Forget what comes after a snapshot: it will be computed again."""
        self.training = {k: v for k, v in self.training.items() if k < iteration}
        self.validation = {k: v for k, v in self.validation.items() if k <= iteration}

    def best(self) -> Validation | None:
        """Give the best validation of trained weights, the earliest of equal ones.

        By the mean IoU of the classes; where that is equal, by the loss. Not by F1:
        Freiburg's layer leaves out tiles where nothing was found.

        Examples
        --------
        >>> curves = Curves(("cell",))
        >>> for iteration, iou in ((0, 0.9), (5, 0.5), (10, 0.7)):
        ...     curves.add(Validation(iteration, 0.3, (iou,), (0.5,), (0.5,)))
        >>> curves.best().iteration
        10
        """
        trained = [self.validation[k] for k in sorted(self.validation) if k > 0]
        return max(trained, key=rank) if trained else None

    def write_csv(self, path: Path) -> None:
        """Write one line an iteration; cells of what was not measured are empty.

        Raises
        ------
        DataError
            The file cannot be written.
        """
        with (
            atomic_path(path) as draft,
            draft.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(_columns(self.class_names))
            for iteration in sorted({*self.training, *self.validation}):
                writer.writerow(self._row(iteration))

    @classmethod
    def read_csv(cls, path: Path, class_names: Sequence[str]) -> Curves:
        """Read what `write_csv` wrote; no file is no curves.

        Raises
        ------
        DataError
            A file of something else.
        """
        curves = cls(tuple(class_names))
        if not path.is_file():
            return curves
        with (
            reading(path, "is no CSV"),
            path.open(newline="", encoding="utf-8") as file,
        ):
            rows = list(csv.reader(file))
        columns = _columns(class_names)
        if not rows or rows[0] != columns:
            raise DataError(
                f"{path}: are no curves of a finetuning of the classes "
                f"{', '.join(class_names)}"
            )
        with reading(path, "is damaged"):
            for row in rows[1:]:
                curves._take(row)
        return curves

    def _row(self, iteration: int) -> list[str]:
        loss = self.training.get(iteration)
        found = self.validation.get(iteration)
        values: list[float | None] = [loss, found.loss if found else None]
        for measure in MEASURES:
            values += getattr(found, measure, (None,) * len(self.class_names))
        return [str(iteration), *("" if v is None else f"{v:.6g}" for v in values)]

    def _take(self, row: Sequence[str]) -> None:
        iteration, loss, validation_loss, *values = row
        if loss:
            self.training[int(iteration)] = float(loss)
        if validation_loss:
            count = len(self.class_names)
            each = [
                tuple(float(value) for value in values[i * count : (i + 1) * count])
                for i in range(len(MEASURES))
            ]
            self.validation[int(iteration)] = Validation(
                int(iteration), float(validation_loss), *each
            )


def rank(found: Validation) -> tuple[float, float]:
    """Give what makes a validation better than another one, the larger the better."""
    loss = found.loss if math.isfinite(found.loss) else math.inf
    return mean(found.iou), -loss


def mean(values: Sequence[float]) -> float:
    """Give the mean of what is a number; 0 where nothing is.

    >>> mean((0.5, float("nan"), 1.0)), mean(())
    (0.75, 0)
    """
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else 0


def _columns(class_names: Sequence[str]) -> list[str]:
    measured = [f"{one}_{name}" for one in MEASURES for name in class_names]
    return [*FIRST_COLUMNS, *measured]
