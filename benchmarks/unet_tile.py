"""Seconds per tile of 572 (540) pixels and per training step, beside plain torch.

A step of 2d_cell_net_v0 is one of a finetuning: ours reads an image, deforms it and
changes its grey values; torch's takes the same tile each time. Both peers run the same
layers, float32, channels last, on the same number of threads, in processes of their
own that take turns; printed are medians, the ratio, and the peak memory of each.

    python benchmarks/unet_tile.py --model unet_isbi2012 --rounds 3
    python benchmarks/unet_tile.py --model 2d_cell_net_v0 --task training
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
IMAGE = 700  # pixels of a side of the images that a finetuning reads


@dataclass(frozen=True)
class Shape:
    """What the plain torch net needs to be the net of a prototxt folder."""

    width: int
    tile: int = 572
    last: int | None = None  # channels of the last level, default: width
    slope: float = 0.0  # of the leaky ReLU

    @property
    def output(self) -> int:
        """Pixels of a side of the scores."""
        return self.tile - 184


SHAPES = {
    "unet_isbi2012": Shape(64),
    "unet_isbi2012_narrow": Shape(16),
    "2d_cell_net_v0": Shape(64, tile=540, last=128, slope=0.1),
}


def timed(work: Callable[[], object], repeats: int) -> list[float]:
    """Seconds of each of `repeats` calls, after one that is not counted."""
    work()
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return seconds


def caffe_work(model: str, task: str) -> Callable[[], object]:
    """Set up the task in this project's engine, with the packaged prototxt files."""
    import caffe

    folder, tile = ROOT / "prototxt" / model, SHAPES[model].tile
    if task == "inference":
        net = caffe.Net(str(folder / "deploy.prototxt"), caffe.TEST)
        data = np.random.default_rng(0).random((1, 1, tile, tile), np.float32)
        (source,) = net.inputs
        net.blobs[source].reshape(*data.shape)
        net.reshape()
        net.blobs[source].data[...] = data
        return net.forward
    if model == "2d_cell_net_v0":
        write_images(Path("data") / model)
    else:
        write_tiles(Path("data/isbi2012"), SHAPES[model])
    solver = caffe.get_solver(str(folder / "solver.prototxt"))
    solver.net.keep_blobs = False  # as the command `caffe train` does
    return lambda: solver.step(1)


def write_tiles(folder: Path, shape: Shape) -> None:
    """Write tiles with labels of the scores' size."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    inside, outside = (4, 1, shape.tile, shape.tile), (4, 1, shape.output, shape.output)
    with h5py.File(folder / "train.h5", "w") as file:
        file["data"] = rng.random(inside, np.float32)
        file["label"] = rng.integers(0, 2, outside, np.uint8)
        file["weights"] = np.ones(outside, np.float32)
    (folder / "train.txt").write_text(f"{folder}/train.h5\n")


def write_images(folder: Path) -> None:
    """Write an image, labels, weights and a pdf as a finetuning has them."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    whole = (1, 1, IMAGE, IMAGE)
    with h5py.File(folder / "train.h5", "w") as file:
        file["data"] = rng.random(whole, np.float32)
        file["labels"] = rng.integers(0, 2, whole).astype(np.float32)
        file["weights"] = file["weights2"] = np.ones(whole, np.float32)
    (folder / "train.txt").write_text(f"{folder}/train.h5\n")


def torch_net(shape: Shape) -> Any:
    """Write the net in plain torch, as one would by hand."""
    import torch
    from torch import nn
    from torch.nn import functional

    def rectifier() -> nn.Module:
        if shape.slope:
            return nn.LeakyReLU(shape.slope, inplace=True)
        return nn.ReLU(inplace=True)

    class Block(nn.Sequential):
        def __init__(self, inside: int, outside: int) -> None:
            super().__init__(
                nn.Conv2d(inside, outside, 3),
                rectifier(),
                nn.Conv2d(outside, outside, 3),
                rectifier(),
            )

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            w = [shape.width * 2**i for i in range(5)]
            last = shape.last or shape.width
            self.down = nn.ModuleList(
                Block(a, b) for a, b in zip([1, *w], w, strict=False)
            )
            skips, outside = w[-2::-1], [*w[-2:0:-1], last]
            self.up = nn.ModuleList(
                nn.ConvTranspose2d(a, b, 2, stride=2)
                for a, b in zip(w[:0:-1], outside, strict=True)
            )
            self.merge = nn.ModuleList(
                Block(a + b, b) for a, b in zip(skips, outside, strict=True)
            )
            self.rectify = rectifier()
            self.score = nn.Conv2d(last, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            skips = []
            for i, block in enumerate(self.down):
                x = block(x if i == 0 else functional.max_pool2d(x, 2))
                if i >= 3:
                    x = functional.dropout(x, 0.5, self.training)
                skips.append(x)
            for up, merge, skip in zip(self.up, self.merge, skips[-2::-1], strict=True):
                x = self.rectify(up(x))
                cut = (skip.shape[-1] - x.shape[-1]) // 2
                skip = skip[..., cut : cut + x.shape[-2], cut : cut + x.shape[-1]]
                x = merge(torch.cat([x, skip], 1))
            return self.score(x)

    return UNet().to(memory_format=torch.channels_last)


def torch_work(model: str, task: str) -> Callable[[], object]:
    """Set up the task in plain torch."""
    import torch
    from torch.nn import functional

    shape = SHAPES[model]
    net = torch_net(shape)
    x = torch.rand(1, 1, shape.tile, shape.tile).to(memory_format=torch.channels_last)
    if task == "inference":
        net.eval()

        def infer() -> None:
            with torch.inference_mode():
                net(x)

        return infer
    label = torch.randint(0, 2, (1, shape.output, shape.output))
    weight = torch.ones(1, shape.output, shape.output)
    if model == "unet_isbi2012":
        optimizer: torch.optim.Optimizer = torch.optim.SGD(
            net.parameters(), 1e-4, momentum=0.99
        )
    else:
        optimizer = torch.optim.Adam(net.parameters(), 1e-4)

    def train() -> None:
        optimizer.zero_grad()
        loss = functional.cross_entropy(net(x), label, reduction="none")
        ((loss * weight).sum() / weight.sum()).backward()
        optimizer.step()

    return train


def child(model: str, peer: str, task: str, repeats: int) -> None:
    """Measure one peer in this process and print what was found as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        work = (caffe_work if peer == "caffe" else torch_work)(model, task)
        seconds = timed(work, repeats)
        os.chdir(ROOT)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": seconds, "peak_gib": peak}))


def measure(args: argparse.Namespace, task: str) -> dict[str, tuple[float, float]]:
    """Median seconds and peak GiB of both peers, taking turns."""
    found: dict[str, list[dict[str, object]]] = {"caffe": [], "torch": []}
    for _ in range(args.rounds):
        for peer in found:
            command = [
                sys.executable,
                __file__,
                "--model",
                args.model,
                "--child",
                peer,
                "--task",
                task,
                "--repeats",
                str(args.repeats),
            ]
            env = dict(
                os.environ,
                GLOG_minloglevel="2",
                PYTHONPATH=str(ROOT),
                OMP_NUM_THREADS=str(args.threads),
            )
            done = subprocess.run(
                command, env=env, check=True, capture_output=True, text=True
            )
            found[peer].append(json.loads(done.stdout.splitlines()[-1]))
    return {
        peer: (
            statistics.median(s for run in runs for s in run["seconds"]),
            statistics.median(run["peak_gib"] for run in runs),
        )
        for peer, runs in found.items()
    }


def main() -> None:
    """Run the comparison, or one side of it in a child process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=sorted(SHAPES), default="unet_isbi2012")
    parser.add_argument("--task", choices=["inference", "training"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--child", choices=["caffe", "torch"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.model, args.child, args.task, args.repeats)
        return
    print(f"{args.model}, {platform.machine()}, {args.threads} threads, float32")
    for task in [args.task] if args.task else ["inference", "training"]:
        found = measure(args, task)
        (ours, our_peak), (theirs, their_peak) = found["caffe"], found["torch"]
        print(
            f"{task:10} caffe {ours:.3f} s, torch {theirs:.3f} s, "
            f"ratio {ours / theirs:.3f}; "
            f"peak memory {our_peak:.2f} GiB and {their_peak:.2f} GiB"
        )


if __name__ == "__main__":
    main()
