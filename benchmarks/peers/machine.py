"""What a result must say of where and with what it was measured."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from peers.material import ROOT

PACKAGES = (
    "torch",
    "numpy",
    "opencv-python-headless",
    "onnxruntime",
    "openvino",
    "onnx",
)
SOURCES = ("caffe", "pyunet", "prototxt")
TELLING_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")


def describe() -> dict[str, Any]:
    """Describe machine, programs, commit and time.

    Returns
    -------
    dict
        `cpu`, `cpu_flags`, `cores`, `memory_gib`, `system`, `python`, `packages`,
        `commit`, `sources` (what the packages and nets are, whatever the commit),
        `uncommitted` (whether they were changed since), `date`, `load` (processes
        that wanted to run in the minute before).
    """
    cpu = _cpu()
    return {
        "cpu": cpu.get("model name", platform.processor() or platform.machine()),
        "cpu_family_model": f"{cpu.get('cpu family', '?')}/{cpu.get('model', '?')}",
        "cpu_flags": [f for f in TELLING_FLAGS if f in cpu.get("flags", "").split()],
        "cores": cores(),
        "memory_gib": round(
            os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1
        ),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": versions(PACKAGES),
        **commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "load": round(os.getloadavg()[0], 2),
    }


def cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Give the versions of those packages that are installed."""
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit() -> dict[str, Any]:
    """Give the commit, its sources, and whether these were changed since."""
    try:
        trees = _git("rev-parse", *(f"HEAD:{folder}" for folder in SOURCES))
        return {
            "commit": _git("rev-parse", "HEAD"),
            "sources": "-".join(tree[:7] for tree in trees.splitlines()),
            "uncommitted": bool(_git("status", "--porcelain", "--", *SOURCES)),
        }
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "unknown", "sources": "unknown", "uncommitted": False}


def command() -> str:
    """Give the command line as one would type it in the repository."""
    script = Path(sys.argv[0]).resolve()
    inside = script.is_relative_to(ROOT)
    shown = script.relative_to(ROOT) if inside else Path(script.name)
    return " ".join(["python", str(shown), *sys.argv[1:]])


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def _cpu() -> dict[str, str]:
    """Read what Linux says of the first core."""
    try:
        block = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in block.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
