"""Seconds of a whole `pyunet segment`, file to label file, with its phases.

A 512x512 image, a net with weights drawn from a seed, every run a fresh process.
Printed are medians, of the whole process as the shell sees it and of each phase; a
phase is what a function of the command takes, without the phases inside it.

    python benchmarks/segment.py --rounds 5
    python benchmarks/segment.py --precision bf16 --backend openvino
    python benchmarks/segment.py --model unet_isbi2012_narrow --side 20480 --rounds 1
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PHASES = {  # in the order in which they are first entered
    "import torch": ("pyunet.inference.jobs", "choose_computation"),
    "net and weights": ("pyunet.inference.trained", "load_model"),
    "read image": ("pyunet.inference.jobs", "open_stack"),
    "plan": ("pyunet.inference.segmenting", "make_plan"),
    "compute": ("pyunet.inference.predict", "forward_tiles"),
    "write": ("pyunet.inference.jobs", "write_parts"),
    "overlay": ("pyunet.inference.jobs", "_draw"),
}


class Clock:
    """Seconds of each phase, those of the phases inside it not counted."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside = [0.0]

    def timed(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function."""

        @functools.wraps(work)
        def call(*args: object, **options: object) -> Any:
            self._inside.append(0.0)
            begin = time.perf_counter()
            try:
                return work(*args, **options)
            finally:
                took = time.perf_counter() - begin
                own = took - self._inside.pop()
                self._inside[-1] += took
                self.seconds[name] = self.seconds.get(name, 0.0) + own

        return call


def child(words: list[str], spawned: float, report: str) -> int:
    """Run the command with clocks in it."""
    clock = Clock()
    clock.seconds["start of Python"] = time.time() - spawned
    begin = time.perf_counter()
    for name, (home, function) in PHASES.items():
        module = importlib.import_module(home)
        setattr(module, function, clock.timed(name, getattr(module, function)))
    clock.seconds["import pyunet"] = time.perf_counter() - begin
    from pyunet.cli import main
    from pyunet.memory import peak_bytes

    status = clock.timed("the rest", main)(words)
    clock.seconds["peak, GiB"] = peak_bytes() / 2**30
    clock.seconds["ended"] = time.time()
    Path(report).write_text(json.dumps(clock.seconds))
    return int(status)


def prepare(folder: Path, model: str, side: int) -> None:
    """Write an image and weights."""
    program = (
        "import sys, caffe\n"
        "caffe.init_log(2)\n"
        "caffe.set_random_seed(1)\n"
        "from pyunet.zoo import find_model\n"
        "caffe.Net(str(find_model(sys.argv[1])), caffe.TEST).save(sys.argv[2])\n"
    )
    weights = folder / "w.caffemodel"
    subprocess.run([sys.executable, "-c", program, model, str(weights)], check=True)
    import numpy as np
    import tifffile

    image = np.memmap(folder / "image.raw", np.uint8, "w+", shape=(side, side))
    rng = np.random.default_rng(0)
    for first in range(0, side, 512):
        part = image[first : first + 512]
        part[:] = rng.integers(0, 256, part.shape, np.uint8)
    tifffile.imwrite(folder / "image.tif", image)


def measure(words: list[str], folder: Path) -> dict[str, float]:
    """Run the command twice: as it is, and with clocks."""
    env = {**os.environ, "GLOG_minloglevel": "2"}
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pyunet", *words],
        env=env, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    whole = time.perf_counter() - begin
    report = folder / "report.json"
    clocked = [__file__, "--child", str(time.time()), str(report), *words]
    subprocess.run(
        [sys.executable, *clocked], env=env, check=True, stdout=subprocess.DEVNULL
    )
    ended = time.time()
    seconds: dict[str, float] = json.loads(report.read_text())
    seconds["end of Python"] = ended - seconds.pop("ended")
    return {**seconds, "whole, without clocks": whole}


def main() -> int:
    """Measure and print."""
    if sys.argv[1:2] == ["--child"]:
        return child(sys.argv[4:], float(sys.argv[2]), sys.argv[3])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="unet_isbi2012")
    parser.add_argument("--side", type=int, default=512, help="pixels of the image")
    parser.add_argument("--rounds", type=int, default=5)
    known, rest = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, known.model, known.side)
        words = [
            "segment", "--model", known.model, "--out", str(folder / "out"),
            "--weights", str(folder / "w.caffemodel"), str(folder / "image.tif"), *rest,
        ]  # fmt: skip
        rounds = [measure(words, folder) for _ in range(known.rounds)]
    for phase in rounds[0]:
        print(f"{phase:24}{statistics.median(one[phase] for one in rounds):8.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
