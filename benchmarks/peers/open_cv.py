"""OpenCV's dnn module, which reads Caffe's own files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np


def set_up(request: dict[str, Any]) -> dict[str, Any]:
    """Read the prototxt and the weights."""
    material = Path(request["material"])
    cv2.setNumThreads(request["threads"])
    net = cv2.dnn.readNetFromCaffe(
        request["deploy"], str(material / "weights.caffemodel")
    )
    net.setInput(np.load(material / "input.npy"))
    return {"step": net.forward, "scores": net.forward, "about": {}}
