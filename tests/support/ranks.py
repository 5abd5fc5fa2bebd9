"""Work for processes that train together; they find it by its name."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

TIMEOUT_S = 120


def together(work: Any, count: int, *arguments: Any) -> list[Any]:
    """Run ``work(rank, count, uid, *arguments)`` in processes; what each returned."""
    from caffe.engine.parallel import NCCL

    uid = NCCL.new_uid()
    context = multiprocessing.get_context("spawn")
    with context.Pool(count) as pool:
        jobs = [
            pool.apply_async(work, (rank, count, uid, *arguments))
            for rank in range(count)
        ]
        return [job.get(TIMEOUT_S) for job in jobs]


def exchange(rank: int, count: int, uid: bytes) -> dict[str, Any]:
    """What every kind of exchange gives a rank."""
    import torch

    from caffe.engine.parallel import Group

    group = Group(rank, count, uid)
    grid = torch.arange(16.0).view(1, 4, 2, 2)
    laid_out = (grid * (rank + 1)).contiguous(memory_format=torch.channels_last)
    means = [laid_out, torch.tensor([float(rank)])]
    group.average(means)
    first = [torch.full((2,), float(rank + 7))]
    group.broadcast(first)
    group.average([])
    found = {
        "means": [value.tolist() for value in means],
        "first": first[0].tolist(),
        "threads": torch.get_num_threads(),
        "told": group.tell(bytes([rank + 5, 2])),
        "agreed": [
            group.agree("none"),
            group.agree("snapshot" if rank else "none"),
            group.agree("stop" if rank else "snapshot"),
        ],
    }
    group.close()
    return found


def train(
    rank: int, count: int, uid: bytes, folder: str, solver_file: str, steps: int
) -> dict[str, Any]:
    """Train as BVLC's python/train.py does; the weights."""
    import caffe
    from caffe.engine import common, parallel

    os.chdir(folder)
    common.set_solver_count(count)
    common.set_solver_rank(rank)
    common.set_multiprocess(True)
    solver = caffe.SGDSolver(solver_file)
    nccl = parallel.NCCL(solver, uid)
    nccl.bcast()
    solver.add_callback(nccl)
    seen: list[int] = []
    solver.add_callback(lambda: None, lambda: seen.append(solver.iter))
    if solver.param.layer_wise_reduce:
        nccl(0)
    solver.step(steps)
    nccl.close()
    assert seen == list(range(steps))
    return {
        f"{name}.{index}": np.array(blob.data)
        for name, blobs in solver.net.params.items()
        for index, blob in enumerate(blobs)
    }


# Pieces of work for `caffe.cli.ranks.launch`.


def say_places(folder: str, place: Any) -> None:
    """Write what a process knows of itself into a file."""
    text = f"{place.rank} {place.count} {place.gpu}"
    Path(folder, str(place.rank)).write_text(text)


def all_fail(place: Any) -> None:
    """Fail in every process."""
    from caffe.errors import CheckError

    raise CheckError(f"no\nnet for {place.rank}")


def second_fails(place: Any) -> None:
    """Fail in rank 1 while rank 0 waits for it in an exchange."""
    _wait_for_second(place, lambda: {}["gone"])


def second_is_killed(place: Any) -> None:
    """Die in rank 1 while rank 0 waits for it in an exchange."""
    _wait_for_second(place, lambda: os.kill(os.getpid(), signal.SIGKILL))


def second_is_stopped(place: Any) -> None:
    """Stop rank 1 while rank 0 waits for it in an exchange."""
    _wait_for_second(place, lambda: os.kill(os.getpid(), signal.SIGSTOP))


def both_wait(place: Any) -> None:
    """Take signals, and do nothing about them."""
    from caffe.cli.ranks import accept_signals
    from caffe.cli.signals import Requests

    with Requests("stop", "snapshot"):
        accept_signals()
        time.sleep(TIMEOUT_S)


def second_leaves(place: Any) -> None:
    """End rank 1 without a word while rank 0 is busy with something else."""
    if place.rank:
        sys.stderr.flush()
        os._exit(3)
    time.sleep(TIMEOUT_S)


def first_takes_a_signal(place: Any) -> None:
    """Wait in rank 0 for a signal, which must not have come too early."""
    from caffe.cli.ranks import accept_signals
    from caffe.cli.signals import Requests
    from caffe.errors import CheckError

    if place.rank:
        return
    with Requests("stop", "snapshot") as requests:
        accept_signals()
        end = time.monotonic() + TIMEOUT_S
        while (request := requests.next()) == "none" and time.monotonic() < end:
            time.sleep(0.01)
    raise CheckError(f"asked for {request}")


def _wait_for_second(place: Any, die: Any) -> None:
    import torch

    from caffe.engine.parallel import Group

    group = Group(place.rank, place.count, place.uid)
    if place.rank:
        die()
    group.average([torch.zeros(3)])
