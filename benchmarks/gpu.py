"""How near a GPU comes to its limit: inference and training of the paper's net.

Checks the scores against float64, then measures, each as the median of some rounds by
the device's own events: tiles a second, training steps a second with deformations drawn
anew for each tile, the labels of a 1024 x 1024 image, with CUDA graphs and without,
beside plain torch (eager and compiled) and beside what the chip reaches at best in this
very run: a matrix product and a convolution of the net's largest shape, and a copy.
Layout is channels last, cuDNN chooses its algorithms by trying (autotune).

    python benchmarks/gpu.py
    python benchmarks/gpu.py --device cpu --quick

The latter runs all of it on the CPU with a small net. Results go to
benchmarks/results/gpu.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from peers import machine, material
from peers.twin import SHAPES, Shape, load_weights, make_net

import caffe

PAPER_STEPS = 60_000
IMAGE, BORDER, STRIDE = 1024, 184, 16  # pixels: of an image, lost by the net, of sizes
TYPES = {"float32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
GOALS = {  # of issue E, on an H200
    "tiles/s bf16 batch 16": 1200.0,
    "tiles/s bf16 batch 1": 500.0,
    "tiles/s tf32 batch 16": 600.0,
    "steps/s bf16 batch 1": 100.0,
    "images/s bf16 batch 8": 400.0,
    "minutes of 60000 steps": 10.0,
    "ms from image to labels": 10.0,
}
LABELS = """
layer { name: "labels" type: "ArgMax" bottom: "score" top: "labels"
  argmax_param { axis: 1 } }
"""
SOLVER = """
net: "train.prototxt" type: "SGD" base_lr: 2e-4 lr_policy: "fixed" momentum: 0.99
max_iter: 60000 random_seed: 1
"""


@dataclass
class Bench:
    """One call of this script.

    Attributes
    ----------
    device : torch.device
    quick : bool
        Small nets, few repeats.
    model : str
        The net of inference, a folder of `prototxt/`.
    found : dict
        What was measured, by name.
    """

    device: torch.device
    quick: bool
    model: str = "unet_isbi2012"
    found: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.quick:
            self.model = "unet_demo"

    @property
    def shape(self) -> Shape:
        """Sizes of the net of inference."""
        return SHAPES[self.model]

    @property
    def precisions(self) -> list[str]:
        """What this device computes with."""
        every = ["float32", "tf32", "bf16"]
        return every if self.device.type == "cuda" else ["float32", "bf16"]

    @property
    def folder(self) -> Path:
        """Where weights, an input and its scores in float64 lie."""
        return material.folder_of(self.model)

    def seconds(self, work: Callable[[], object]) -> float:
        """Median seconds of a call, after some that cuDNN and the graphs need."""
        rounds, repeats, warm = (1, 1, 1) if self.quick else (7, 20, 10)
        for _ in range(warm):
            work()
        return statistics.median(self._span(work, repeats) for _ in range(rounds))

    def _span(self, work: Callable[[], object], repeats: int) -> float:
        if self.device.type == "cpu":
            begin = time.perf_counter()
            for _ in range(repeats):
                work()
            return (time.perf_counter() - begin) / repeats
        events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
        torch.cuda.synchronize(self.device)
        events[0].record()
        for _ in range(repeats):
            work()
        events[1].record()
        torch.cuda.synchronize(self.device)
        return events[0].elapsed_time(events[1]) / 1e3 / repeats

    def note(self, name: str, value: float) -> None:
        """Keep a number and print it, with its goal if it has one."""
        self.found[name] = value
        goal = None if self.quick else GOALS.get(name)
        print(f"{name:42} {value:12.5g}" + ("" if goal is None else f"  goal {goal:g}"))


# This project.


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Compute with a precision for a while."""
    caffe.set_precision(name)
    try:
        yield
    finally:
        caffe.set_precision("float32")


def deploy_net(bench: Bench, side: int, batch: int = 1, more: str = "") -> Any:
    """Net of inference with stored weights, for images of this side."""
    text = (material.PROTOTXT / bench.model / "deploy.prototxt").read_text() + more
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "net.prototxt")
        file.write_text(text)
        weights = str(bench.folder / "weights.caffemodel")
        net = caffe.Net(str(file), weights, caffe.TEST)
    net.blobs[net.inputs[0]].reshape(batch, 1, side, side)
    net.reshape()
    tile = np.random.default_rng(0).random((batch, 1, side, side), np.float32)
    net.blobs[net.inputs[0]].data[...] = tile
    return net


def check(bench: Bench) -> None:
    """Distance of the scores of each precision to those of float64."""
    want = np.load(bench.folder / "scores_float64.npz")["scores"]
    for name in bench.precisions:
        with precision(name):
            net = deploy_net(bench, bench.shape.tile)
            net.blobs[net.inputs[0]].data[...] = np.load(bench.folder / "input.npy")
            for _ in range(5):  # the last one is replayed
                got = net.forward()[net.outputs[0]].astype(np.float64)
        error = np.linalg.norm(got - want) / np.linalg.norm(want)
        bench.note(f"error {name}", float(error))


def inference(bench: Bench) -> None:
    """Tiles a second of each precision, batch and way to start operations."""
    for name in bench.precisions:
        for batch in (1, 2) if bench.quick else (1, 16):
            for graphs in (True, False):
                with precision(name):
                    net = deploy_net(bench, bench.shape.tile, batch)
                    net.cuda_graphs = graphs
                    seconds = bench.seconds(net.forward_loss)
                how = "" if graphs else " no graph"
                bench.note(f"tiles/s {name} batch {batch}{how}", batch / seconds)


def labels(bench: Bench) -> None:
    """Milliseconds from an image on the host to its labels there."""
    image = 64 if bench.quick else IMAGE
    least = image + bench.shape.tile - bench.shape.output
    side = least + (bench.shape.tile - least) % STRIDE
    with precision("bf16"):
        net = deploy_net(bench, side, more=LABELS)
        padded = np.random.default_rng(1).random((1, 1, side, side), np.float32)

        def segment() -> object:
            net.blobs[net.inputs[0]].data[...] = padded
            return net.forward()["labels"]

        bench.note("ms from image to labels", 1e3 * bench.seconds(segment))


def make_solver(bench: Bench, folder: Path, batch: int) -> Any:
    """Solver of the net that deforms whole images by itself."""
    text = (material.PROTOTXT / "unet_isbi2012_online/train.prototxt").read_text()
    text = text.replace("data/isbi2012_whole/train.txt", str(folder / "train.txt"))
    text = text.replace("batch_size: 1", f"batch_size: {batch}")
    if bench.quick:
        channels = re.compile(r"num_output: (\d+)")
        text = channels.sub(lambda n: f"num_output: {max(2, int(n[1]) // 32)}", text)
    (folder / "train.prototxt").write_text(text)
    (folder / "solver.prototxt").write_text(SOLVER)
    rng = np.random.default_rng(0)
    with h5py.File(folder / "train.h5", "w") as file:
        shape = (max(8, batch), 1, 512, 512)
        file["data"] = rng.random(shape, np.float32)
        file["label"] = rng.integers(0, 2, shape, np.uint8)
        file["weights"] = np.ones(shape, np.float32)
    (folder / "train.txt").write_text("train.h5\n")
    solver = caffe.get_solver(str(folder / "solver.prototxt"))
    solver.net.keep_blobs = False  # as the command `caffe train` does
    return solver


def training(bench: Bench) -> None:
    """Count steps a second, with new deformations for each tile."""
    name = "bf16"
    for batch in (1,) if bench.quick else (1, 8):
        for graphs in (True, False):
            with tempfile.TemporaryDirectory() as folder, precision(name):
                solver = make_solver(bench, Path(folder), batch)
                solver.net.cuda_graphs = graphs
                seconds = bench.seconds(lambda own=solver: own.step(1))
            how = "" if graphs else " no graph"
            bench.note(f"steps/s {name} batch {batch}{how}", 1 / seconds)
            bench.note(f"images/s {name} batch {batch}{how}", batch / seconds)
    steps = bench.found[f"steps/s {name} batch 1"]
    bench.note("minutes of 60000 steps", PAPER_STEPS / steps / 60)


# Peers and limits.


def peers(bench: Bench) -> None:
    """Tiles a second of plain torch, channels last: eager, and compiled on a GPU."""
    compiled = [False, True] if bench.device.type == "cuda" else [False]
    for batch in (1, 2) if bench.quick else (1, 16):
        for compiling in compiled:
            net = make_net(bench.shape)
            load_weights(net, bench.folder / "weights.npz")
            net = net.eval().to(bench.device)
            if compiling:
                net = torch.compile(net, mode="max-autotune")
            tile = torch.rand(batch, 1, bench.shape.tile, bench.shape.tile)
            tile = tile.to(bench.device).to(memory_format=torch.channels_last)

            def run(net: Any = net, tile: torch.Tensor = tile) -> None:
                kind = torch.bfloat16
                with torch.inference_mode(), torch.autocast(bench.device.type, kind):
                    net(tile)

            how = "torch.compile" if compiling else "torch"
            rate = batch / bench.seconds(run)
            bench.note(f"tiles/s {how} bf16 batch {batch}", rate)


def convolutions(net: Any) -> list[tuple[int, ...]]:
    """List samples, channels in and out, kernel, rows, columns of convolutions."""
    found = []
    for node in net._wiring.nodes:
        if node.type == "Convolution":
            outside, inside, kernel, _ = node.blobs[0].shape
            batch, _, rows, columns = net.blobs[node.top[0]].shape
            found.append((batch, inside, outside, kernel, rows, columns))
    return found


def operations(shape: tuple[int, ...]) -> float:
    """Additions and multiplications of a convolution."""
    batch, inside, outside, kernel, rows, columns = shape
    return 2.0 * batch * inside * outside * kernel**2 * rows * columns


def limits(bench: Bench) -> None:
    """Find what the chip reaches at best, and which share of it the net does."""
    batch = 2 if bench.quick else 16
    shapes = convolutions(deploy_net(bench, bench.shape.tile, batch))
    largest = max(shapes, key=operations)
    for name in bench.precisions:
        with precision(name):
            product, convolution = _largest(largest, TYPES[name], bench.device)
            for kind, work in (("gemm", product), ("convolution", convolution)):
                rate = operations(largest) / bench.seconds(work) / 1e12
                bench.note(f"TFLOP/s {kind} {name}", rate)
        used = sum(map(operations, shapes)) / batch / 1e12
        used *= bench.found[f"tiles/s {name} batch {batch}"]
        share = used / bench.found[f"TFLOP/s gemm {name}"]
        bench.note(f"share of gemm {name} batch {batch}", share)
    memory = torch.empty(2**22 if bench.quick else 2**28, device=bench.device)
    place = torch.empty_like(memory)
    seconds = bench.seconds(lambda: place.copy_(memory))
    bench.note("GB/s of a copy", 2 * memory.nbytes / seconds / 1e9)


def _largest(
    shape: tuple[int, ...], kind: torch.dtype, device: torch.device
) -> tuple[Callable[[], object], Callable[[], object]]:
    """Make a matrix product and a convolution of a shape, without padding."""
    batch, inside, outside, kernel, rows, columns = shape

    def new(*sizes: int) -> torch.Tensor:
        return torch.rand(*sizes, dtype=kind, device=device)

    left = new(batch * rows * columns, inside * kernel**2)
    right = new(inside * kernel**2, outside)
    image = new(batch, inside, rows + kernel - 1, columns + kernel - 1)
    weight = new(outside, inside, kernel, kernel)
    image, weight = (t.to(memory_format=torch.channels_last) for t in (image, weight))
    convolve = torch.nn.functional.conv2d
    return lambda: left @ right, lambda: convolve(image, weight)


def name_of(device: torch.device) -> str:
    """Name what computes."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return str(machine.describe()["cpu"])


def main() -> None:
    """Measure, print and write everything."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="small nets, few repeats")
    parser.add_argument(
        "--results",
        type=Path,
        default=material.ROOT / "benchmarks/results/gpu.json",
        help="JSON file that is written",
    )
    args = parser.parse_args()
    os.environ.setdefault("GLOG_minloglevel", "2")
    device = torch.device(args.device, *([0] if args.device == "cuda" else []))
    if device.type == "cuda":
        caffe.set_device(0)
        caffe.set_mode_gpu()
        torch.backends.cudnn.benchmark = True
    bench = Bench(device, args.quick)
    material.make(bench.model, bench.folder, [])
    print(f"{name_of(device)}, torch {torch.__version__}, net {bench.model}")
    for part in (check, inference, training, labels, peers, limits):
        part(bench)
    args.results.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "command": machine.command(),
        "device": name_of(device),
        "model": bench.model,
        "machine": machine.describe(),
        "goals": GOALS,
        "found": bench.found,
    }
    args.results.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
