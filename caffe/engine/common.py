"""Mode, device, rank and random numbers: what all nets of the process share."""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from caffe.errors import CheckError, DeviceError
from caffe.glog import log, mute


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


PRECISIONS = ("float32", "bf16", "tf32")
BACKENDS = ("torch", "onnxruntime", "openvino")


class _World:
    """Caffe's thread-wide settings."""

    def __init__(self) -> None:
        self.gpu = False
        self.device_id = 0
        self.precision = PRECISIONS[0]
        self.backend = BACKENDS[0]
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
    allow_tf32(_WORLD.precision == "tf32")
    _WORLD.gpu = True


def allow_tf32(allowed: bool) -> None:
    """Let a GPU round to TF32, which torch does in convolutions by default, or not."""
    if hasattr(torch.backends, "fp32_precision"):
        torch.backends.fp32_precision = "tf32" if allowed else "ieee"
    else:
        torch.backends.cudnn.allow_tf32 = allowed
        torch.backends.cuda.matmul.allow_tf32 = allowed


def set_precision(name: str) -> None:
    """Choose what convolutions and inner products round to from now on.

    Parameters
    ----------
    name : {"float32", "bf16", "tf32"}
        ``float32``, the default, is Caffe's. ``bf16``: weights stay float32; what these
        layers read and write has 8 binary digits, except the scores and losses at the
        end of a net. ``tf32``: 11 binary digits, on NVIDIA GPUs from Ampere on.

    Raises
    ------
    CheckError
        For another name.

    Examples
    --------
    >>> set_precision("bf16")
    >>> precision()
    'bf16'
    >>> set_precision("float32")
    """
    if name not in PRECISIONS:
        raise CheckError(
            f"precision '{name}' is not known: expected one of {', '.join(PRECISIONS)}"
        )
    if name == "bf16" and not (_WORLD.gpu or computes_bfloat16()):
        log(
            "common.cpp:160",
            "this CPU has no instructions for bfloat16: float32 is faster",
            "W",
        )
    _WORLD.precision = name
    if _WORLD.gpu:
        allow_tf32(name == "tf32")


def precision() -> str:
    """Give the name that `set_precision` was told last.

    Raises
    ------
    DeviceError
        If it is ``tf32`` and nets compute on the CPU.
    """
    if _WORLD.precision == "tf32" and not _WORLD.gpu:
        raise DeviceError(
            "precision tf32 needs an NVIDIA GPU; float32 and bf16 work on the CPU"
        )
    return _WORLD.precision


def set_backend(name: str) -> None:
    """Choose what computes whole forwards of phase TEST on the CPU from now on.

    Training, parts of a forward, and forwards with hooks always run on torch.

    Parameters
    ----------
    name : {"torch", "onnxruntime", "openvino"}
        The others come with ``pip install "pyunet[speed]"``.

    Raises
    ------
    CheckError
        For another name.
    """
    if name not in BACKENDS:
        raise CheckError(
            f"backend '{name}' is not known: expected one of {', '.join(BACKENDS)}"
        )
    _WORLD.backend = name


def backend() -> str:
    """Give the name that `set_backend` was told last.

    Examples
    --------
    >>> backend()
    'torch'
    """
    return _WORLD.backend


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
        raise CheckError(f"solver_count is {count}: expected 1 or more")
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
        raise CheckError(f"solver_rank is {rank}: expected 0 or more")
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


@functools.cache
def computes_bfloat16() -> bool:
    """Whether this machine has instructions for bfloat16 that oneDNN uses."""
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return supported is not None and bool(supported())


def _check_device(device_id: int) -> None:
    count = torch.cuda.device_count()
    if not 0 <= device_id < count:
        found = f"{count} found" if count else "no CUDA device was found"
        hint = "" if count else "; leave out -gpu to compute on the CPU"
        raise DeviceError(f"GPU {device_id}: invalid device ordinal ({found}){hint}")


def _exists(key: str) -> bool:
    kind = torch.device(key)
    return kind.type == "cpu" or (kind.index or 0) < torch.cuda.device_count()
