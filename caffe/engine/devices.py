"""The GPUs of this machine."""

from __future__ import annotations

import torch

from caffe.engine import common
from caffe.glog import log


def device_count() -> int:
    """Count the GPUs that the engine can use.

    Examples
    --------
    >>> device_count() >= 0
    True
    """
    return torch.cuda.device_count()


def device_name(device_id: int) -> str:
    """Return what the maker calls a GPU.

    Raises
    ------
    DeviceError
        If there is no such device.
    """
    common.set_device(device_id)
    return torch.cuda.get_device_name(device_id)


def device_memory(device_id: int) -> tuple[int, int]:
    """Return the free and the whole memory of a GPU in bytes.

    Raises
    ------
    DeviceError
        If there is no such device.
    """
    common.set_device(device_id)
    free, total = torch.cuda.mem_get_info(device_id)
    return int(free), int(total)


def describe_device(device_id: int) -> None:
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
