"""Caffe's Python interface, on PyTorch.

Names are those of pycaffe. They are found when they are first used, so that what
needs no torch (`caffe.proto`, `caffe.cli`) does not load it.
"""

from __future__ import annotations

import gc
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caffe.engine.spans import Axis as Axis

__version__ = "1.0.0"  # of the Caffe whose interface this is; ours is pyunet's

TRAIN = 0
TEST = 1

_HOMES = {
    "Net": "caffe.engine.net",
    "Blob": "caffe.engine.blob",
    "SGDSolver": "caffe.engine.solvers",
    "NesterovSolver": "caffe.engine.solvers",
    "AdaGradSolver": "caffe.engine.solvers",
    "RMSPropSolver": "caffe.engine.solvers",
    "AdaDeltaSolver": "caffe.engine.solvers",
    "AdamSolver": "caffe.engine.solvers",
    "get_solver": "caffe.engine.solvers",
    "set_mode_cpu": "caffe.engine.common",
    "set_mode_gpu": "caffe.engine.common",
    "set_device": "caffe.engine.common",
    "set_random_seed": "caffe.engine.common",
    "backend": "caffe.engine.common",
    "precision": "caffe.engine.common",
    "set_backend": "caffe.engine.common",
    "set_precision": "caffe.engine.common",
    "set_solver_count": "caffe.engine.common",
    "set_solver_rank": "caffe.engine.common",
    "set_multiprocess": "caffe.engine.common",
    "solver_count": "caffe.engine.common",
    "solver_rank": "caffe.engine.common",
    "has_nccl": "caffe.engine.parallel",
    "NCCL": "caffe.engine.parallel",
    "Timer": "caffe.engine.timer",
    "Layer": "caffe.engine.layers.python",
    "Classifier": "caffe.classifier",
    "Detector": "caffe.detector",
    "layer_type_list": "caffe.engine.catalogue",
    "prefer_dialects": "caffe.engine.catalogue",
    "Cost": "caffe.engine.cost",
    "cost": "caffe.engine.cost",
    "filter_net": "caffe.engine.graph",
    "geometry": "caffe.engine.geometry",
    "Axis": "caffe.engine.spans",
    "Geometry": "caffe.engine.geometry",
    "describe_device": "caffe.engine.devices",
    "device_count": "caffe.engine.devices",
    "device_memory": "caffe.engine.devices",
    "device_name": "caffe.engine.devices",
    "Draft": "caffe.atomic",
    "layers": "caffe.net_spec",
    "params": "caffe.net_spec",
    "NetSpec": "caffe.net_spec",
    "to_proto": "caffe.net_spec",
    "read_net": "caffe.proto.files",
    "read_solver": "caffe.proto.files",
    "parse_net": "caffe.proto.files",
    "parse_solver": "caffe.proto.files",
    "to_text": "caffe.proto.text",
    "CaffeError": "caffe.errors",
    "CheckError": "caffe.errors",
    "FileError": "caffe.errors",
    "PrototxtError": "caffe.errors",
    "DeviceError": "caffe.errors",
    "OutOfMemoryError": "caffe.errors",
    "PeerError": "caffe.errors",
}
_MODULES = (
    "atomic",
    "classifier",
    "coord_map",
    "detector",
    "dnn",
    "draw",
    "errors",
    "export",
    "flags",
    "glog",
    "io",
    "memory",
    "net_spec",
    "proto",
    "pycaffe",
    "streams",
)

__all__ = ["TEST", "TRAIN", "init_log", "log", *sorted(_HOMES), *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(_imported(_HOMES[name]), name)
    elif name in (*_MODULES, "_caffe"):
        value = _imported(f"caffe.{name}")
    else:
        raise AttributeError(f"module 'caffe' has no attribute '{name}'")
    globals()[name] = value
    return value


def _imported(name: str) -> Any:
    """Import a module without looking for garbage: torch's import leaves none."""
    running = gc.isenabled()
    gc.disable()
    try:
        return import_module(name)
    finally:
        if running:
            gc.enable()


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def init_log(level: int = 0, stderr: bool = True) -> None:
    """Set the least level that is logged: 0 information, 1 warnings, 2 errors.

    Parameters
    ----------
    level : int, default 0
    stderr : bool, default True
        Kept for pycaffe's sake: the log always goes to the standard error.
    """
    os.environ["GLOG_minloglevel"] = str(level)  # noqa: SIM112 - glog spells it so


def log(text: str) -> None:
    """Write a line of information to Caffe's log."""
    from caffe.glog import log as write

    write("_caffe.cpp:65", text)
