"""Fuzzing of one target that goes on where it stopped.

``build/fuzz/TARGET/state.json`` has the seed, the executions so far, and the failures;
the first input of each kind of failure lies in ``failures/`` beside it.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from io import FileIO
from pathlib import Path

from tests.fuzz.target import Target
from tests.fuzz.worker import (
    SECONDS_AN_INPUT,
    Failure,
    Shared,
    failure_of,
    of_output,
    work,
)

_A_WORKER = 400  # inputs, so that what they leave in memory goes away
_LONG = 3600.0
_LOST = 70
_IDLE = 12
_WINDOW = 1.0

Keep = Callable[[Failure, int, bytes], object]


@dataclass
class State:
    """What is known of a target's executions.

    Attributes
    ----------
    seed : int
    executions : int
    refused : int
        Errors that were meant.
    seconds : float
    failures : dict of str to dict
        By the failure's key: how often it came, and the number of its first input.
    """

    seed: int
    executions: int = 0
    refused: int = 0
    seconds: float = 0.0
    failures: dict[str, dict[str, int]] = field(default_factory=dict)

    def line(self, name: str) -> str:
        """Totals in a line."""
        return (
            f"fuzz: {name}: {self.executions} executions in all (seed {self.seed}), "
            f"{len(self.failures)} distinct failures"
        )


class Campaign:
    """Executions of a target.

    Parameters
    ----------
    target : Target
    work : path
        Folder of all targets.
    seed : int
        For a target that has none yet.
    """

    def __init__(self, target: Target, work: Path, *, seed: int) -> None:
        self._target = target
        self._folder = work / target.name
        self._failures = self._folder / "failures"
        self._failures.mkdir(parents=True, exist_ok=True)
        self.state = load(self._folder) or State(seed)
        self._sound = target.sound()

    def run(self, *, seconds: float | None, executions: int | None) -> None:
        """Go on for a time, or for a number of executions."""
        begin = time.monotonic()
        end = begin + (seconds if seconds is not None else 1e9)
        first = self.state.executions
        last = first + (executions if executions is not None else 1 << 60)
        before = self.state.seconds
        while self.state.executions < last and time.monotonic() < end:
            here = self.state.executions
            self.state.executions, refused = run_worker(
                self._target,
                self._sound,
                range(here, min(last, here + _A_WORKER)),
                seed=self.state.seed,
                end=end,
                keep=self._keep,
            )
            self.state.refused += refused
            self.state.seconds = before + time.monotonic() - begin
            self._save()

    def replay(self) -> None:
        """Try the kept inputs anew, and forget those that are stood by now."""
        for path in sorted(self._failures.glob("*.input")):
            kept = self._alone(path.read_bytes())
            if kept is None:
                self.state.failures.pop(path.stem, None)
                path.unlink()
                path.with_suffix(".txt").unlink(missing_ok=True)
        self._save()

    def _alone(self, data: bytes) -> Failure | None:
        """Failure of one input, in a worker of its own."""
        run = self._target.run
        one = Target(self._target.name, run, dict, lambda *_: data, structured=1)
        found: list[Failure] = []
        run_worker(
            one,
            [],
            range(1),
            seed=0,
            end=time.monotonic() + _LONG,
            keep=lambda failure, number, data: found.append(failure),
        )
        return found[0] if found else None

    def _keep(self, failure: Failure, number: int, data: bytes) -> None:
        kept = self.state.failures.setdefault(failure.key, {"times": 0})
        kept["times"] += 1
        path = self._failures / f"{failure.key}.input"
        # of many that fail alike the smallest is the easiest to understand
        if not path.exists() or len(data) < path.stat().st_size:
            kept["number"] = number
            path.write_bytes(data)
            path.with_suffix(".txt").write_text(failure.text)

    def _save(self) -> None:
        path = self._folder / "state.json"
        new = path.with_suffix(".tmp")
        new.write_text(json.dumps(asdict(self.state), indent=1))
        new.replace(path)


def load(folder: Path) -> State | None:
    """State of the target that has this folder."""
    path = folder / "state.json"
    return State(**json.loads(path.read_text())) if path.exists() else None


def replay_once_failed(target: Target, folder: Path) -> dict[str, Failure]:
    """Failures at the committed inputs, by the name of the input."""
    tried = target.once_failed().items()
    found = {name: failure_of(target, data, folder) for name, data in tried}
    return {name: failure for name, failure in found.items() if failure is not None}


def run_worker(
    target: Target,
    sound: list[bytes],
    numbers: range,
    *,
    seed: int,
    end: float,
    keep: Keep,
) -> tuple[int, int]:
    """Let a fork go through inputs.

    Parameters
    ----------
    target, sound, numbers, seed, end
        As `work` takes them.
    keep : callable
        Takes a failure, the number of the input and the input.

    Returns
    -------
    (int, int)
        The number that comes next, and how many inputs were refused.
    """
    shared = Shared()
    shared.begin(numbers.start, b"")
    with _own_folder() as folder:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                work(
                    target,
                    sound,
                    numbers,
                    seed=seed,
                    shared=shared,
                    folder=folder,
                    report=writing,
                    end=end,
                )
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(_LOST)
        os.close(writing)
        with open(reading, "rb", buffering=0) as pipe:
            stopped = _follow(pipe, child, shared, keep)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output = (folder / "output").read_text(errors="replace")
    number, refused = shared.now()[:2]
    if status == _LOST:
        raise RuntimeError(f"the worker itself failed: {output[-2000:]}")
    if status != 0:
        kind = "Hang" if stopped else _name(status)
        keep(of_output(kind, output), number, shared.data())
        number += 1
    return number, refused


def _follow(pipe: FileIO, child: int, shared: Shared, keep: Keep) -> bool:
    """Take a worker's failures until it ends; True if it had to be ended."""
    rest = b""
    while True:
        if select.select([pipe], [], [], _WINDOW)[0]:
            found = pipe.read(1 << 16)
            if not found:
                return False
            *lines, rest = (rest + found).split(b"\n")
            for line in lines:
                _keep_line(line, keep)
        elif _too_long(child, shared):
            os.kill(child, signal.SIGUSR1)  # writes where it is
            time.sleep(0.2)
            os.kill(child, signal.SIGKILL)
            return True


def _too_long(child: int, shared: Shared) -> bool:
    """Tell whether a worker has computed for too long, or done nothing for long."""
    _, _, started, computed = shared.now()
    if time.monotonic() - started <= SECONDS_AN_INPUT:
        return False
    try:
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return True
    ticks = sum(int(field) for field in fields[11:13])
    used = ticks / os.sysconf("SC_CLK_TCK") - computed
    # where other programs want the processor too, a clock on the wall says little
    idle = time.monotonic() - started > _IDLE * SECONDS_AN_INPUT
    return idle or used > SECONDS_AN_INPUT


def _keep_line(line: bytes, keep: Keep) -> None:
    found = json.loads(line)
    number, data = found.pop("number"), base64.b64decode(found.pop("data"))
    keep(Failure(**found), number, data)


@contextmanager
def _own_folder() -> Iterator[Path]:
    """Folder in memory, where there is such a thing: a disk would be what is timed."""
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="fuzz-", dir=place)
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _name(status: int) -> str:
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"Exit{status}"
