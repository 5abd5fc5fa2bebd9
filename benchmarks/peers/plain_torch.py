"""Plain torch: as it comes, channels last, compiled, with bfloat16 in two ways.

Variants: `nchw` and `channels-last` are eager, `compile` is torch.compile of the latter
(inference with inductor's freezing), `bf16-weights` has its weights turned to bfloat16
once. In bf16 the others run under autocast.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from peers.twin import SHAPES, Shape, load_weights, make_net


def set_up(request: dict[str, Any]) -> dict[str, Any]:
    """Set up a variant; compiling is done, and timed, before it is ready."""
    variant, shape = request["variant"], SHAPES[request["model"]]
    torch.set_num_threads(request["threads"])
    material = Path(request["material"])
    channels_last = variant != "nchw"
    net = make_net(shape, channels_last=channels_last)
    load_weights(net, material / "weights.npz")
    image = torch.from_numpy(np.load(material / "input.npy"))
    if channels_last:
        image = image.to(memory_format=torch.channels_last)
    precision = request["precision"] if variant != "bf16-weights" else "float32"
    if request["kind"] == "training":
        labels = torch.from_numpy(np.load(material / "labels.npy").astype(np.int64))
        if variant == "compile":
            net.compile()
        step = training(net, shape, image, labels, precision)
        scores = None
    else:
        net.eval()
        if variant == "bf16-weights":
            net, image = net.to(torch.bfloat16), image.to(torch.bfloat16)
        if variant == "compile":
            from torch._inductor import config

            config.freezing = True
            net.compile()
        step = inference(net, image, precision)

        def scores() -> Any:
            return step().float().numpy()

    about = {}
    if variant == "compile":
        begin = time.perf_counter()
        step()
        about["compile_s"] = time.perf_counter() - begin
    return {"step": step, "scores": scores, "about": about}


def _precise(precision: str) -> AbstractContextManager[object]:
    if precision == "bf16":
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return nullcontext()


def inference(net: Any, image: torch.Tensor, precision: str) -> Callable[[], Any]:
    """Give a run of the net."""

    def infer() -> torch.Tensor:
        with torch.inference_mode(), _precise(precision):
            return net(image)

    return infer


def training(
    net: Any, shape: Shape, image: torch.Tensor, labels: torch.Tensor, precision: str
) -> Callable[[], Any]:
    """Give a step with a loss that is weighted by pixel, and the solver's update."""
    weights = torch.ones(1, shape.output, shape.output)
    optimizer: torch.optim.Optimizer = (
        torch.optim.Adam(net.parameters(), 1e-4)
        if shape.adam
        else torch.optim.SGD(net.parameters(), 1e-4, momentum=0.99)
    )

    def train() -> None:
        optimizer.zero_grad()
        with _precise(precision):
            scores = net(image)
        loss = functional.cross_entropy(scores.float(), labels, reduction="none")
        ((loss * weights).sum() / weights.sum()).backward()
        optimizer.step()

    return train
