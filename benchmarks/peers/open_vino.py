"""OpenVINO on the CPU, with the net that it converts from plain torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino

PRECISIONS = {"float32": "f32", "bf16": "bf16"}


def set_up(request: dict[str, Any]) -> dict[str, Any]:
    """Compile the net for low latency in the precision that is asked for."""
    material = Path(request["material"])
    net = openvino.Core().compile_model(
        str(material / "net.xml"),
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": PRECISIONS[request["precision"]],
            "INFERENCE_NUM_THREADS": request["threads"],
            "PERFORMANCE_HINT": "LATENCY",
        },
    )
    image = np.load(material / "input.npy")
    infer = net.create_infer_request()

    def step() -> Any:
        return infer.infer([image], share_inputs=True)[0]

    about = {"precision": str(net.get_property("INFERENCE_PRECISION_HINT"))}
    return {"step": step, "scores": step, "about": about}
