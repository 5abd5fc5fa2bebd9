"""The flag -gpu."""

from __future__ import annotations

from caffe.engine.log import log
from caffe.errors import CheckError


def wanted(gpu: str) -> list[int]:
    """Numbers of the GPUs that a value of ``-gpu`` names.

    Raises
    ------
    CheckError
        If the value is neither a number, numbers with commas, nor "all".
    DeviceError
        If all are wanted and there is none.
    """
    from caffe.engine import common, devices

    if gpu == "all":
        common.set_device(0)
        return list(range(devices.count()))
    try:
        return [int(number) for number in gpu.split(",") if gpu]
    except ValueError:
        raise CheckError(
            f"-gpu {gpu}: accepted is the number of a GPU, or 'all'"
        ) from None


def choose(gpu: str, source: str) -> None:
    """Compute on the GPU that ``-gpu`` names, or on the CPU if it names none.

    Parameters
    ----------
    gpu : str
        Value of the flag.
    source : str
        Where Caffe logs which it is.

    Raises
    ------
    CheckError
        If the value is wrong, or names several.
    DeviceError
        If there is no such GPU.
    """
    from caffe.engine import common, devices

    numbers = wanted(gpu)
    if not numbers:
        log(source, "Use CPU.")
        common.set_mode_cpu()
        return
    if len(numbers) > 1:
        raise CheckError(
            f"-gpu {gpu}: Multi-GPU execution not available; give the number of one GPU"
        )
    name = devices.name(numbers[0])
    log(source, f"Use GPU with device ID {numbers[0]}")
    log(source, f"GPU device name: {name}")
    common.set_mode_gpu()
