"""Train by ``caffe train``, as the plugin does: read its log, keep what it leaves.

A process of its own, because counts of validation stand nowhere but in the log. It is
stopped by SIGINT, after a snapshot; the next run goes on there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import h5py
from tqdm import tqdm

from pyunet import children
from pyunet.errors import DataError
from pyunet.files import atomic_path, followed
from pyunet.signals import ASKING, handled
from pyunet_fiji.finetuning.curves import Curves, mean, rank
from pyunet_fiji.finetuning.log_lines import Event, LogReader, Snapshot, Validation
from pyunet_fiji.finetuning.plot import curves_png

SOLVER, PREFIX = "solver.prototxt", "snapshot"
ITERATION = re.compile(rf"^{PREFIX}_iter_(\d+)\.")
ERROR_LINE = re.compile(r"^[EF]\d{4,8} .*?\] (?:caffe train: )?(.*)$")
KEPT = 2  # snapshots: the newest may be half written when the power fails


@dataclass(frozen=True)
class Training:
    """One training.

    Attributes
    ----------
    folder : Path
        Holds ``solver.prototxt`` and all that it names; snapshots go there.
    iterations : int
    weights : Path or None
        To start from; None for a training from scratch.
    gpu : int or None
        None for the CPU.
    log, csv, png, best : Path
        Where the log, the curves, their picture and the best weights go.
    held : tuple of int
        Descriptors whose locks the training holds, too.
    """

    folder: Path
    iterations: int
    weights: Path | None
    gpu: int | None
    log: Path
    csv: Path
    png: Path
    best: Path
    held: tuple[int, ...] = ()

    def snapshot(self, iteration: int) -> Path:
        """Give the file of a snapshot's weights."""
        return self.folder / f"{PREFIX}_iter_{iteration}.caffemodel.h5"


def train(training: Training, curves: Curves) -> int:
    """Train to the end, or to a stop; from the last snapshot where there is one.

    Parameters
    ----------
    training : Training
    curves : Curves
        Those of the run so far; what is found is added.

    Returns
    -------
    int
        Updates that the last snapshot holds; fewer than all if it was stopped by
        SIGINT, SIGTERM or SIGHUP.

    Raises
    ------
    DataError
        ``caffe`` refused or failed, with its reason; the loss is not a number.
    """
    start = last_snapshot(training.folder, _followed(training, curves))
    # of a run that was killed: what it said of later ones is lost
    _delete(training.folder, lambda iteration: iteration > (start or 0))
    curves.cut(start or 0)
    curves.write_csv(training.csv)
    reader = LogReader(len(curves.class_names))
    known = [] if start is None else [start]
    follower = _Follower(training, curves, reader, known)
    with _stopping() as stop, _start(training, start) as process:
        stop.reach(process)
        try:
            follower.follow(process, start or 0)
        except BaseException:
            process.kill()
            process.wait()
            first = follower.diverged
            _delete(training.folder, lambda iteration: iteration >= first)
            raise
    follower.keep()
    reached = last_snapshot(training.folder) or 0
    failed = process.returncode != 0 or reached < training.iterations
    if failed and not stop.asked:
        raise DataError(_reason(training, process.returncode))
    return reached


def last_snapshot(folder: Path, most: float = math.inf) -> int | None:
    """Find the newest whole snapshot: its number of updates, None without one.

    Parameters
    ----------
    folder : Path
    most : float, optional
        One of so many updates, or fewer.
    """
    found = (ITERATION.match(file.name) for file in folder.glob("*.solverstate.h5"))
    iterations = sorted(int(one[1]) for one in found if one and int(one[1]) <= most)
    for iteration in reversed(iterations):
        stem = f"{PREFIX}_iter_{iteration}"
        kinds = ("solverstate", "caffemodel")
        if all(_is_whole(folder / f"{stem}.{kind}.h5") for kind in kinds):
            return iteration
    return None


def _followed(training: Training, curves: Curves) -> float:
    """How many updates the curves hold: the log of a killed run is not read to its end.

    Without curves, which somebody may have deleted, all that there are.
    """
    if not training.csv.is_file():
        return math.inf
    return max(curves.training, default=-1) + 1


def caffe_command() -> list[str]:
    """Give the words that start ``caffe``: this Python's, else the first on PATH.

    Raises
    ------
    DataError
        There is none.
    """
    if importlib.util.find_spec("caffe.__main__") is not None:
        return [sys.executable, "-m", "caffe"]
    found = shutil.which("caffe")
    if found is None:
        raise DataError("no command 'caffe' on PATH, and this Python's has none")
    return [found]


@dataclass
class _Follower:
    """Takes in the log of a training as it is written."""

    training: Training
    curves: Curves
    reader: LogReader
    snapshots: list[int]
    diverged: float = math.inf  # the iteration whose loss was no number

    def follow(self, process: subprocess.Popen[str], start: int) -> None:
        with (
            self.training.log.open("a", encoding="utf-8") as log,
            tqdm(
                total=self.training.iterations,
                initial=start,
                desc="finetune",
                unit="step",
                disable=None,
            ) as progress,
        ):
            for line in process.stdout or ():
                log.write(line)
                log.flush()
                event = self.reader.read(line)
                if event is not None:
                    self.take(event, progress)

    def take(self, event: Event, progress: tqdm[None]) -> None:
        """Note an event; a loss that is no number ends the training."""
        if isinstance(event, Snapshot):
            # the next run goes on from here, so these rows must be on the disk
            self.curves.write_csv(self.training.csv)
            self.snapshots.append(event.iteration)
            oldest = self.snapshots[-KEPT:][0]
            _delete(self.training.folder, lambda iteration: iteration < oldest)
        elif isinstance(event, Validation):
            self._validated(event)
            progress.set_postfix(IoU=f"{mean(event.iou):.3f}", refresh=False)
        elif not math.isfinite(event.loss):
            self.diverged = event.iteration
            raise DataError(
                f"the loss is not a number after {event.iteration} iterations: take a "
                "lower --rate"
            )
        else:
            self.curves.add(event)
            progress.n = event.iteration + 1
            progress.set_description(f"finetune, loss {event.loss:.4f}", refresh=False)
            progress.update(0)

    def keep(self) -> None:
        """Write the curves."""
        self.curves.write_csv(self.training.csv)
        curves_png(self.training.png, self.curves)

    def _validated(self, found: Validation) -> None:
        """Keep the weights of the best validation before it is noted as such."""
        best = self.curves.best()
        weights = self.training.snapshot(found.iteration)
        is_best = best is None or rank(found) > rank(best)
        if found.iteration and is_best and weights.is_file():
            with atomic_path(self.training.best) as draft:
                shutil.copyfile(weights, draft)
        self.curves.add(found)
        self.keep()


class _Stop:
    """Passes a wish to stop on to the training as soon as there is one."""

    def __init__(self) -> None:
        self.asked = False
        self._process: subprocess.Popen[str] | None = None

    def note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._tell()

    def reach(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        if self.asked:
            self._tell()

    def _tell(self) -> None:
        if self._process is not None:
            # where a program cannot be sent SIGINT, the terminal's reached it, too
            with contextlib.suppress(ValueError, OSError):
                self._process.send_signal(signal.SIGINT)


@contextlib.contextmanager
def _stopping() -> Iterator[_Stop]:
    stop = _Stop()
    with handled(ASKING, stop.note):
        yield stop


def _start(training: Training, start: int | None) -> subprocess.Popen[str]:
    words = [*caffe_command(), "train", "-solver", SOLVER, "-sigint_effect", "stop"]
    if start is not None:
        words += ["-snapshot", f"{PREFIX}_iter_{start}.solverstate.h5"]
    elif training.weights is not None:
        words += ["-weights", str(followed(training.weights))]
    if training.gpu is not None:
        words += ["-gpu", str(training.gpu)]
    # in a session of its own: Ctrl-C is to reach it once, through this process
    return children.start(
        words,
        held=training.held,
        cwd=training.folder,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )


def _environment() -> dict[str, str]:
    """Let the training log, and find the caffe that this process finds."""
    found = {**os.environ, "GLOG_minloglevel": "0"}
    found.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    spec = importlib.util.find_spec("caffe")
    home = Path(spec.origin).parents[1] if spec and spec.origin else None
    if home is not None and "site-packages" not in home.parts:
        paths = [str(home), *filter(None, [found.get("PYTHONPATH")])]
        found["PYTHONPATH"] = os.pathsep.join(paths)
    return found


def _is_whole(path: Path) -> bool:
    try:
        with h5py.File(path, "r") as file:
            return len(file) > 0
    except OSError:
        return False


def _delete(folder: Path, unwanted: Callable[[int], bool]) -> None:
    """Delete snapshots by their number of updates."""
    for file in folder.glob(f"{PREFIX}_iter_*"):
        found = ITERATION.match(file.name)
        if found and unwanted(int(found[1])):
            file.unlink()


def _reason(training: Training, status: int) -> str:
    """Find the line of the log that says why a training ended."""
    lines = training.log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = [found[1] for line in lines[-200:] if (found := ERROR_LINE.match(line))]
    last = said[-1] if said else next((one for one in reversed(lines) if one), "")
    hint = ": take smaller tiles (--tile)" if "out of memory" in last else ""
    return (
        f"caffe train ended with status {status}: {last}{hint} (its log is "
        f"{training.log})"
    )
