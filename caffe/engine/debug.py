"""Caffe's `debug_info` lines: how large numbers are as they pass through a net."""

from __future__ import annotations

import torch

from caffe.engine import common
from caffe.engine.blob import Blob
from caffe.engine.node import Node
from caffe.engine.wiring import Wiring
from caffe.glog import log


class DebugInfo:
    """Logs mean absolute values of tops, gradients and parameters.

    Parameters
    ----------
    wiring : Wiring
        Of the net.
    """

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    def forward(self, index: int) -> None:
        """Log the tops and the parameters of a layer that has run."""
        node = self._wiring.nodes[index]
        for name in node.top:
            size = _mean_abs(_data(self._wiring.blobs[name]))
            log(
                "net.cpp:565",
                f"    [Forward] Layer {node.name}, top blob {name} data: {size:.6g}",
            )
        for number, blob in enumerate(node.blobs):
            size = _mean_abs(_data(blob))
            log(
                "net.cpp:577",
                f"    [Forward] Layer {node.name}, param blob "
                f"{_shown_name(node, number)} data: {size:.6g}",
            )

    def backward(self, index: int) -> None:
        """Log the gradients that a layer has made."""
        node = self._wiring.nodes[index]
        if not node.needs_backward:
            return
        for name, needed in zip(node.bottom, node.bottom_needs_backward, strict=True):
            if needed:
                size = _mean_abs(_diff(self._wiring.blobs[name]))
                log(
                    "net.cpp:593",
                    f"    [Backward] Layer {node.name}, bottom blob {name} "
                    f"diff: {size:.6g}",
                )
        for number, blob in enumerate(node.blobs):
            if node.param_propagate[number]:
                size = _mean_abs(_diff(blob))
                log(
                    "net.cpp:604",
                    f"    [Backward] Layer {node.name}, param blob {number} "
                    f"diff: {size:.6g}",
                )

    def totals(self) -> None:
        """Log the norms of all parameters and of their gradients."""
        norms = []
        for order in (1, 2):
            for values in (_data, _diff):
                blobs = [item.blob for item in self._wiring.learnable]
                each = [values(blob).flatten().norm(order) for blob in blobs]
                whole = torch.stack(each).norm(order) if each else torch.zeros(())
                norms.append(float(whole))
        log(
            "net.cpp:643",
            "    [Backward] All net params (data, diff): "
            f"L1 norm = ({norms[0]:.6g}, {norms[1]:.6g}); "
            f"L2 norm = ({norms[2]:.6g}, {norms[3]:.6g})",
        )


def _data(blob: Blob) -> torch.Tensor:
    return blob.tensor(common.device())


def _diff(blob: Blob) -> torch.Tensor:
    return blob.grad_tensor(common.device())


def _mean_abs(values: torch.Tensor) -> float:
    return float(values.abs().mean())


def _shown_name(node: Node, number: int) -> str:
    specs = node.param.param
    name = specs[number].name if number < len(specs) else ""
    return name or str(number)
