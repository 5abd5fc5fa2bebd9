"""The flag -gpu."""

from __future__ import annotations

from typing import Any

from caffe.errors import CheckError, DeviceError
from caffe.glog import log


def gpu_numbers(gpu: str) -> list[int]:
    """Parse a value of ``-gpu`` into the numbers of GPUs.

    Raises
    ------
    CheckError
        If the value is neither a number, numbers with commas, nor "all", or names
        one twice.
    DeviceError
        If the value is "all" and there is no GPU.
    """
    if gpu == "all":
        from caffe.engine import common, devices

        common.set_device(0)
        return list(range(devices.device_count()))
    try:
        numbers = [int(number) for number in gpu.split(",") if gpu]
    except ValueError:
        raise CheckError(
            f"-gpu {gpu}: expected numbers of GPUs, separated by ',', or 'all'"
        ) from None
    if len(set(numbers)) < len(numbers):
        raise CheckError(f"-gpu {gpu}: expected each GPU once")
    return numbers


def choose(gpu: str, source: str) -> None:
    """Compute on the first GPU that ``-gpu`` names, or on the CPU if it names none.

    Parameters
    ----------
    gpu : str
        Value of the flag.
    source : str
        Where Caffe logs which it is.

    Raises
    ------
    CheckError
        If the value is wrong.
    DeviceError
        If there is no such GPU.
    """
    from caffe.engine import common, devices

    numbers = gpu_numbers(gpu)
    if not numbers:
        log(source, "Use CPU.")
        common.set_mode_cpu()
        return
    name = devices.device_name(numbers[0])
    log(source, f"Use GPU with device ID {numbers[0]}")
    log(source, f"GPU device name: {name}")
    common.set_mode_gpu()


def choose_for_training(gpu: str) -> list[int]:
    """Find the GPUs to train on, and compute on the first; on the CPU without one.

    Raises
    ------
    CaffeError
        As `choose`, for each of them.
    """
    from caffe.engine import common, devices

    numbers = gpu_numbers(gpu)
    if not numbers:
        log("caffe.cpp:197", "Use CPU.")
        common.set_mode_cpu()
        return []
    names = [devices.device_name(number) for number in numbers]
    log("caffe.cpp:204", f"Using GPUs {', '.join(map(str, numbers))}")
    for number, name in zip(numbers, names, strict=True):
        log("caffe.cpp:209", f"GPU {number}: {name}")
    common.set_device(numbers[0])
    common.set_mode_gpu()
    return numbers


def of_solver(gpu: str, param: Any, path: str) -> str:
    """Value of ``-gpu``, or what a solver file says instead if the flag is empty.

    Raises
    ------
    DeviceError
        If the file wants a GPU that is not there.
    """
    from caffe.engine import common

    says_gpu = param.HasField("solver_mode") and param.solver_mode == param.GPU
    if gpu or not says_gpu:
        return gpu
    try:
        common.set_device(param.device_id)
    except DeviceError as error:
        raise DeviceError(
            f"{path} says solver_mode: GPU, but {error}; "
            "say solver_mode: CPU there to train without one"
        ) from error
    return str(param.device_id)
