"""The processes of one training: started, watched and ended together."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

from caffe.cli import describe
from caffe.cli.signals import SIGNALS, Requests
from caffe.errors import CaffeError, PeerError

_GRACE_S = 5.0  # for the others to say themselves what they died of
_BEAT_S = 1.0
_SILENT_BEATS = 300  # a rank that reads a large file in one piece has no time for them
_SILENT_BEATS_WHEN_STOPPING = 20
_AT_ONCE = 3  # requests to stop, in case the ranks wait for each other for ever


@dataclass(frozen=True)
class Place:
    """What one of the processes knows of its part.

    Attributes
    ----------
    rank, count : int
        Its number, and how many there are.
    uid : bytes
        Where they meet.
    gpu : int or None
        The GPU that it computes on; None: the CPU.
    """

    rank: int
    count: int
    uid: bytes
    gpu: int | None


@dataclass
class _Rank:
    process: Any
    report: connection.Connection
    beats: connection.Connection
    silent: int = 0  # beats that did not come
    began: bool = False
    ended: bool = False  # by us: what it died of then tells nothing

    def end(self) -> None:
        self.ended = self.process.is_alive()
        self.process.kill()
        self.process.join()

    def listen(self) -> None:
        """Take in the signs of life; called once a beat.

        What counts is how often none came, not the time: a machine may sleep.
        """
        self.silent += 1
        with contextlib.suppress(EOFError, OSError):
            while self.beats.poll():
                self.beats.recv_bytes()
                self.silent, self.began = 0, True

    def failure(self) -> tuple[int, str] | None:
        """How telling it is (0: most) and what went wrong; None if nothing did."""
        number, status = int(self.process.name), self.process.exitcode
        name = f"rank {number}"
        try:
            if self.report.poll():
                lost_others, text = self.report.recv()
                shown = f"{name}: {text}" if number and not lost_others else text
                return (2 if lost_others else 0), shown
        except EOFError:
            pass
        if self.ended:
            return None
        if status < 0:
            return 1, f"{name} was killed by {signal.Signals(-status).name}"
        return (1, f"{name} ended with status {status}") if status else None


def launch(
    work: Callable[[Place], None],
    gpus: Sequence[int | None],
    requests: Requests,
    *,
    debug: bool = False,
) -> None:
    """Run a function in one process a GPU and wait for all of them.

    Signals go to rank 0. If one process fails, all are ended; also if one gives no
    sign of life for 5 minutes, or, asked to stop, for 20 s: it was stopped (SIGSTOP),
    and the others would wait for it. A third request to stop ends all at once.

    Parameters
    ----------
    work : callable
        With a `Place`; a function of a module, as it travels by its name.
    gpus : sequence of int or None
        The GPU of each process; None: the CPU.
    requests : Requests
        Of this process: what it took and takes is passed on.
    debug : bool, default False
        Write tracebacks of failures.

    Raises
    ------
    CaffeError
        What the first failing process said.
    """
    with tempfile.TemporaryDirectory(prefix="caffe-") as folder:
        uid = os.fsencode(Path(folder, "meeting"))
        ranks: list[_Rank] = []
        try:
            with _signals_held_back():
                for number, gpu in enumerate(gpus):
                    place = Place(number, len(gpus), uid, gpu)
                    ranks.append(_start(work, place, debug=debug))
            requests.forward_to(ranks[0].process.pid)
            _wait(ranks, requests)
        finally:
            requests.forward_to(None)
            for rank in ranks:
                rank.end()
        failures = [failure for rank in ranks if (failure := rank.failure())]
    if failures:
        raise CaffeError(min(failures)[1])


def accept_signals() -> None:
    """Take the signals that were held back while this process was starting."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Let processes that are started meanwhile get no signal before they can use it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # its start would let the signals in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(work: Callable[[Place], None], place: Place, *, debug: bool) -> _Rank:
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    heard, beaten = context.Pipe(duplex=False)
    process = context.Process(
        target=_run, args=(work, place, theirs, beaten, debug), name=str(place.rank)
    )
    process.start()
    theirs.close()
    beaten.close()
    return _Rank(process, mine, heard)


def _wait(ranks: list[_Rank], requests: Requests) -> None:
    """Wait until all have ended, or a little longer than until one failed.

    Raises
    ------
    PeerError
        If one is silent.
    CaffeError
        If somebody insists on the end.
    """
    running = {rank.process.sentinel: rank for rank in ranks}
    end: float | None = None
    while running and (end is None or time.monotonic() < end):
        left = _BEAT_S if end is None else max(end - time.monotonic(), 0.0)
        ended = connection.wait(list(running), left)
        if not ended and end is None:
            _see_to(running.values(), requests)
        for sentinel in ended:
            rank = running.pop(sentinel)
            rank.process.join()
            if rank.process.exitcode and end is None:
                end = time.monotonic() + _GRACE_S


def _see_to(ranks: Collection[_Rank], requests: Requests) -> None:
    for rank in ranks:
        rank.listen()
    worst = max(ranks, key=lambda rank: rank.silent)
    hurry = requests.stops and worst.began  # the start may take its time
    most = _SILENT_BEATS_WHEN_STOPPING if hurry else _SILENT_BEATS
    if worst.silent >= most:
        raise PeerError(
            f"rank {worst.process.name} (process {worst.process.pid}) has given no "
            f"sign of life for {most * _BEAT_S:g} s, it was stopped or hangs: all "
            "ranks are ended; continue from the last snapshot with -snapshot"
        )
    if requests.stops >= _AT_ONCE:
        raise CaffeError(
            f"asked to stop {requests.stops} times: all ranks are ended at once; "
            "continue from the last snapshot with -snapshot"
        )


def _run(
    work: Callable[[Place], None],
    place: Place,
    report: connection.Connection,
    beats: connection.Connection,
    debug: bool,
) -> None:
    """Be one of the processes."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # Ctrl-C reaches the first process only, which passes it on
    parent = multiprocessing.parent_process()
    for target, argument in ((_end_with, parent), (_beat, beats)):
        threading.Thread(target=target, args=(argument,), daemon=True).start()
    # what torch's C++ has to say of a lost connection, `PeerError` says, too
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")
    try:
        work(place)
    except BaseException as error:
        if debug:
            traceback.print_exc()
        report.send((isinstance(error, PeerError), describe(error)))
        sys.stderr.flush()
        os._exit(1)  # threads of a broken exchange would not let go, or complain


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _beat(beats: connection.Connection) -> None:
    """Give signs of life, whatever the main thread waits for."""
    with contextlib.suppress(OSError):
        while True:
            beats.send_bytes(b".")
            time.sleep(_BEAT_S)
