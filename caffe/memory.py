"""How much memory the system gives to this process; loads neither numpy nor torch."""

from __future__ import annotations

import os
from pathlib import Path

from caffe.errors import OutOfMemoryError

MEMINFO, STATUS = Path("/proc/meminfo"), Path("/proc/self/status")
CGROUP = Path("/sys/fs/cgroup")
# Of address space. `import numpy` takes 97 MiB in all on one processor, and OpenBLAS 39
# more for each other one (numpy 2.3, Linux); with less it asks for ever for its own.
_LOADING, _LOADING_THREAD, _MOST_THREADS = 100 * 2**20, 40 * 2**20, 64


def check_room_to_load() -> None:
    """Refuse to go on where ``ulimit -v`` leaves too little to load numpy.

    Raises
    ------
    OutOfMemoryError
    """
    room = address_room()
    needed = _LOADING + _LOADING_THREAD * (min(os.cpu_count() or 1, _MOST_THREADS) - 1)
    if room is not None and room < needed:
        raise OutOfMemoryError(
            f"out of memory: the limit of this process (ulimit -v) leaves "
            f"{room >> 20} MiB, its libraries take {needed >> 20} MiB and more"
        )


def address_room() -> int | None:
    """Give the bytes that ``ulimit -v`` leaves to this process; None: no limit."""
    try:
        import resource
    except ImportError:
        return None
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    taken = status("VmSize")
    if most == resource.RLIM_INFINITY or taken is None:
        return None
    return max(0, most - taken)


def meminfo(name: str) -> int | None:
    """Give a number of the machine's memory as Linux names it, in bytes."""
    return _in_kib(MEMINFO, name)


def status(name: str) -> int | None:
    """Give a number of this process's memory as Linux names it, in bytes."""
    return _in_kib(STATUS, name)


def left_of_group() -> int | None:
    """Give the bytes left by a control group (a container, a cluster's job), if any."""
    limit, used = _of_group("memory.max"), _of_group("memory.current")
    return None if limit is None or used is None else max(0, limit - used)


def _of_group(name: str) -> int | None:
    try:
        text = (CGROUP / name).read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _in_kib(path: Path, name: str) -> int | None:
    """Read a line ``NAME: 123 kB`` of a file of the system."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(found[0]) * 1024 if found else None
