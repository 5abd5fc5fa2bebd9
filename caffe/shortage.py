"""How libraries say that memory ran out; needs none of them."""

from __future__ import annotations

import errno

_SIGNS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "alloc_failed",
    "bad_alloc",
    "could not create a",  # oneDNN, of a primitive or a memory object
    "failed to map segment",  # the loader, of a library
    "can't start new thread",  # there is no room for its stack
)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, of the machine or of a device.

    Examples
    --------
    >>> is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    True
    >>> is_out_of_memory(ValueError("out of memory"))
    False
    """
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # torch.OutOfMemoryError is a RuntimeError
    told = isinstance(error, (RuntimeError, ImportError))
    return told and any(sign in str(error).lower() for sign in _SIGNS)
