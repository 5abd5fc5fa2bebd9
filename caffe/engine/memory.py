"""Too little memory, said in one line that programs recognise."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from caffe.engine import common
from caffe.errors import OutOfMemoryError

_SIGNS = (  # of libraries; the last but one is oneDNN's word for it
    "can't allocate memory", "out of memory", "ALLOC_FAILED", "bad_alloc",
    "could not create a", "can't start new thread",
)  # fmt: skip
_MEMINFO, _GROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
_OF_GROUP = ("max", "current")


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn what libraries raise without memory into `OutOfMemoryError`.

    Its text holds ``out of memory``, which the Fiji plugin looks for. What torch had
    set aside on a GPU is given back, so that the caller can go on with less.

    Raises
    ------
    OutOfMemoryError

    Examples
    --------
    >>> with memory_errors():
    ...     raise MemoryError
    Traceback (most recent call last):
    caffe.errors.OutOfMemoryError: out of memory on the CPU
    """
    try:
        yield
    except OutOfMemoryError:
        raise
    except MemoryError as error:
        raise _named(error) from error
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        raise _named(error) from error
    except RuntimeError as error:  # torch.OutOfMemoryError is one
        if not any(sign in str(error) for sign in _SIGNS):
            raise
        raise _named(error) from error


def available() -> int | None:
    """Bytes that the system would give now without swapping; None: it does not say.

    Where a control group (a container, a cluster's job) allows less, that counts.
    """
    found = [_kernels_word(), _left_of_group()]
    return min((number for number in found if number is not None), default=None)


def _kernels_word() -> int | None:
    for line in _text(_MEMINFO).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return None


def _left_of_group() -> int | None:
    limit, used = (_text(_GROUP / f"memory.{name}").strip() for name in _OF_GROUP)
    return int(limit) - int(used) if limit.isdecimal() and used.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _named(error: Exception) -> OutOfMemoryError:
    where = "the CPU"
    if common.gpu_mode():
        torch.cuda.empty_cache()
        where = f"GPU {common.device().index}"
    detail = " ".join(str(error).split())
    return OutOfMemoryError(f"out of memory on {where}{detail and f': {detail}'}")
