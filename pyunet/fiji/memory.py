"""Running out of memory: recognising it, and a net's needs."""

from __future__ import annotations

import math
import sys
from typing import Any

from pyunet.fiji.log import CheckFailedError

FLOAT_BYTES = 4
SIGNS = (
    "out of memory",
    "can't allocate memory",
    "alloc_failed",
    "bad_alloc",
    "could not create a",  # oneDNN, of a primitive or a memory object
)
# What allocators round up and do not give back at once, and libraries' workspace.
ALLOCATOR_FACTOR = 1.25
WORKSPACE_BYTES = 256 * 2**20


class NoMemoryError(CheckFailedError):
    """Not even the smallest tile fits."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out: of this or any engine.

    Examples
    --------
    >>> is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    True
    >>> is_out_of_memory(ValueError("out of memory"))
    False
    """
    own = getattr(sys.modules.get("caffe"), "OutOfMemoryError", None)
    if isinstance(error, MemoryError) or (own and isinstance(error, own)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in SIGNS)


def needed_bytes(net: Any) -> int:
    """Estimate the memory that a net takes for one tile of its present shape.

    An engine that does not say what its activations take is believed to keep all blobs.
    """
    weights = sum(_count(blob) for blobs in net.params.values() for blob in blobs)
    ask = getattr(net, "activation_bytes", None)
    if ask is not None:
        activations = int(ask())
    else:
        activations = FLOAT_BYTES * sum(map(_count, net.blobs.values()))
    return WORKSPACE_BYTES + FLOAT_BYTES * weights + int(ALLOCATOR_FACTOR * activations)


def _count(blob: Any) -> int:
    return math.prod(int(extent) for extent in blob.shape)
