"""Count augmented training tiles a second, as ``pyunet data make`` draws them.

Everything runs in one thread. The images are synthetic, 512 x 512; a tile has 572 x 572
pixels, labels and weights 388 x 388. Field, rotation, mirroring, shift and grey values
are all varied.
Where other programs compute too, look at the tiles a second of processor time.

Run: ``python benchmarks/augmentation.py [--seconds 5] [--size 572]``
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import time
from pathlib import Path

import numpy as np

from pyunet.data.augmentation import Augmentation
from pyunet.data.labels import interpret_labels
from pyunet.data.training_set import Recipe, TileSource
from pyunet_synthetic.membranes import synthetic_stack

CASES = (
    ("paper", "linear"),
    ("freiburg", "linear"),
    ("paper", "cubic"),
    ("freiburg", "cubic"),
)


def main() -> None:
    """Print tiles a second for each field and interpolation, and the machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each case")
    parser.add_argument("--size", type=int, default=572, help="input tile in pixels")
    args = parser.parse_args()
    images, labels = synthetic_stack(4, 512, rng=0)
    grey = images[:, None].astype(np.float32) / 255
    understood = interpret_labels(labels)
    print(f"{machine()}; Python {platform.python_version()}, numpy {np.__version__}")
    print("field     image    tiles/s   tiles/s of processor time")
    for field, interpolation in CASES:
        how = Augmentation(field=field, interpolation=interpolation)
        shape = (args.size, args.size)
        inner = (args.size - 184, args.size - 184)
        recipe = Recipe(shape, inner, samples=1_000_000, augmentation=how)
        tiles = iter(TileSource(grey, understood, recipe))
        for _ in itertools.islice(tiles, 5):
            pass
        wall, used, count = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - wall < args.seconds:
            next(tiles)
            count += 1
        wall, used = time.perf_counter() - wall, time.process_time() - used
        print(f"{field:9} {interpolation:7} {count / wall:8.1f} {count / used:11.1f}")


def machine() -> str:
    """Say what computes, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    busy = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    name = names[0] if names else platform.processor()
    return f"{name}, {os.cpu_count()} cores{busy}"


if __name__ == "__main__":
    main()
