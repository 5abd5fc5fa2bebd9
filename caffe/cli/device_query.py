"""``caffe device_query``: show GPU diagnostic information."""

from __future__ import annotations

from caffe.cli.devices import gpu_numbers
from caffe.cli.flags import Flags
from caffe.glog import log

NAME = "device_query"
HELP = "show GPU diagnostic information"


def run(flags: Flags) -> int:
    """Log the properties of the GPUs that -gpu names.

    Raises
    ------
    CaffeError
        If there is no such GPU.
    """
    from caffe.engine import devices

    log("caffe.cpp:138", f"Querying GPUs {flags.gpu}")
    for number in gpu_numbers(flags.gpu):
        devices.describe_device(number)
    if not flags.gpu:
        log(
            "caffe.cpp:143",
            f"{devices.device_count()} GPUs found; -gpu all describes them",
        )
    return 0
