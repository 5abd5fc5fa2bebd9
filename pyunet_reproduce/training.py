"""Train with progress, stop and go on: the loop of ``caffe train``, by pycaffe."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm

from pyunet.errors import DataError
from pyunet.files import atomic_path
from pyunet.signals import ASKING, handled

STEPS = 10  # between looks at the clock and at Ctrl-C


def train(
    solver_file: Path, weights: Path, *, gpu: int | None = None, label: str = "train"
) -> float:
    """Train to the solver's end, from its last snapshot where there is one.

    Ctrl-C ends it after a snapshot; calling it again goes on there, and the weights
    are those that would have come without the stop.

    Parameters
    ----------
    solver_file : Path
    weights : Path
        Where the trained weights go. A training that has them is done.
    gpu : int, optional
        Default: the CPU.
    label : str
        What the progress bar is called.

    Returns
    -------
    float
        The mean loss of the last steps.

    Raises
    ------
    DataError
        The loss is not a number.
    Exception
        Caffe's own, for files that cannot be used.
    KeyboardInterrupt
        It was stopped.
    """
    be_quiet()
    import caffe

    if gpu is None:
        caffe.set_mode_cpu()
    else:
        caffe.set_device(gpu)
        caffe.set_mode_gpu()
    settings = caffe.read_solver(solver_file)
    prefix = Path(settings.snapshot_prefix)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    solver = caffe.get_solver(str(solver_file))
    last = last_snapshot(prefix)
    if last is not None:
        solver.restore(str(last))
    loss = _steps(solver, settings.max_iter, label)
    with atomic_path(weights) as draft:
        solver.net.save(str(draft))
    return loss


def be_quiet() -> None:
    """Ask Caffe for no log lines, and for threads that sleep while they wait.

    Before Caffe is imported: afterwards its threads are what they are.
    """
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def last_snapshot(prefix: Path) -> Path | None:
    """Find the snapshot with the most iterations.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for number in (9, 10):
    ...         Path(folder, f"net_iter_{number}.solverstate").touch()
    ...     last_snapshot(Path(folder, "net")).name
    'net_iter_10.solverstate'
    """
    snapshots = {
        int(match[1]): path
        for path in prefix.parent.glob(f"{prefix.name}_iter_*.solverstate")
        if (match := re.search(r"_iter_(\d+)$", path.stem))
    }
    return snapshots[max(snapshots)] if snapshots else None


def _steps(solver: Any, iterations: int, label: str) -> float:
    mean: float | None = None
    with (
        _asked_to_stop() as stop,
        tqdm(
            total=iterations, initial=solver.iter, desc=label, unit="step", disable=None
        ) as progress,
    ):
        while solver.iter < iterations:
            before = solver.iter
            solver.step(min(STEPS, iterations - before))
            now = float(solver.net.blobs["loss"].data)
            if now != now:
                raise DataError(
                    f"{label}: the loss is not a number after {solver.iter} steps: "
                    "take a lower base_lr"
                )
            mean = now if mean is None else 0.95 * mean + 0.05 * now
            progress.update(solver.iter - before)
            progress.set_postfix(loss=f"{mean:.4f}")
            if stop and solver.iter < iterations:
                solver.snapshot()
                raise KeyboardInterrupt
    return float("nan") if mean is None else mean


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """Collect Ctrl-C instead of breaking off in the middle of a step."""
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    with handled(ASKING, note):
        yield asked
