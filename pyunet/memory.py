"""How much memory there is, what a net takes of it, and how it runs out."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from caffe import errors
from caffe.memory import (
    address_room,
    check_room_to_load,
    left_of_group,
    meminfo,
    status,
)
from pyunet.errors import DataError, OutOfMemoryError

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
GUESS = 4 * 2**30
GPU_MEMORY = 4 * 2**30
# Measured: what allocators round up and do not give back at once, and the workspace
# of libraries; on a GPU that is the context and what cuDNN takes.
ALLOCATOR_FACTOR = 1.25
WORKSPACE, GPU_WORKSPACE = 96 * 2**20, 256 * 2**20
# Input pixels for each output pixel: beyond that smaller tiles save no memory that is
# worth their time.
MOST_READ = 4


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
        raise DataError(f"memory {text!r}: expected a size such as 500M or 2G")
    return size


def format_bytes(size: int) -> str:
    """Write a number of bytes, rounded up so that the text is enough when typed in.

    Examples
    --------
    >>> format_bytes(1), format_bytes(3 * 2**20 + 1), format_bytes(20 * 2**30)
    ('1M', '4M', '20480M')
    """
    return f"{-(-size // UNITS['M'])}M"


def memory_limit(text: str | None = None, *, on_gpu: bool = False) -> tuple[int, int]:
    """Give how many bytes may be taken, and how many of them the program holds.

    Parameters
    ----------
    text : str, optional
        What a person says; default: half of what is free on the CPU, 4 GiB on a GPU.
    on_gpu : bool, default False
        Of a GPU the limit is that of one tile, and nothing is counted as held.

    Raises
    ------
    DataError
        What `parse_bytes` refuses; less than the program took already.
    """
    if on_gpu:
        return (parse_bytes(text) if text else GPU_MEMORY), 0
    held = used_bytes()
    if text is None:
        return held + available_bytes() // 2, held
    limit = parse_bytes(text)
    if peak_bytes() > limit:
        raise DataError(
            f"--memory {text}: loading the model alone took "
            f"{format_bytes(peak_bytes())}"
        )
    return limit, held


def needed_bytes(weights: int, activations: int, *, on_gpu: bool = False) -> int:
    """Give the memory that a net takes, all in bytes.

    Parameters
    ----------
    weights, activations : int
        What its weights and its blobs take at once.
    on_gpu : bool, default False

    Examples
    --------
    >>> needed_bytes(2**20, 2**20) / 2**20
    98.25
    """
    workspace = GPU_WORKSPACE if on_gpu else WORKSPACE
    return workspace + weights + int(ALLOCATOR_FACTOR * activations)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, or was made of one that does.

    Examples
    --------
    >>> is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    True
    >>> is_out_of_memory(ValueError("out of memory"))
    False
    """
    if isinstance(error, DataError) and error.__cause__ is not None:
        return is_out_of_memory(error.__cause__)
    return errors.is_out_of_memory(error)


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Turn what libraries raise without memory into one error, in one line.

    Raises
    ------
    OutOfMemoryError

    Examples
    --------
    >>> with memory_errors():
    ...     raise MemoryError
    Traceback (most recent call last):
    pyunet.errors.OutOfMemoryError: out of memory
    """
    try:
        check_room_to_load()
        yield
    except OutOfMemoryError:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(out_of_memory_text(error)) from error


def out_of_memory_text(error: BaseException) -> str:
    """Give the text of an error, which then begins with what matters.

    >>> out_of_memory_text(MemoryError("Unable to allocate 1 GiB"))
    'out of memory: Unable to allocate 1 GiB'
    """
    text = " ".join(str(error).split())
    if "out of memory" in text.lower():
        return text
    return f"out of memory: {text}" if text else "out of memory"


def available_bytes() -> int:
    """Give the memory that programs can still take, in bytes.

    Linux says it; a container's own limit counts too, and that of ``ulimit -v``.
    Elsewhere half of the machine's memory is taken, and 4 GiB where the system does not
    say how much that is.
    """
    free = meminfo("MemAvailable")
    if free is None:
        free = _physical() // 2
    limits = [left_of_group(), address_room()]
    return min([free, *(limit for limit in limits if limit is not None)])


def used_bytes() -> int:
    """Give the memory that this process holds now, in bytes.

    Where the system does not say it, the most that it ever held.
    """
    held = status("VmRSS")
    return peak_bytes() if held is None else held


def peak_bytes() -> int:
    """Give the most memory that this process ever held, in bytes; 0 on Windows."""
    peak = status("VmHWM")
    return _resource_peak() if peak is None else peak


def _resource_peak() -> int:
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _physical() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 2 * GUESS
