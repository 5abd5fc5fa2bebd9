"""The engine of this project: `caffe.Net.forward`, and the steps of `caffe train`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import caffe


def set_up(request: dict[str, Any]) -> dict[str, Any]:
    """Set up the packaged prototxt files in a backend and a precision.

    Parameters
    ----------
    request : dict
        `variant` is the backend, `precision` "float32" or "bf16".
    """
    choose(precision=request["precision"], backend=request["variant"])
    if request["kind"] == "training":
        solver = caffe.get_solver(request["solver"])
        solver.net.keep_blobs = False  # as the command `caffe train` does
        return {"step": lambda: solver.step(1), "scores": None, "about": {}}
    material = Path(request["material"])
    weights = str(material / "weights.caffemodel")
    net = caffe.Net(request["deploy"], weights, caffe.TEST)
    image = np.load(material / "input.npy")
    source, output = net.inputs[0], net.outputs[0]
    net.blobs[source].reshape(*image.shape)
    net.reshape()
    net.blobs[source].data[...] = image

    def scores() -> Any:
        return np.array(net.forward()[output])

    scores()
    check_backend(request["variant"])
    return {"step": net.forward, "scores": scores, "about": {}}


def choose(*, precision: str, backend: str) -> None:
    """Set what differs from the defaults; an engine that cannot do it says so."""
    if precision != "float32":
        _setter("set_precision")(precision)
    if backend != "torch":
        _setter("set_backend")(backend)


def check_backend(backend: str) -> None:
    """Make sure after a forward that it was not torch that computed in its place.

    Raises
    ------
    RuntimeError
        The backend's package was not even loaded.
    """
    if backend not in sys.modules:
        raise RuntimeError(f"the forward did not use {backend}")


def _setter(name: str) -> Any:
    found = getattr(caffe, name, None)
    if found is None:
        raise RuntimeError(f"this caffe has no {name}")
    return found
