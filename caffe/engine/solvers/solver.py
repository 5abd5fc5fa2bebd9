"""The loop of all solvers: train, test, display, snapshot, resume, in Caffe's order."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from caffe.engine import common, parallel, snapshot
from caffe.engine.memory import memory_errors
from caffe.engine.net import Net
from caffe.engine.solvers import detection, nets, report, resume, snapshots, state
from caffe.engine.solvers.smoothing import SmoothedLoss
from caffe.engine.unknown import check_solver_known
from caffe.errors import FileError
from caffe.glog import log, number
from caffe.proto import caffe_pb2, files, text

Callback = Callable[[], object]


def no_request() -> str:
    """Answer of a solver that nobody interrupts."""
    return "none"


class Solver(ABC):
    """Trains a net as a solver file says, and tests it now and then.

    Parameters
    ----------
    source : path or SolverParameter
        Relative paths in it count from the working directory; a net that is not
        there is looked for beside the solver file.
    folder : Path, optional
        Where the solver file lies, if `source` is none.

    Attributes
    ----------
    param : SolverParameter
    net : Net
        The net that is trained.
    test_nets : list of Net
        The nets that are tested; their parameters are those of `net`.
    iter : int
        Number of updates done.
    action_function : callable
        Asked after each update and before each test batch: ``"none"``, ``"snapshot"``
        or ``"stop"``.
    watchers : list of report.Watcher
        Told how the training goes.
    stopped_early : bool
        True if the last `solve` ended because `action_function` said so.

    Raises
    ------
    CaffeError
        If the solver, one of its nets or their data are wrong, or if snapshots can't
        be written where they shall be.
    """

    @memory_errors()
    def __init__(self, source: Any, folder: Path | None = None) -> None:
        if isinstance(source, (str, os.PathLike)):
            self.param = files.read_solver(source)
            folder = Path(source).parent
        else:
            self.param = caffe_pb2.SolverParameter()
            self.param.CopyFrom(source)
        folder = folder or Path()
        self.iter = 0
        self.action_function: Callable[[], str] = no_request
        self.watchers: list[report.Watcher] = []
        self.stopped_early = False
        self._callbacks: list[tuple[Callback, Callback]] = []
        self._peers: parallel.Peers = parallel.Alone()
        self._resumed_window: SmoothedLoss | None = None
        self._asked_in_test = "none"
        self._before_test: resume.Arrays | None = None
        self._warned = False
        shown = text.to_text(self.param).rstrip()
        heading = "Initializing solver from parameters: "
        log("solver.cpp:45", f"{heading}\n{shown}", several=True)
        check_solver_known(self.param)
        state.check_settings(self.param)
        detection.check_evaluation(self.param)
        self._window = SmoothedLoss(self.param.average_loss)
        self._snapshots = snapshots.Snapshots(self.param)
        if self.param.random_seed >= 0:
            common.set_random_seed(self.param.random_seed + common.solver_rank())
        self.net = nets.train_net(self.param, folder)
        self.test_nets = nets.test_nets(self.param, folder)
        self._prepare()
        log("solver.cpp:57", "Solver scaffolding done.")

    # What a method of optimisation says.

    history: list[torch.Tensor]
    rate: Any

    @abstractmethod
    def _prepare(self) -> None:
        """Check the options of the method and make its history."""

    @abstractmethod
    def apply_update(self) -> None:
        """Turn the gradients into updates, subtract them from the weights, count."""

    # Training.

    @property
    def max_iter(self) -> int:
        """Number of updates after which `solve` ends."""
        return int(self.param.max_iter)

    @property
    def base_lr(self) -> float:
        """Learning rate that the policy starts from; may be set between steps."""
        return float(self.param.base_lr)

    @base_lr.setter
    def base_lr(self, rate: float) -> None:
        self.param.base_lr = rate

    @property
    def lr(self) -> float:
        """Learning rate of the next update."""
        rate: float = self.rate.peek(self.iter)
        return rate

    def add_callback(
        self,
        on_start: Callback | parallel.NCCL,
        on_gradients_ready: Callback | None = None,
    ) -> None:
        """Call functions at the start of each iteration and before its update.

        Parameters
        ----------
        on_start : callable or NCCL
            One object with methods of both names does for both.
        on_gradients_ready : callable, optional
        """
        if isinstance(on_start, parallel.NCCL):
            self._peers = on_start.group
        if on_gradients_ready is None:
            pair: Any = on_start
            on_start, on_gradients_ready = pair.on_start, pair.on_gradients_ready
        self._callbacks.append((cast(Callback, on_start), on_gradients_ready))

    def share_weights(self, net: Net) -> None:
        """Let another net use the weights of this solver's."""
        net.share_with(self.net)

    def step(self, iterations: int) -> None:
        """Do a number of updates, with the tests, displays and snapshots due."""
        self._window = SmoothedLoss(self.param.average_loss)
        self._run(self.iter + iterations)

    def solve(self, resume_file: str | os.PathLike[str] | None = None) -> None:
        """Train until `max_iter`, from a solver state if one is given.

        Raises
        ------
        FileError
            If a snapshot can't be written; an older one is still whole.
        """
        log("solver.cpp:289", f"Solving {self.net.name}")
        log("solver.cpp:290", f"Learning Rate Policy: {self.param.lr_policy}")
        self.stopped_early = False
        if resume_file is not None:
            log(
                "solver.cpp:295",
                f"Restoring previous solver status from {resume_file}",
            )
            self.restore(resume_file)
        if self.param.snapshot_after_train and common.root_solver():
            state.check_prefix(self.param.snapshot_prefix)
        window = self._resumed_window or SmoothedLoss(self.param.average_loss)
        self._window, self._resumed_window = window, None
        self._run(self.param.max_iter)
        if self.param.snapshot_after_train and not self._snapshot_is_due():
            self._snapshot_together()
        if self.stopped_early:
            log("solver.cpp:311", "Optimization stopped early.")
            return
        if self._displays() and common.root_solver():
            loss = window.add(self.net.forward_loss())
            log("solver.cpp:327", f"Iteration {self.iter}, loss = {number(loss)}")
        if self.param.test_interval and self.iter % self.param.test_interval == 0:
            self.test_all()
        log("solver.cpp:332", "Optimization Done.")

    @memory_errors()
    def _run(self, end: int) -> None:
        try:
            self._iterate_or_stop(end)
        except BaseException:
            self._snapshots.give_up()
            raise
        self._snapshots.finish()

    def _iterate_or_stop(self, end: int) -> None:
        try:
            self._iterate(end)
        except FileError as error:
            # who asks to stop may have taken the data away at once: the Fiji plugin
            if self._peers.count > 1 or self.action_function() != "stop":
                raise
            log("solver.cpp:223", f"Stopped within an iteration: {error}", "W")
            self.stopped_early = True

    def _iterate(self, end: int) -> None:
        progress = report.Progress(self.iter, self.param.display)
        while self.iter < end:
            self.net.clear_param_diffs()
            if self._test_is_due():
                self.test_all()
                if self.stopped_early:
                    break
            for on_start, _ in self._callbacks:
                on_start()
            displays, shown = self._displays(), None
            self.net.set_debug_info(displays and self.param.debug_info)
            loss = self._window.add(self._forward_backward())
            if displays and common.root_solver():
                shown = progress.log(self.net, self.iter, loss)
            for _, on_gradients_ready in self._callbacks:
                on_gradients_ready()
            self.apply_update()
            self._tell_watchers(loss, shown)
            self._snapshots.check()
            request = self._peers.agree(self.action_function())
            if request == "snapshot" or self._snapshot_is_due():
                self._snapshot_meanwhile()
            if request == "stop":
                self.stopped_early = True
                break

    def _tell_watchers(self, loss: float, shown: report.Values | None) -> None:
        for watcher in self.watchers:
            watcher.updated(self.iter, loss)
            if shown is not None:
                rate = self.rate.at(self.iter - 1)
                watcher.displayed(self.iter - 1, rate, loss, shown)

    def _forward_backward(self) -> float:
        loss = np.float32(0)
        for _ in range(self.param.iter_size):
            loss += np.float32(self.net.forward_backward())
        loss /= np.float32(self.param.iter_size)
        if not math.isfinite(loss) and not self._warned:
            self._warned = True
            log(
                "solver.cpp:233",
                f"the loss is {loss} after {self.iter} updates; training goes on, but "
                "hardly recovers: lower base_lr, or set clip_gradients",
                "W",
            )
        return float(loss)

    def _displays(self) -> bool:
        return bool(self.param.display) and self.iter % self.param.display == 0

    def _snapshot_is_due(self) -> bool:
        return bool(self.param.snapshot) and self.iter % self.param.snapshot == 0

    def _test_is_due(self) -> bool:
        interval = self.param.test_interval
        if not interval or self.iter % interval:
            return False
        return self.iter > 0 or bool(self.param.test_initialization)

    # Testing.

    def test_all(self) -> None:
        """Run all test nets and log the means of their outputs.

        Of several processes only the first tests; the others wait for it.
        """
        self._before_test = resume.of_nets(self.net, self.test_nets)
        if common.root_solver():
            for index in range(len(self.test_nets)):
                if not self.stopped_early:
                    self._test(index)
        self._settle_requests()
        if self.stopped_early:
            resume.restore_nets(self.net, self.test_nets, self._before_test)
        self._before_test = None

    def _test(self, index: int) -> None:
        log("solver.cpp:347", f"Iteration {self.iter}, Testing net (#{index})")
        net = self.test_nets[index]
        net.share_with(self.net)
        means = detection.tally(self.param)
        for _ in range(self.param.test_iter[index]):
            self._obey()
            if self.stopped_early:
                log("solver.cpp:381", "Test interrupted.")
                return
            means.add(net)
        if self.param.test_compute_loss:
            log("solver.cpp:399", f"Test loss: {number(means.loss)}")
        self._snapshots.finish()  # of these weights, which who reads scores may want
        means.log_details()
        report.scores(net, means.values, "solver.cpp:414", "    Test")
        for watcher in self.watchers:
            watcher.tested(self.iter, index, means.values)

    def _obey(self) -> None:
        while (request := self.action_function()) != "none":
            if request == "stop":
                self.stopped_early = True
            elif self._peers.count > 1:
                self._asked_in_test = request  # others are to snapshot, too
            else:
                self.snapshot()

    def _settle_requests(self) -> None:
        """Let all processes do what was asked of one during its tests."""
        mine = "stop" if self.stopped_early else self._asked_in_test
        request, self._asked_in_test = self._peers.agree(mine), "none"
        self.stopped_early = request == "stop"
        if request == "snapshot":
            self._snapshot_together()

    # Snapshots.

    def snapshot(self) -> None:
        """Write weights, side-car and solver state, each in one piece, in this order.

        They are on the disk when this returns. (Those that a training writes on its
        own are when `step` or `solve` returns.)

        Raises
        ------
        FileError
            If one can't be written; an older snapshot is still whole.
        """
        self._snapshots.write(self._contents())

    def _snapshot_meanwhile(self) -> None:
        """Write a snapshot while training goes on; of several processes, together."""
        if self._peers.count == 1 and common.root_solver():
            self._snapshots.start(self._contents())
        else:
            self._snapshot_together()

    def _snapshot_together(self) -> None:
        """Let rank 0 write a snapshot, all others their side-cars before its state."""
        if self._peers.count == 1:
            if common.root_solver():
                self.snapshot()
        elif common.root_solver():
            with self._snapshots.prepared(self._contents()) as digest:
                self._peers.tell(digest.encode())
                self._peers.agree("none")
        else:
            digest = self._peers.tell(bytes(state.DIGEST_LENGTH)).decode()
            self._snapshots.sidecar(self._contents(), digest)
            self._peers.agree("none")

    def _contents(self) -> snapshots.Contents:
        """All of the solver's state now, also what is in no file of Caffe's."""
        forgotten = self._before_test or resume.of_nets(self.net, self.test_nets)
        window = self._window.state().items()
        return snapshots.Contents(
            self.net,
            self.history,
            self.iter,
            self.rate.current_step,
            {**forgotten, **{f"loss/{name}": value for name, value in window}},
        )

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Go on from a solver state; the weights come from the file that it names.

        Parameters
        ----------
        path : path
            ``.solverstate``, or HDF5 if it ends in ``.h5``. With its side-car beside
            it, what follows is what would have followed, to the last bit.

        Raises
        ------
        CheckError
            If the state is of another net or method, or its side-car holds what no
            training left.
        """
        self._snapshots.finish()
        found = state.read(path)
        if found.learned_net:
            weights = snapshot.find_beside(found.learned_net, path)
            self.net.copy_from(weights)
        method = type(self).__name__.removesuffix("Solver")
        state.restore_history(self.history, found.history, path=path, method=method)
        self.iter, self.rate.current_step = found.iteration, found.current_step
        self._resumed_window = None
        forgotten = state.read_sidecar(path, place=snapshots.place())
        if forgotten is not None:
            with state.taking_back(path, place=snapshots.place()):
                resume.restore_nets(self.net, self.test_nets, forgotten)
                window = SmoothedLoss(self.param.average_loss)
                window.restore(resume.part(forgotten, "loss/"))
                self._resumed_window = window
