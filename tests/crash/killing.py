"""Processes that are killed at a moment chosen by chance.

A job runs in a fork of this process, in which torch is imported already: a kill then
costs a fraction of a second. Half of the moments lie at, or just after, an operation
on a file: an audit hook in the fork counts them, and kills at one of them.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_OTHERS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}
_LONGEST_S = 300.0
_SHORTLY_S = 0.004  # about as long as the small files of the jobs take to be written


@dataclass(frozen=True)
class Moment:
    """When a process is killed.

    Attributes
    ----------
    number : signal
    event : int or None
        At this operation on a file, counted from 1.
    after_s : float
        So long after it, or, without an operation, after the start.
    """

    number: signal.Signals
    event: int | None
    after_s: float


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes
    ----------
    status : int
        As `os.waitstatus_to_exitcode` gives it.
    seconds : float
    events : int
        Operations on files, where it was not killed by SIGKILL.
    asked : bool
        Whether it was sent the signal.
    """

    status: int
    seconds: float
    events: int
    asked: bool


def choose(rng: random.Random, usual: Ended, *, terminate: bool) -> Moment:
    """Choose a moment in a run that takes as long as a usual one."""
    kinds = [signal.SIGKILL] * 4 + [signal.SIGTERM] * terminate
    number = rng.choice(kinds)
    if usual.events and rng.random() < 0.6:
        after = rng.choice((0.0, rng.uniform(0, _SHORTLY_S)))
        return Moment(number, rng.randint(1, usual.events), after)
    return Moment(number, None, rng.uniform(0, usual.seconds))


def run(
    work: Callable[[], int], folder: Path, log: Path, moment: Moment | None = None
) -> Ended:
    """Run work in a fork, in a folder, and end it at a moment.

    Raises
    ------
    TimeoutError
        If it takes minutes.
    """
    said, says = os.pipe()
    began = time.monotonic()
    process = os.fork()
    if process == 0:
        os.close(said)
        _be_the_process(work, folder, log, moment, says)
    os.close(says)
    sent = False
    if moment is not None and moment.event is None:
        status = _wait(process, moment.after_s)
        if status is None:
            os.kill(process, moment.number)
            sent = True
    else:
        status = None
    if status is None:
        status = _wait(process, _LONGEST_S)
    if status is None:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        raise TimeoutError(f"a run took more than {_LONGEST_S:g} s: {log}")
    seconds = time.monotonic() - began
    with os.fdopen(said, "rb") as pipe:
        words = pipe.read().split()
    events = [int(word) for word in words if word.isdigit()]
    return Ended(status, seconds, sum(events), sent or b"kill" in words)


def _wait(process: int, seconds: float) -> int | None:
    """Wait for a process; its status, None if it runs still."""
    end = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= end:
            return None
        time.sleep(0.002)


def _be_the_process(
    work: Callable[[], int], folder: Path, log: Path, moment: Moment | None, says: int
) -> None:
    status = 70
    try:
        os.setpgid(0, 0)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        silence = os.open(os.devnull, os.O_RDWR)
        for target, source in ((0, silence), (1, output), (2, output)):
            os.dup2(source, target)
        os.chdir(folder)
        counter = _Counter(folder, moment, says)
        sys.addaudithook(counter)
        status = work()
        os.write(says, b" %d " % counter.count)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


class _Counter:
    """Counts operations on files of a folder, and kills at one of them."""

    def __init__(self, folder: Path, moment: Moment | None, says: int) -> None:
        self.count = 0
        self._folder = str(folder)
        self._moment = moment if moment is not None and moment.event else None
        self._says = says

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = bool((flags or 0) & _WRITES) or "w" in str(mode or "")
        elif event in _OTHERS:
            path, writes = arguments[0], True
        else:
            return
        if writes and isinstance(path, (str, bytes, os.PathLike)) and self._mine(path):
            self.count += 1
            if self._moment is not None and self.count == self._moment.event:
                self._kill(self._moment)

    def _mine(self, path: Any) -> bool:
        whole = os.path.join(os.getcwd(), os.fsdecode(path))  # noqa: PTH118, PTH109
        return whole.startswith(self._folder)

    def _kill(self, moment: Moment) -> None:
        def work() -> None:
            time.sleep(moment.after_s)
            os.write(self._says, b" kill ")
            os.kill(os.getpid(), moment.number)

        if moment.after_s:
            threading.Thread(target=work, daemon=True).start()
        else:
            work()
