"""Seconds per 572-pixel tile and per training step, beside plain torch.

Both peers run the same layers, float32, channels last, on the same number of
threads, in processes of their own that take turns; printed are medians, the ratio,
and the peak memory of each process.

    python benchmarks/unet_tile.py --model unet_isbi2012 --rounds 3
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
from pathlib import Path
from typing import Any

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
IN, OUT = 572, 388
WIDTHS = {"unet_isbi2012": 64, "unet_isbi2012_narrow": 16}


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

    folder = ROOT / "prototxt" / model
    if task == "inference":
        net = caffe.Net(str(folder / "deploy.prototxt"), caffe.TEST)
        data = np.random.default_rng(0).random((1, 1, IN, IN), np.float32)
        net.blobs["data"].reshape(*data.shape)
        net.reshape()
        net.blobs["data"].data[...] = data
        return net.forward
    Path("data/isbi2012").mkdir(parents=True)
    rng = np.random.default_rng(0)
    with h5py.File("data/isbi2012/train.h5", "w") as file:
        file["data"] = rng.random((4, 1, IN, IN), np.float32)
        file["label"] = rng.integers(0, 2, (4, 1, OUT, OUT), np.uint8)
        file["weights"] = np.ones((4, 1, OUT, OUT), np.float32)
    Path("data/isbi2012/train.txt").write_text("data/isbi2012/train.h5\n")
    solver = caffe.get_solver(str(folder / "solver.prototxt"))
    solver.net.keep_blobs = False  # as the command `caffe train` does
    return lambda: solver.step(1)


def torch_net(width: int) -> Any:
    """Write the net in plain torch, as one would by hand."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Block(nn.Sequential):
        def __init__(self, inside: int, outside: int) -> None:
            super().__init__(
                nn.Conv2d(inside, outside, 3),
                nn.ReLU(inplace=True),
                nn.Conv2d(outside, outside, 3),
                nn.ReLU(inplace=True),
            )

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            w = [width * 2**i for i in range(5)]
            self.down = nn.ModuleList(
                Block(a, b) for a, b in zip([1, *w], w, strict=False)
            )
            pairs = list(zip(w[:0:-1], w[-2::-1], strict=True))
            self.up = nn.ModuleList(
                nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in pairs
            )
            self.merge = nn.ModuleList(Block(a, b) for a, b in pairs)
            self.score = nn.Conv2d(width, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            skips = []
            for i, block in enumerate(self.down):
                x = block(x if i == 0 else functional.max_pool2d(x, 2))
                if i >= 3:
                    x = functional.dropout(x, 0.5, self.training)
                skips.append(x)
            for up, merge, skip in zip(self.up, self.merge, skips[-2::-1], strict=True):
                x = functional.relu_(up(x))
                cut = (skip.shape[-1] - x.shape[-1]) // 2
                skip = skip[..., cut : cut + x.shape[-2], cut : cut + x.shape[-1]]
                x = merge(torch.cat([x, skip], 1))
            return self.score(x)

    return UNet().to(memory_format=torch.channels_last)


def torch_work(model: str, task: str) -> Callable[[], object]:
    """Set up the task in plain torch."""
    import torch
    from torch.nn import functional

    net = torch_net(WIDTHS[model])
    x = torch.rand(1, 1, IN, IN).to(memory_format=torch.channels_last)
    if task == "inference":
        net.eval()

        def infer() -> None:
            with torch.inference_mode():
                net(x)

        return infer
    label = torch.randint(0, 2, (1, OUT, OUT))
    weight = torch.ones(1, OUT, OUT)
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
    parser.add_argument("--model", choices=sorted(WIDTHS), default="unet_isbi2012")
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
