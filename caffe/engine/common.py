"""Mode, device, rank and random numbers: what all nets of the process share."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from caffe.engine.log import mute
from caffe.errors import CheckError, DeviceError


class RandomStreams:
    """The generators that fillers and layers draw from.

    One stream per device for `torch`, one for work on the host. `state` and
    `restore` serve exact resume.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._torch: dict[str, torch.Generator] = {}
        self._seed = 0
        self.rng = np.random.default_rng()
        self.reseed(seed)

    def reseed(self, seed: int | None) -> None:
        """Start all streams anew, from the operating system's entropy if None."""
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
        self._seed = seed % 2**63
        # layers hold on to the object: only its state may change
        self.rng.bit_generator.state = np.random.default_rng(
            self._seed
        ).bit_generator.state
        for generator in self._torch.values():
            generator.manual_seed(self._seed)

    def generator(self, device: torch.device) -> torch.Generator:
        """Stream for calls of torch on a device."""
        key = str(device)
        if key not in self._torch:
            self._torch[key] = torch.Generator(device).manual_seed(self._seed)
        return self._torch[key]

    def state(self) -> dict[str, NDArray[Any]]:
        """All streams as arrays."""
        host = json.dumps(self.rng.bit_generator.state)
        found = {"random/host": np.array(host)}
        for key, generator in self._torch.items():
            found[f"random/{key}"] = generator.get_state().numpy()
        return found

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Take back what `state` gave; streams it does not name stay."""
        if "random/host" in state:
            self.rng.bit_generator.state = json.loads(str(state["random/host"]))
        for name, value in state.items():
            key = name.removeprefix("random/")
            if name != key and key != "host" and _exists(key):
                stream = self.generator(torch.device(key))
                stream.set_state(torch.from_numpy(np.array(value)))


class _World:
    """Caffe's thread-wide settings."""

    def __init__(self) -> None:
        self.gpu = False
        self.device_id = 0
        self.solver_count = 1
        self.solver_rank = 0
        self.multiprocess = False
        self.streams = RandomStreams()


_WORLD = _World()


def set_mode_cpu() -> None:
    """Compute on the CPU from now on."""
    _WORLD.gpu = False


def set_mode_gpu() -> None:
    """Compute on the device of `set_device` from now on.

    Raises
    ------
    DeviceError
        If there is no such device.
    """
    _check_device(_WORLD.device_id)
    use_ieee_float32()
    _WORLD.gpu = True


def use_ieee_float32() -> None:
    """Keep torch from rounding to TF32, which it does in convolutions by default."""
    if hasattr(torch.backends, "fp32_precision"):
        torch.backends.fp32_precision = "ieee"
    else:
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False


def set_device(device_id: int) -> None:
    """Choose the GPU by its number.

    Raises
    ------
    DeviceError
        If there is no such device.
    """
    _check_device(device_id)
    _WORLD.device_id = device_id


def gpu_mode() -> bool:
    """Tell whether `set_mode_gpu` was the last mode."""
    return _WORLD.gpu


def device() -> torch.device:
    """Where nets compute now."""
    if _WORLD.gpu:
        return torch.device("cuda", _WORLD.device_id)
    return torch.device("cpu")


def torch_cpu() -> torch.device:
    """Name the CPU, where fillers draw: a seed means the same on every device."""
    return torch.device("cpu")


def streams() -> RandomStreams:
    """Give the random streams of the process."""
    return _WORLD.streams


def set_random_seed(seed: int) -> None:
    """Seed all random streams; a negative seed draws one, as Caffe does."""
    _WORLD.streams.reseed(seed if seed >= 0 else None)


def solver_count() -> int:
    """Count the processes that train together; 1 unless `set_solver_count` said so."""
    return _WORLD.solver_count


def set_solver_count(count: int) -> None:
    """Say how many processes train together, before nets are made.

    Raises
    ------
    CheckError
        If there would be none.
    """
    if count < 1:
        raise CheckError(f"solver_count is {count}: 1 or more is accepted")
    _WORLD.solver_count = count


def solver_rank() -> int:
    """Give the number of this process among those that train together, from 0."""
    return _WORLD.solver_rank


def set_solver_rank(rank: int) -> None:
    """Say which of the processes this is, before nets are made.

    All but number 0 write only warnings and errors to the log from then on.

    Raises
    ------
    CheckError
        If the number is negative.
    """
    if rank < 0:
        raise CheckError(f"solver_rank is {rank}: 0 or more is accepted")
    _WORLD.solver_rank = rank
    mute(0 if root_solver() else 1)


def root_solver() -> bool:
    """Tell whether this process tests, displays and writes snapshots."""
    return _WORLD.solver_rank == 0


def multiprocess() -> bool:
    """Tell what `set_multiprocess` said last."""
    return _WORLD.multiprocess


def set_multiprocess(value: bool) -> None:
    """Kept for pycaffe's sake: here ranks are always processes, never threads."""
    _WORLD.multiprocess = bool(value)


def _check_device(device_id: int) -> None:
    count = torch.cuda.device_count()
    if not 0 <= device_id < count:
        found = f"{count} found" if count else "no CUDA device was found"
        hint = "" if count else "; leave out -gpu to compute on the CPU"
        raise DeviceError(f"GPU {device_id}: invalid device ordinal ({found}){hint}")


def _exists(key: str) -> bool:
    kind = torch.device(key)
    return kind.type == "cpu" or (kind.index or 0) < torch.cuda.device_count()
