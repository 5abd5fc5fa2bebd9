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
from pathlib import Path

import numpy as np
from peers.material import ROOT, write_training
from peers.twin import SHAPES, make_net


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
    write_training(model, Path())
    solver = caffe.get_solver(str(folder / "solver.prototxt"))
    solver.net.keep_blobs = False  # as the command `caffe train` does
    return lambda: solver.step(1)


def torch_work(model: str, task: str) -> Callable[[], object]:
    """Set up the task in plain torch."""
    import torch
    from peers.plain_torch import inference, training

    shape = SHAPES[model]
    net = make_net(shape)
    image = torch.rand(1, 1, shape.tile, shape.tile)
    image = image.to(memory_format=torch.channels_last)
    if task == "inference":
        return inference(net.eval(), image, "float32")
    labels = torch.randint(0, 2, (1, shape.output, shape.output))
    return training(net, shape, image, labels, "float32")


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
