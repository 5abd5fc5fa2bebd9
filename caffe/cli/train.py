"""``caffe train``: train or finetune a model."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from caffe.cli import devices, ranks, watching
from caffe.cli.flags import Flags
from caffe.cli.signals import Requests
from caffe.errors import CheckError
from caffe.glog import log

NAME = "train"
HELP = "train or finetune a model"


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
    if flags.ranks < 1 or (flags.ranks > 1 and flags.gpu):
        raise CheckError(
            f"-ranks {flags.ranks}: expected 1 or more, on the CPU; on GPUs there "
            "is one for each that -gpu names"
        )
    with Requests(flags.sigint_effect, flags.sighup_effect) as requests:
        param = _param(flags)
        gpus = _choose_devices(flags, param)
        places: list[int | None] = [*gpus] or [None] * flags.ranks
        if len(places) > 1:
            ranks.launch(partial(_train_as, flags), places, requests, debug=flags.debug)
        else:
            _train(flags, param, requests)
    log("caffe.cpp:250", "Optimization Done.")
    return 0


def _train_as(flags: Flags, place: ranks.Place) -> None:
    """Train as one of several processes."""
    with Requests(flags.sigint_effect, flags.sighup_effect) as requests:
        ranks.accept_signals()
        from caffe.engine import common

        common.set_solver_count(place.count)
        common.set_solver_rank(place.rank)
        common.set_multiprocess(True)
        if place.gpu is not None:
            common.set_device(place.gpu)
            common.set_mode_gpu()
        _train(flags, _param(flags), requests, place.uid)


def _train(
    flags: Flags, param: Any, requests: Requests, uid: bytes | None = None
) -> None:
    from caffe.engine import catalogue, common
    from caffe.engine.solvers import get_solver
    from caffe.engine.solvers.records import Records

    common.set_precision(flags.precision)
    catalogue.prefer_dialects(*flags.preferred)
    with ExitStack() as stack:
        folder = Path(flags.log) if flags.log and common.root_solver() else None
        if folder is not None:
            resumed = bool(flags.snapshot)
            stack.enter_context(watching.kept_log(folder, resumed=resumed))
        solver = get_solver(param, Path(flags.solver).parent)
        _prepare(solver, flags, requests)
        if folder is not None:
            records = stack.enter_context(Records(folder, solver.iter))
            solver.watchers.append(records)
        if common.root_solver():
            stack.enter_context(watching.bar(solver))
        _solve(solver, uid)


def _prepare(solver: Any, flags: Flags, requests: Requests) -> None:
    solver.action_function = requests.next
    for net in (solver.net, *solver.test_nets):
        net.keep_blobs = False
    if flags.snapshot:
        log("caffe.cpp:235", f"Resuming from {flags.snapshot}")
        solver.restore(flags.snapshot)


def _solve(solver: Any, uid: bytes | None) -> None:
    """Train, alone or with others."""
    from caffe.engine import parallel

    log("caffe.cpp:239", "Starting Optimization")
    if uid is None:
        solver.solve()
        return
    nccl = parallel.NCCL(solver, uid)
    nccl.bcast()
    solver.add_callback(nccl)
    solver.solve()
    nccl.close()


def _param(flags: Flags) -> Any:
    """Read the solver file, with what the flags say over it."""
    from caffe.proto import files

    param = files.read_solver(flags.solver)
    param.train_state.level = flags.level
    param.train_state.stage.extend(flags.stage.split(","))
    if flags.snapshot or flags.weights:
        del param.weights[:]
    if flags.weights:
        param.weights.append(flags.weights)
    return param


def _choose_devices(flags: Flags, param: Any) -> list[int]:
    """Use the GPUs of the flag, else the solver's, if it states a mode."""
    gpu = devices.of_solver(flags.gpu, param, flags.solver)
    if gpu and flags.ranks > 1:
        raise CheckError(
            f"-ranks {flags.ranks}: {flags.solver} says solver_mode: GPU; say "
            "solver_mode: CPU there, or name GPUs with -gpu, one for each rank"
        )
    return devices.choose_for_training(gpu)
