"""What a net of ``caffe_unet`` takes of the memory of a GPU."""

from __future__ import annotations

from typing import Any

from pyunet import memory
from pyunet.inference.engine import activation_bytes, weight_bytes
from pyunet_fiji.backend.errors import CheckFailedError


class NoMemoryError(CheckFailedError):
    """Not even small tiles fit."""


def needed_bytes(net: Any) -> int:
    """Estimate the memory that a net takes for one tile of its present shape."""
    return memory.needed_bytes(weight_bytes(net), activation_bytes(net), on_gpu=True)
