"""How much memory there is, how much is used, and how people write it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pyunet.errors import DataError

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
GUESS = 4 * 2**30
CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")
STATUS = Path("/proc/self/status")


def parse_bytes(text: str) -> int:
    """Read a number of bytes with an optional unit K, M, G or T (powers of 1024).

    Raises
    ------
    DataError
        Anything else, or nothing but zero.

    Examples
    --------
    >>> parse_bytes("2G"), parse_bytes("1.5m"), parse_bytes("512MiB")
    (2147483648, 1572864, 536870912)
    """
    bare = text.strip().upper().removesuffix("IB").removesuffix("B")
    unit = bare[-1:] if bare[-1:] in UNITS else ""
    try:
        value = float(bare.removesuffix(unit) if unit else bare) * UNITS[unit]
        size = int(value)
    except (ValueError, OverflowError):
        size = 0
    if size < 1:
        raise DataError(f"memory {text!r}: accepted is a size such as 500M or 2G")
    return size


def format_bytes(size: int) -> str:
    """Write a number of bytes, rounded up so that the text is enough when typed in.

    Examples
    --------
    >>> format_bytes(1), format_bytes(3 * 2**20 + 1), format_bytes(20 * 2**30)
    ('1M', '4M', '20480M')
    """
    return f"{-(-size // UNITS['M'])}M"


def available_bytes() -> int:
    """Give the memory that programs can still take, in bytes.

    Linux says it; a container's own limit counts too. Elsewhere half of the machine's
    memory is taken, and 4 GiB where the system does not say how much that is.
    """
    free = _in_kib(MEMINFO, "MemAvailable")
    if free is None:
        free = _physical() // 2
    limit, used = _cgroup("memory.max"), _cgroup("memory.current")
    if limit is not None and used is not None:
        free = min(free, max(0, limit - used))
    return free


def used_bytes() -> int:
    """Give the memory that this process holds now, in bytes.

    Where the system does not say it, the most that it ever held.
    """
    held = _in_kib(STATUS, "VmRSS")
    return peak_bytes() if held is None else held


def peak_bytes() -> int:
    """Give the most memory that this process ever held, in bytes; 0 on Windows."""
    peak = _in_kib(STATUS, "VmHWM")
    return _resource_peak() if peak is None else peak


def _resource_peak() -> int:
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _in_kib(path: Path, name: str) -> int | None:
    """Read a line ``NAME: 123 kB`` of a file of the system."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(found[0]) * 1024 if found else None


def _physical() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 2 * GUESS


def _cgroup(name: str) -> int | None:
    """Read a number of the container's group; None without a group or a limit."""
    try:
        text = (CGROUP / name).read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
