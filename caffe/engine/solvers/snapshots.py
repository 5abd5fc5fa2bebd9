"""Snapshots of a solver: which files, in which order, and the thread that writes them.

Training goes on while a thread writes a copy of weights and history: at most one
snapshot at a time, and none where memory for the copy is scarce.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from caffe import atomic
from caffe.engine import common, memory, snapshot
from caffe.engine.blob import Blob
from caffe.engine.solvers import state
from caffe.errors import FileError
from caffe.glog import log
from caffe.proto import caffe_pb2

_SHARE_OF_FREE = 0.5  # of the memory that is free now: the copy takes at most so much


@dataclass(frozen=True)
class Contents:
    """What a snapshot holds.

    Attributes
    ----------
    net : Writable
    history : list of torch.Tensor
    iteration, current_step : int
        See `state.SolverState`.
    forgotten : dict of str to ndarray
        For the side-car: what shapes the further course and Caffe forgets.
    """

    net: snapshot.Writable
    history: list[torch.Tensor]
    iteration: int
    current_step: int
    forgotten: state.Arrays


class Snapshots:
    """Writes the snapshots that a solver file asks for.

    Each file in one piece, in this order: weights, side-car, solver state.

    Parameters
    ----------
    param : SolverParameter
    """

    def __init__(self, param: Any) -> None:
        self._param = param
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def write(self, contents: Contents) -> None:
        """Write a snapshot; it is on the disk when this returns.

        Raises
        ------
        FileError
            If a file can't be written; an older snapshot is still whole.
        """
        with self.prepared(contents):
            pass

    @contextmanager
    def prepared(self, contents: Contents) -> Iterator[str]:
        """Write a snapshot, which is to be found when the block ends without error.

        Meanwhile others may put their side-cars beside the state to be.

        Yields
        ------
        str
            `state.fingerprint` of the solver state.

        Raises
        ------
        FileError
            As `write`.
        """
        self.finish()
        self._announce_weights(contents.iteration)
        self._announce_state(contents.iteration)
        with self._drafts(contents) as digest:
            yield digest

    def start(self, contents: Contents) -> None:
        """Write a snapshot while the caller goes on, if there is memory for a copy.

        Raises
        ------
        FileError
            As `write` does; also if the snapshot before couldn't be written. What
            goes wrong later, `check` and `finish` raise.
        """
        self.finish()
        if not _room_for(contents, gradients=self._param.snapshot_diff):
            self.write(contents)
            return
        self._announce_weights(contents.iteration)
        self._announce_state(contents.iteration)
        held = replace(
            contents,
            net=_Held(contents.net, gradients=self._param.snapshot_diff),
            history=[_copy(values) for values in contents.history],
        )

        def write() -> None:
            with self._drafts(held):
                pass

        # no daemon: the interpreter waits for it, whatever ends the program
        self._thread = threading.Thread(
            target=self._keep_error, args=(write,), name="caffe-snapshot"
        )
        self._thread.start()

    def finish(self) -> None:
        """Wait until what was started is on the disk.

        Raises
        ------
        FileError
            If it couldn't be written; an older snapshot is still whole.
        """
        if self._thread is not None:
            self._thread.join()
        self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def check(self) -> None:
        """Raise what `finish` would raise if it is known already; do not wait."""
        if self._thread is not None and not self._thread.is_alive():
            self.finish()

    def give_up(self) -> None:
        """As `finish`, when something else went wrong: only log that this did too."""
        try:
            self.finish()
        except Exception as error:
            log("solver.cpp:455", str(error), "E")

    def sidecar(self, contents: Contents, digest: str) -> None:
        """Write the side-car of this process to a solver state."""
        with self._draft_sidecar(contents, digest) as draft:
            draft.keep()

    @property
    def _hdf5(self) -> bool:
        kind = caffe_pb2.SolverParameter
        return bool(self._param.snapshot_format == kind.HDF5)

    @property
    def _shown(self) -> str:
        return "HDF5" if self._hdf5 else "binary proto"

    def _file(self, kind: str, iteration: int) -> str:
        ending = ".h5" if self._hdf5 else ""
        return f"{self._param.snapshot_prefix}_iter_{iteration}.{kind}{ending}"

    def _announce_weights(self, iteration: int) -> None:
        state.check_prefix(self._param.snapshot_prefix)
        log(
            f"solver.cpp:{474 if self._hdf5 else 464}",
            f"Snapshotting to {self._shown} file {self._file('caffemodel', iteration)}",
        )

    def _announce_state(self, iteration: int) -> None:
        path = self._file("solverstate", iteration)
        log(
            f"sgd_solver.cpp:{296 if self._hdf5 else 284}",
            f"Snapshotting solver state to {self._shown} file {path}",
        )

    @contextmanager
    def _drafts(self, contents: Contents) -> Iterator[str]:
        """Write all files before the first one stands in its place.

        What is put there one after the other stays a snapshot wherever a kill comes
        between: the state, from which a training goes on, is the last.
        """
        weights = self._file("caffemodel", contents.iteration)
        path = self._file("solverstate", contents.iteration)
        current = state.SolverState(
            contents.iteration,
            weights,
            contents.current_step,
            [values.cpu().numpy() for values in contents.history],
        )
        with ExitStack() as stack:
            first = snapshot.draft_weights(
                contents.net,
                weights,
                hdf5_format=self._hdf5,
                write_diff=self._param.snapshot_diff,
            )
            stack.enter_context(first)
            last, digest = state.draft(current, path, hdf5_format=self._hdf5)
            stack.enter_context(last)
            sidecar = self._draft_sidecar(contents, digest)
            stack.enter_context(sidecar)
            _withdraw(last, [first, sidecar])
            yield digest
            for draft in (first, sidecar, last):
                draft.keep()

    def _draft_sidecar(self, contents: Contents, digest: str) -> atomic.Written:
        return state.draft_sidecar(
            self._file("solverstate", contents.iteration),
            contents.forgotten,
            digest=digest,
            place=place(),
        )

    def _keep_error(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._error = error


def _withdraw(last: atomic.Written, others: Sequence[atomic.Written]) -> None:
    """Take a state of the same name away before another's weights lie beside it.

    A training that is repeated from an older snapshot leaves it: it says the same.

    Raises
    ------
    FileError
        If the system refuses.
    """
    if not last.name.exists() or all(draft.is_there() for draft in (*others, last)):
        return
    try:
        last.name.resolve().unlink(missing_ok=True)
    except OSError as error:
        raise FileError(
            f"{last.name}: cannot be replaced: {atomic.reason(error)}"
        ) from error


def place() -> tuple[int, int]:
    """Rank of this process, and number of ranks."""
    return common.solver_rank(), common.solver_count()


class _Held:
    """The parameters of a net as they are now, whatever becomes of the net."""

    def __init__(self, net: snapshot.Writable, *, gradients: bool) -> None:
        copies: dict[int, _HeldBlob] = {}
        for blob in net.written_blobs:
            if id(blob) not in copies:
                copies[id(blob)] = _HeldBlob(blob, gradients=gradients)
        self.written_blobs = [copies[id(blob)] for blob in net.written_blobs]
        self.param_entries = [
            _HeldEntry(
                entry.layer_name, entry.index, copies[id(entry.blob)], entry.owned
            )
            for entry in net.param_entries
        ]
        self._layer_names = list(net._layer_names)
        self._outline = net.outline()

    def outline(self) -> Any:
        return self._outline


class _HeldBlob:
    def __init__(self, blob: Blob, *, gradients: bool) -> None:
        self.count = blob.count
        self._values = _copy(blob.tensor(common.device()))
        self._gradients = np.array(blob.gradients() if gradients else 0, np.float32)

    def values(self) -> NDArray[np.float32]:
        return self._values.contiguous().numpy()

    def gradients(self) -> NDArray[np.float32]:
        return self._gradients


@dataclass(frozen=True)
class _HeldEntry:
    layer_name: str
    index: int
    blob: _HeldBlob
    owned: bool


def _copy(values: torch.Tensor) -> torch.Tensor:
    """Copy to the host as it lies in memory; the writer puts it in order."""
    return values.detach().to("cpu", copy=True)


def _room_for(contents: Contents, *, gradients: bool) -> bool:
    free = memory.available()
    count = sum(blob.count for blob in contents.net.written_blobs) * (1 + gradients)
    count += sum(values.numel() for values in contents.history)
    return free is None or 4 * count <= _SHARE_OF_FREE * free
