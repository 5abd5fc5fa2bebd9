"""Seconds and memory of a command and of the processes that it starts."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

EVERY_S = 0.02


@dataclass(frozen=True)
class Watched:
    """What a command took.

    Attributes
    ----------
    seconds : float
        From its start to its end.
    peak_gib : float
        The most that it held: its own resident memory, mapped files included.
    anonymous_gib : float
        The most that it and its children held together in memory that is no file's.
        Both are read every 20 ms.
    status : int
        0: it ended well.
    output : str
        What it wrote, errors included.
    """

    seconds: float
    peak_gib: float
    anonymous_gib: float
    status: int
    output: str


def watch(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], log: Path
) -> Watched:
    """Run a command to its end.

    Parameters
    ----------
    command : sequence of str
    cwd : Path
        Where it runs.
    env : mapping of str to str
        Its environment.
    log : Path
        A file for what it writes.
    """
    begin = time.perf_counter()
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdout=file, stderr=subprocess.STDOUT
        )
    most = _Most()
    ended = threading.Event()
    sampler = threading.Thread(target=_sample, args=(process.pid, most, ended))
    sampler.start()
    try:
        status = process.wait()
        seconds = time.perf_counter() - begin
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        ended.set()
        sampler.join()
    return Watched(
        seconds,
        most.resident / 2**30,
        most.anonymous / 2**30,
        status,
        log.read_text(errors="replace"),
    )


@dataclass
class _Most:
    resident: int = 0
    anonymous: int = 0


def _sample(pid: int, most: _Most, ended: threading.Event) -> None:
    while not ended.wait(EVERY_S):
        # not the system's own peak at the end: it counts what this process held, too
        most.resident = max(most.resident, _held(pid, "VmHWM"))
        family = sum(_held(one, "RssAnon") for one in _family(pid))
        most.anonymous = max(most.anonymous, family)


def _family(pid: int) -> list[int]:
    """Give a process and all that stem from it."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [pid, *(one for child in text.split() for one in _family(int(child)))]


def _held(pid: int, name: str) -> int:
    """Give one of the numbers of bytes that Linux keeps for a process."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(found[0]) << 10 if found else 0
