"""ONNX Runtime on the CPU, with the file that torch.onnx writes of the plain net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


def set_up(request: dict[str, Any]) -> dict[str, Any]:
    """Load the net with all graph optimisations, which are the default."""
    material = Path(request["material"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = request["threads"]
    session = onnxruntime.InferenceSession(
        str(material / "net.onnx"), options, providers=["CPUExecutionProvider"]
    )
    image = {"data": np.load(material / "input.npy")}

    def step() -> Any:
        return session.run(None, image)[0]

    return {"step": step, "scores": step, "about": {}}
