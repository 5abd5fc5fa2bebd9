"""Too little memory, said in one line that programs recognise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from caffe.engine import common
from caffe.errors import OutOfMemoryError, is_out_of_memory
from caffe.memory import left_of_group, meminfo

LARGE = 2**28  # numbers of which `check_room` takes notice
_NUMBER = 4  # bytes


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
    except Exception as error:
        shortage = as_shortage(error)
        if shortage is None or shortage is error:
            raise
        raise shortage from error


def as_shortage(error: Exception) -> OutOfMemoryError | None:
    """Give what to raise in an error's place if it tells of too little memory.

    Examples
    --------
    >>> as_shortage(MemoryError("Unable to allocate 2 TiB"))
    OutOfMemoryError('out of memory on the CPU: Unable to allocate 2 TiB')
    >>> as_shortage(RuntimeError("sizes differ")) is None
    True
    """
    if isinstance(error, OutOfMemoryError):
        return error
    return _named(error) if is_out_of_memory(error) else None


def check_room(count: int) -> None:
    """Refuse a blob of this many numbers if the machine has not the memory for it.

    A system may promise more than it has, and end the process that relies on it.

    Raises
    ------
    OutOfMemoryError
    """
    if count < LARGE or common.gpu_mode():
        return
    needed, at_hand = _NUMBER * count, available()
    if at_hand is not None and needed > at_hand + _swap():
        raise OutOfMemoryError(
            f"out of memory on the CPU: a blob of {count} numbers takes "
            f"{needed / 2**30:.1f} GiB, {at_hand / 2**30:.1f} GiB are free"
        )


def available() -> int | None:
    """Bytes that the system would give now without swapping; None: it does not say.

    Where a control group (a container, a cluster's job) allows less, that counts.
    """
    found = [meminfo("MemAvailable"), left_of_group()]
    return min((number for number in found if number is not None), default=None)


def _swap() -> int:
    return meminfo("SwapFree") or 0


def _named(error: Exception) -> OutOfMemoryError:
    where = "the CPU"
    if common.gpu_mode():
        torch.cuda.empty_cache()
        where = f"GPU {common.device().index}"
    detail = " ".join(str(error).split())
    return OutOfMemoryError(f"out of memory on {where}{detail and f': {detail}'}")
