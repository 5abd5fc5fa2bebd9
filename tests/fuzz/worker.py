"""One input through one target, and many of them in a process that may be lost.

A worker is a fork. What it is doing stands in memory that its parent shares, so that
the input which ends or stops the worker is known.
"""

from __future__ import annotations

import base64
import faulthandler
import json
import mmap
import os
import random
import re
import resource
import signal
import struct
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from caffe.cli import quiet_libraries
from tests.fuzz.mutation import LARGEST
from tests.fuzz.target import BadTextError, Target, refusals

ROOT = Path(__file__).parents[2]
BYTES_AN_INPUT = 2 << 30
SECONDS_AN_INPUT = 10
_HEAD = struct.Struct("<QQddQ")  # number, refused so far, start, CPU time, length
_FRAME = re.compile(r'File "(.+?)", line (\d+),? in (\S+)')


@dataclass(frozen=True)
class Failure:
    """What came out of a target.

    Attributes
    ----------
    kind : str
        Name of the exception, or of the signal.
    where : str
        Innermost frame that is the project's own: file and function.
    text : str
        What was said, with the stack.
    """

    kind: str
    where: str
    text: str

    @property
    def key(self) -> str:
        """The same for all that is taken for one failure; can be a file's name."""
        return re.sub(r"[^\w.-]+", "-", f"{self.kind}-{self.where}")[:120]


class Shared:
    """What a worker is at, for its parent to see."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _HEAD.size + LARGEST)

    def begin(self, number: int, data: bytes) -> None:
        """Say which input comes next."""
        clocks = time.monotonic(), time.process_time()
        head = _HEAD.pack(number, refusals[0], *clocks, len(data))
        self._memory[: _HEAD.size + len(data)] = head + data

    def now(self) -> tuple[int, int, float, float]:
        """Number of the input, how many were refused before, when it began, in both
        times.
        """
        return _HEAD.unpack(self._memory[: _HEAD.size])[:4]

    def data(self) -> bytes:
        """The input itself."""
        length = _HEAD.unpack(self._memory[: _HEAD.size])[4]
        return self._memory[_HEAD.size : _HEAD.size + length]


def failure_of(target: Target, data: bytes, folder: Path) -> Failure | None:
    """Let a target read an input; None if it stood that."""
    try:
        target.run(data, folder)
    except (
        Exception,
        SystemExit,
    ) as error:  # whatever comes out of a reader is what is looked for
        return _of_error(error)
    return None


def _of_error(error: BaseException) -> Failure:
    text = "".join(traceback.format_exception(error, limit=-20))
    kind, source = type(error).__name__, error
    if isinstance(error, BadTextError) and error.__cause__ is not None:
        source = error.__cause__
        kind = f"{kind}-{type(source).__name__}"
    frames = traceback.extract_tb(source.__traceback__)
    return Failure(kind, _own((frame.filename, frame.name) for frame in frames), text)


def _own(frames: Iterator[tuple[str, str]]) -> str:
    """Innermost frame of the packages, else of the tests; the innermost comes last."""
    best = "nowhere"
    for filename, function in frames:
        path = Path(filename)
        if not path.is_relative_to(ROOT) or ".venv" in path.parts:
            continue
        place = path.relative_to(ROOT)
        tests = place.parts[0] == "tests"
        if not tests or best == "nowhere" or best.startswith("tests"):
            best = f"{place}:{function}"
    return best


def of_output(kind: str, output: str) -> Failure:
    """Failure of a worker that ended, or was ended, from what it wrote last."""
    stack = [(file, function) for file, _, function in _FRAME.findall(output)]
    return Failure(kind, _own(reversed(stack)), output[-4000:])


def work(
    target: Target,
    sound: list[bytes],
    numbers: range,
    *,
    seed: int,
    shared: Shared,
    folder: Path,
    report: int,
    end: float,
) -> None:
    """Go through inputs in a forked process, which ends here.

    Parameters
    ----------
    target : Target
    sound : list of bytes
        What inputs are made from.
    numbers : range
        Of the inputs; each follows from `seed` and its number.
    seed : int
    shared : Shared
    folder : path
        Of the worker's own.
    report : int
        Descriptor of a pipe, for a line of JSON on each failure.
    end : float
        When to stop, by `time.monotonic`.
    """
    output = _prepare(folder)
    for number in numbers:
        rng = random.Random(f"{seed}:{target.name}:{number}")
        data = target.make(sound, rng)
        shared.begin(number, data)
        before = os.lseek(output, 0, os.SEEK_CUR)
        failure = failure_of(target, data, folder / "files")
        if failure is None and os.lseek(output, 0, os.SEEK_CUR) > before:
            failure = Failure("Printed", target.name, _printed(output, before))
        if failure is not None:
            _report(report, failure, number, data)
        if time.monotonic() > end:
            break
    shared.begin(number + 1, b"")
    os._exit(0)


def _prepare(folder: Path) -> int:
    """Limit memory, and let what libraries print end in a file."""
    output = os.open(folder / "output", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    (folder / "files").mkdir(exist_ok=True)
    os.chdir(folder / "files")
    faulthandler.enable(output, all_threads=False)
    faulthandler.register(signal.SIGUSR1, output, all_threads=False)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    statm = Path("/proc/self/statm")
    if statm.exists():
        most = int(statm.read_text().split()[0]) * resource.getpagesize()
        most += BYTES_AN_INPUT
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    quiet_libraries()  # as the commands do
    sys.stdout = sys.stderr = os.fdopen(output, "w", buffering=1, closefd=False)
    refusals[0] = 0
    return output


def _printed(output: int, before: int) -> str:
    return os.pread(output, 4000, before).decode(errors="replace")


def _report(pipe: int, failure: Failure, number: int, data: bytes) -> None:
    line: dict[str, Any] = asdict(failure) | {
        "number": number,
        "data": base64.b64encode(data).decode(),
    }
    with open(os.dup(pipe), "w") as stream:
        stream.write(json.dumps(line) + "\n")
