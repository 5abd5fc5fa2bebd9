"""The curves in a training's log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pyunet.boundary import reading
from pyunet.errors import DataError
from pyunet.training_logs.lines import BeginOfTest, Loss, Output, Rate, Said, read_line

LOG = "train.log"
Curve = dict[int, float]


@dataclass(frozen=True)
class TrainingLog:
    """The curves of a training: values by iteration.

    Attributes
    ----------
    name : str
    loss : dict
        What Caffe displays as the loss: a mean of the last `average_loss`.
    rate : dict
        Learning rate.
    train, test : dict of str to dict
        Outputs of the nets; of those with several numbers each has its place, such as
        ``IoU[0]``. Those of later test nets are named ``loss (net 1)``.
    losses : frozenset of str
        Those outputs that are losses.
    """

    name: str
    loss: Curve
    rate: Curve
    train: dict[str, Curve]
    test: dict[str, Curve]
    losses: frozenset[str]


def read_log(path: Path) -> TrainingLog:
    """Read the log of a training by any Caffe since 2014.

    Where it was resumed within one file, or logs were joined, what came later counts.

    Parameters
    ----------
    path : Path
        What the training wrote to the standard error, or the folder that
        ``caffe train --log`` wrote.

    Raises
    ------
    DataError
        If it cannot be read, or says nothing of a training.
    """
    file = path / LOG if path.is_dir() else path
    with reading(file):
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    log = read_lines(lines, name_of(path))
    if not (log.loss or log.train or log.test):
        raise DataError(
            f"{file}: has no line such as 'Iteration 100, loss = 0.5'; expected the "
            "log of a training by Caffe"
        )
    return log


def read_lines(lines: Iterable[str], name: str) -> TrainingLog:
    """Take the curves out of the lines of a log.

    Examples
    --------
    >>> read_lines(["] Iteration 0, loss = 2", "] Iteration 9, loss = 1"], "a").loss
    {0: 2.0, 9: 1.0}
    """
    log = _Growing()
    for line in lines:
        event = read_line(line)
        if event is not None:
            log.add(event)
    return TrainingLog(
        name,
        log.loss,
        log.rate,
        _named(log.outputs["train"]),
        _named(log.outputs["test"]),
        frozenset(log.losses),
    )


def read_logs(paths: Sequence[Path]) -> list[TrainingLog]:
    """Read several logs; those of equal names get their paths as names."""
    names = [name_of(path) for path in paths]
    logs = []
    for path, name in zip(paths, names, strict=True):
        log = read_log(path)
        alone = names.count(name) == 1
        logs.append(log if alone else _renamed(log, str(path)))
    return logs


def name_of(path: Path) -> str:
    """Give a log its name: that of the folder, or of the file.

    Examples
    --------
    >>> name_of(Path("runs/wide/train.log")), name_of(Path("lenet.log"))
    ('wide', 'lenet')
    """
    absolute = path.absolute()
    if absolute.name == LOG:
        return absolute.parent.name
    return absolute.name.removesuffix(".log")


def _renamed(log: TrainingLog, name: str) -> TrainingLog:
    return TrainingLog(name, log.loss, log.rate, log.train, log.test, log.losses)


@dataclass
class _Growing:
    """The curves so far; outputs by test net, name and place."""

    loss: Curve = field(default_factory=dict)
    rate: Curve = field(default_factory=dict)
    outputs: dict[str, dict[tuple[int, str], dict[int, Curve]]] = field(
        default_factory=lambda: {"train": {}, "test": {}}
    )
    losses: set[str] = field(default_factory=set)
    _iteration: int = 0
    _net: int = 0

    def add(self, event: Said) -> None:
        if isinstance(event, Output):
            net = self._net if event.net == "test" else 0
            places = self.outputs[event.net].setdefault((net, event.name), {})
            places.setdefault(event.number, {})[self._iteration] = event.value
            if event.is_loss:
                self.losses.add(_label(net, event.name))
            return
        self._go_to(event.iteration)
        if isinstance(event, BeginOfTest):
            self._net = event.net
        elif isinstance(event, Loss):
            self.loss[event.iteration] = event.value
        elif isinstance(event, Rate):
            self.rate[event.iteration] = event.value

    def _go_to(self, iteration: int) -> None:
        """Go on; if that is backwards, forget what is computed again."""
        if iteration < self._iteration:
            for curve in self._curves():
                # their iterations only grow
                while curve and next(reversed(curve)) >= iteration:
                    curve.popitem()
        self._iteration = iteration

    def _curves(self) -> Iterable[Curve]:
        yield from (self.loss, self.rate)
        for outputs in self.outputs.values():
            for places in outputs.values():
                yield from places.values()


def _named(outputs: dict[tuple[int, str], dict[int, Curve]]) -> dict[str, Curve]:
    named = {}
    for (net, name), places in outputs.items():
        curves = [places[place] for place in sorted(places)]
        for index, curve in enumerate(curves):
            place = f"[{index}]" if len(curves) > 1 else ""
            named[_label(net, f"{name}{place}")] = curve
    return named


def _label(net: int, name: str) -> str:
    return f"{name} (net {net})" if net else name
