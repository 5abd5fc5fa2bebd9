"""The computer: Python, torch, GPUs and their memory.

What torch is and sees is asked of a process of its own: a broken installation then ends
that process, not this one.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from pyunet import __version__
from pyunet_fiji.doctor.findings import Finding, ok, problem, warning
from pyunet_fiji.doctor.places import terminal

GIB = 2**30
LITTLE_GPU_BYTES = 2 * GIB
LITTLE_RAM_BYTES = 8 * GIB
NEWEST_PYTHON = (3, 14)
_CUDA = "https://download.pytorch.org/whl/cu126"
_ASK = """
import json, caffe, torch
count = getattr(caffe, "device_count", torch.cuda.device_count)()
name = getattr(caffe, "device_name", torch.cuda.get_device_name)
memory = getattr(caffe, "device_memory", torch.cuda.mem_get_info)
def device(i):
    try:
        free, total = memory(i)
        major, minor = torch.cuda.get_device_capability(i)
        return dict(name=name(i), free=free, total=total, capability=10*major+minor)
    except Exception as error:
        return dict(name="", error=str(error).split("\\n")[0])
print("\\n" + json.dumps(dict(
    torch=torch.__version__, arch=torch.cuda.get_arch_list(),
    cuda=torch.version.cuda, hip=getattr(torch.version, "hip", None),
    threads=torch.get_num_threads(), devices=[device(i) for i in range(count)])))
"""


def check() -> Iterator[Finding]:
    """Check Python, torch, libraries in the environment, GPUs and memory."""
    yield _python()
    yield _hdf5()
    yield from _environment()
    said = ask_torch()
    if isinstance(said, str):
        yield problem(
            f"torch cannot be used: {said}",
            f"{sys.executable} -m pip install --force-reinstall torch",
        )
        return
    build = f"CUDA {said['cuda']}" if said["cuda"] else "CPU only"
    if said["hip"]:
        build = f"ROCm {said['hip']}"
    yield ok(f"torch {said['torch']} ({build}), {said['threads']} threads on the CPU")
    yield from _gpus(said)
    yield from _ram()


def ask_torch() -> dict[str, Any] | str:
    """Ask a process of its own for torch's version, build and devices.

    Returns
    -------
    dict or str
        The last line of its error, if it failed.
    """
    place = replace(terminal(), env={**os.environ, "GLOG_minloglevel": "2"})
    answer = place.run(sys.executable, "-c", _ASK)
    lines = [line for line in answer.stdout.split("\n") if line.startswith("{")]
    if answer.status != 0 or not lines:
        return answer.last_line or f"exit status {answer.status}"
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def _python() -> Finding:
    found = (
        f"Python {platform.python_version()}, pyunet {__version__}, {sys.executable}"
    )
    if sys.version_info[:2] > NEWEST_PYTHON:
        return warning(
            f"{found}: newer than 3.14, the newest that was tried",
            "make an environment with Python 3.11 to 3.14 and install pyunet there",
        )
    return ok(found)


def _hdf5() -> Finding:
    try:
        import h5py
    except ImportError as error:
        return problem(
            f"h5py cannot be used: {error}",
            f"{sys.executable} -m pip install --force-reinstall h5py",
        )
    versions = f"h5py {metadata.version('h5py')}, HDF5 {h5py.version.hdf5_version}"
    return ok(versions)


def _environment() -> Iterator[Finding]:
    """Look for what the old backend's instructions left behind."""
    for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"):
        for folder in filter(None, os.environ.get(name, "").split(os.pathsep)):
            if any(Path(folder).glob("libcaffe*")):
                yield warning(
                    f"{name} names {folder}, the libraries of an old Caffe, which "
                    "other programs then load, too",
                    f"unset {name}    (and take it out of ~/.bashrc and ~/.profile)",
                )
    for folder in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        init = Path(folder, "caffe", "__init__.py")
        own = Path(__file__).resolve().parents[2] / "caffe" / "__init__.py"
        if init.is_file() and init.resolve() != own:
            yield problem(
                f"PYTHONPATH names {folder}, which holds another caffe, taken before "
                "that of pyunet",
                "unset PYTHONPATH    (and take it out of ~/.bashrc and ~/.profile)",
            )


def _gpus(said: dict[str, Any]) -> Iterator[Finding]:
    if not said["devices"]:
        yield _no_gpu(said)
    for number, device in enumerate(said["devices"]):
        yield _gpu(number, device, said)


def _no_gpu(said: dict[str, Any]) -> Finding:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        return warning(
            f"no GPU: CUDA_VISIBLE_DEVICES={hidden!r} hides those that may be there",
            "unset CUDA_VISIBLE_DEVICES",
        )
    if shutil.which("nvidia-smi") and not said["cuda"]:
        return problem(
            "there is an NVIDIA driver, but this torch is a build for CPUs; "
            "-gpu 0 ends with `invalid device ordinal`",
            f"{sys.executable} -m pip install --force-reinstall torch --index-url "
            f"{_CUDA}",
        )
    if shutil.which("nvidia-smi"):
        return problem(
            f"there is an NVIDIA driver, but torch for CUDA {said['cuda']} sees no GPU "
            "(nvidia-smi names the CUDA version that the driver knows)",
            f"update the driver, or for an older one: {sys.executable} -m pip install "
            f"--force-reinstall torch --index-url {_CUDA}",
        )
    return ok("no GPU: choose `none` for the GPU in the plugin's dialog")


def _gpu(number: int, device: dict[str, Any], said: dict[str, Any]) -> Finding:
    if "error" in device:
        return problem(f"GPU {number}: {device['error']}")
    free, total = device["free"] / GIB, device["total"] / GIB
    name = f"GPU {number}: {device['name']}, {free:.1f} of {total:.1f} GiB free"
    if not _built_for(device["capability"], said["arch"]):
        return problem(
            f"{name}; this torch is not built for it (sm_{device['capability']})",
            f"{sys.executable} -m pip install --upgrade torch",
        )
    if device["free"] < LITTLE_GPU_BYTES:
        return warning(
            f"{name}; little for a net, other programs use it",
            "end them (nvidia-smi lists them), or choose another GPU in the dialog",
        )
    return ok(name)


def _built_for(capability: int, arch: list[str]) -> bool:
    """Tell whether a build for some architectures runs on a GPU.

    One for sm_80 runs on 8.0 to 8.9; one for compute_90 on all from 9.0 on.

    Examples
    --------
    >>> _built_for(86, ["sm_80"]), _built_for(120, ["sm_80", "sm_90"])
    (True, False)
    """
    if not any(name.startswith("sm_") for name in arch):
        return True
    for name in arch:
        kind, _, digits = name.partition("_")
        number = int("".join(c for c in digits if c.isdigit()) or 0)
        same_major = capability // 10 == number // 10
        if number <= capability and (same_major or kind == "compute"):
            return True
    return False


def _ram() -> Iterator[Finding]:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    text = f"{os.cpu_count()} CPU cores, {total / GIB:.1f} GiB of memory"
    if total < LITTLE_RAM_BYTES:
        yield warning(
            f"{text}: finetuning 2d_cell_net_v0 with tiles of 540x540 on the CPU "
            "takes 6 GiB",
            "choose smaller tiles in the plugin's dialog",
        )
    else:
        yield ok(text)
