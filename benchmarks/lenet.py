"""Milliseconds of a solver's step on LeNet, beside plain torch.

Both train LeNet (convolution 5x5x20, pooling, convolution 5x5x50, pooling, inner
products of 500 and 10) on the same images, float32, with momentum and weight decay.
Rounds of steps of the two take turns in one process; printed are the medians.

    python benchmarks/lenet.py
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import nn
from torch.nn import functional

import caffe

NET = """
name: "LeNet"
layer { name: "data" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param { source: "train.txt" batch_size: %d } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 20 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 50 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1"
  inner_product_param { num_output: 500 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.01 lr_policy: "inv" gamma: 0.0001 power: 0.75
momentum: 0.9 weight_decay: 0.0005 random_seed: 1 solver_mode: CPU
"""
BATCHES = 10


def caffe_step(batch: int, images: Any, labels: Any) -> Callable[[], object]:
    """Set up the solver, with the images in an HDF5 file of the working directory."""
    with h5py.File("train.h5", "w") as file:
        file["data"], file["label"] = images, labels.astype(np.float32)
    Path("train.txt").write_text("train.h5\n")
    Path("net.prototxt").write_text(NET % batch)
    Path("solver.prototxt").write_text(SOLVER)
    solver = caffe.get_solver("solver.prototxt")
    return lambda: solver.step(1)


def torch_step(batch: int, images: Any, labels: Any) -> Callable[[], object]:
    """Set up the same in plain torch, as one would by hand."""
    net = nn.Sequential(
        nn.Conv2d(1, 20, 5),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(800, 500),
        nn.ReLU(inplace=True),
        nn.Linear(500, 10),
    )
    optimizer = torch.optim.SGD(
        net.parameters(), 0.01, momentum=0.9, weight_decay=0.0005
    )
    data, target = torch.from_numpy(images), torch.from_numpy(labels)
    done = 0

    def step() -> None:
        nonlocal done
        rows = slice(done % BATCHES * batch, (done % BATCHES + 1) * batch)
        done += 1
        optimizer.zero_grad()
        loss = functional.cross_entropy(net(data[rows]), target[rows])
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=10, help="of each round")
    args = parser.parse_args()
    os.environ["GLOG_minloglevel"] = "2"  # noqa: SIM112 - glog spells it so
    rng = np.random.default_rng(0)
    images = rng.random((BATCHES * args.batch, 1, 28, 28), np.float32)
    labels = rng.integers(0, 10, BATCHES * args.batch)
    milliseconds: dict[str, list[float]] = {"caffe": [], "torch": []}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        steps = {
            "caffe": caffe_step(args.batch, images, labels),
            "torch": torch_step(args.batch, images, labels),
        }
        for number in range(args.rounds + 1):
            for peer, step in steps.items():
                begin = time.perf_counter()
                for _ in range(args.steps):
                    step()
                seconds = time.perf_counter() - begin
                if number:  # the first round warms up
                    milliseconds[peer].append(1000 * seconds / args.steps)
        os.chdir(Path(folder).parent)
    ours, theirs = (statistics.median(milliseconds[peer]) for peer in steps)
    print(
        f"LeNet, batch {args.batch}, {platform.machine()}, "
        f"{torch.get_num_threads()} threads, float32\n"
        f"step: caffe {ours:.2f} ms, torch {theirs:.2f} ms, ratio {ours / theirs:.3f}"
    )


if __name__ == "__main__":
    main()
