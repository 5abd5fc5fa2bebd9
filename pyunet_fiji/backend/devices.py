"""The flag ``-gpu``, and what ``caffe`` knows of its devices."""

from __future__ import annotations

import caffe
from caffe.glog import log
from pyunet_fiji.backend.errors import CheckFailedError
from pyunet_fiji.backend.flags import Flags

DEVICE_PLACE = "common.cpp:152"


def first_gpu(gpu: str) -> int | None:
    """Give the number of the GPU to compute on; None for the CPU.

    Parameters
    ----------
    gpu : str
        Value of ``-gpu``: nothing, a number, numbers with commas, or ``all``.

    Raises
    ------
    CheckFailedError
        Anything else.

    Examples
    --------
    >>> first_gpu(""), first_gpu("2,3"), first_gpu("all")
    (None, 2, 0)
    """
    if not gpu:
        return None
    if gpu == "all":
        return 0
    return _number(gpu.split(",")[0])


def choose_device(gpu: str, *, gpu_place: str, cpu_place: str) -> int | None:
    """Compute on the GPU that ``-gpu`` names first, or on the CPU.

    Parameters
    ----------
    gpu : str
        Value of the flag.
    gpu_place, cpu_place : str
        Where the original logs which it is.

    Returns
    -------
    int or None
        Number of the GPU.

    Raises
    ------
    CheckFailedError
        A wrong value.
    Exception
        Of the engine: a GPU that is not there.
    """
    number = first_gpu(gpu)
    if number is None:
        log(cpu_place, "Use CPU.")
        return None
    log(gpu_place, f"Use GPU with device ID {number}")
    caffe.set_device(number)
    caffe.set_mode_gpu()
    log(gpu_place, f"GPU device name: {caffe.device_name(number)}")
    return number


def free_megabytes(number: int) -> int:
    """Give the free memory of a GPU in MB (2^20 bytes)."""
    return int(caffe.device_memory(number)[0]) // 2**20


def run(flags: Flags) -> int:
    """Log the properties of the GPUs that ``-gpu`` names.

    Raises
    ------
    CheckFailedError
        A wrong value.
    Exception
        Of the engine: a GPU that is not there.
    """
    log("caffe_unet.cpp:138", f"Querying GPUs {flags.gpu}")
    numbers: list[int] = []
    if flags.gpu == "all":
        numbers = list(range(max(1, caffe.device_count())))
    elif flags.gpu:
        numbers = [_number(text) for text in flags.gpu.split(",")]
    for number in numbers:
        caffe.set_device(number)
        caffe.describe_device(number)
    return 0


def _number(text: str) -> int:
    if not text.strip().isdecimal():
        raise CheckFailedError(
            f"-gpu {text}: accepted are numbers of GPUs, separated by ',', or 'all'",
            DEVICE_PLACE,
        )
    return int(text)
