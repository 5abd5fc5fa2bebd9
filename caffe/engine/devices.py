"""The GPUs of this machine."""

from __future__ import annotations

import torch

from caffe.engine import common
from caffe.engine.log import log


def count() -> int:
    """Count the GPUs that the engine can use.

    Examples
    --------
    >>> count() >= 0
    True
    """
    return torch.cuda.device_count()


def name(device_id: int) -> str:
    """Return what the maker calls a GPU.

    Raises
    ------
    DeviceError
        If there is no such device.
    """
    common.set_device(device_id)
    return torch.cuda.get_device_name(device_id)


def describe(device_id: int) -> None:
    """Log the properties of a GPU as Caffe does.

    Raises
    ------
    DeviceError
        If there is no such device.
    """
    common.set_device(device_id)
    found = torch.cuda.get_device_properties(device_id)
    for label, value in (
        ("Device id:", device_id),
        ("Major revision number:", found.major),
        ("Minor revision number:", found.minor),
        ("Name:", found.name),
        ("Total global memory:", found.total_memory),
        ("Number of multiprocessors:", found.multi_processor_count),
    ):
        log("common.cpp:238", f"{label:<31}{value}")
