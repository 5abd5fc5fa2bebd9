"""Too little memory, said in one line that programs recognise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from caffe.engine import common
from caffe.errors import OutOfMemoryError

_SIGNS = (  # of libraries; the last one is oneDNN's word for it
    "can't allocate memory", "out of memory", "ALLOC_FAILED", "could not create a",
)  # fmt: skip


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn what torch and numpy raise without memory into `OutOfMemoryError`.

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
    except RuntimeError as error:  # torch.OutOfMemoryError is one
        if not any(sign in str(error) for sign in _SIGNS):
            raise
        raise _named(error) from error


def _named(error: Exception) -> OutOfMemoryError:
    where = "the CPU"
    if common.gpu_mode():
        torch.cuda.empty_cache()
        where = f"GPU {common.device().index}"
    detail = " ".join(str(error).split())
    return OutOfMemoryError(f"out of memory on {where}{detail and f': {detail}'}")
