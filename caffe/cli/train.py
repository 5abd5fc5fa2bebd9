"""``caffe train``: train or finetune a model."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caffe.cli import devices
from caffe.cli.flags import Flags
from caffe.cli.signals import Requests
from caffe.engine.log import log
from caffe.errors import CheckError, DeviceError

if TYPE_CHECKING:
    from caffe.engine.solvers import SGDSolver

NAME = "train"
HELP = "train or finetune a model"
_MINUTE = 60


def run(flags: Flags) -> int:
    """Train as a solver file says, from nothing, weights, or a solver state.

    Raises
    ------
    CaffeError
        If flags, files or the device are wrong, or a snapshot can't be written.
    """
    if not flags.solver:
        raise CheckError("Need a solver definition to train: -solver FILE")
    if flags.snapshot and flags.weights:
        raise CheckError(
            "Give a snapshot to resume training or weights to finetune but not both."
        )
    with Requests(flags.sigint_effect, flags.sighup_effect) as requests:
        solver = _solver(flags)
        solver.action_function = requests.next
        for net in (solver.net, *solver.test_nets):
            net.keep_blobs = False
        if sys.stderr.isatty():
            solver.add_callback(_RemainingTime(solver).show, lambda: None)
        if flags.snapshot:
            log("caffe.cpp:235", f"Resuming from {flags.snapshot}")
            solver.restore(flags.snapshot)
        log("caffe.cpp:239", "Starting Optimization")
        solver.solve()
        log("caffe.cpp:250", "Optimization Done.")
    return 0


def _solver(flags: Flags) -> SGDSolver:
    from caffe.proto import files

    param = files.read_solver(flags.solver)
    param.train_state.level = flags.level
    param.train_state.stage.extend(flags.stage.split(","))
    _choose_device(flags, param)
    if flags.snapshot or flags.weights:
        del param.weights[:]
    if flags.weights:
        param.weights.append(flags.weights)

    from caffe.engine.solvers import get_solver

    return get_solver(param, Path(flags.solver).parent)


def _choose_device(flags: Flags, param: Any) -> None:
    """Use the device of the flag, else the solver's, if it states a mode."""
    gpu_in_file = param.HasField("solver_mode") and param.solver_mode == param.GPU
    if flags.gpu or not gpu_in_file:
        devices.choose(flags.gpu, "caffe.cpp:197")
        return
    try:
        devices.choose(str(param.device_id), "caffe.cpp:197")
    except DeviceError as error:
        raise DeviceError(
            f"{flags.solver} says solver_mode: GPU, but {error}; "
            "say solver_mode: CPU there to train without one"
        ) from error


class _RemainingTime:
    """Says for a person at a terminal how far the training is."""

    def __init__(self, solver: SGDSolver) -> None:
        self._solver = solver
        self._first: tuple[int, float] | None = None

    def show(self) -> None:
        """Write a line where the solver displays."""
        solver, now = self._solver, time.monotonic()
        if self._first is None:
            self._first = (solver.iter, now)
        begin, since = self._first
        display, end = solver.param.display, solver.param.max_iter
        if not display or solver.iter % display or solver.iter == begin:
            return
        seconds = (now - since) / (solver.iter - begin) * (end - solver.iter)
        left = (
            f"{seconds / _MINUTE:.0f} min"
            if seconds > _MINUTE
            else (f"{seconds:.0f} s")
        )
        share = 100 * solver.iter / end
        log("caffe.cpp:240", f"Progress {share:.0f} %, about {left} left")
