"""Milliseconds of the ISBI 2012 metrics on one slice of 512 x 512 pixels.

Rand and VI: of two label images as they are, and of a binary proposal with its
components and border thinning. Warping error and all scores of the challenge: over
their 10 and 11 thresholds. The truth is a mosaic of cells, the proposal its blurred
version with noise, or your own files.

    OMP_NUM_THREADS=1 python benchmarks/metrics.py [--truth LABELS --prediction MAP]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from pyunet.data.images import read_stack
from pyunet_metrics import isbi2012, warping
from pyunet_metrics.contingency import contingency, information_score, square_counts
from pyunet_metrics.curves import Curves

SIZE, CELLS = 512, 350


def mosaic() -> tuple[NDArray[Any], NDArray[Any]]:
    """Make cells 3 pixels apart, and a blurred and noisy map of them."""
    rng = np.random.default_rng(0)
    tree = cKDTree(rng.uniform(0, SIZE, (CELLS, 2)))
    grid = np.stack(np.mgrid[:SIZE, :SIZE], axis=-1)
    nearest = tree.query(grid, 2)[0]
    truth = (nearest[..., 1] - nearest[..., 0] > 3).astype(np.uint8)
    noise = ndimage.gaussian_filter(rng.normal(size=truth.shape), 2)
    blurred = ndimage.gaussian_filter(truth.astype(np.float32), 1.5)
    found = np.clip(blurred + noise, 0, 1)
    return truth, found.astype(np.float32)


def rand_and_vi(truth: NDArray[Any], found: NDArray[Any]) -> tuple[Any, float]:
    """Score two label images."""
    table = contingency(truth, found)
    return square_counts(table), information_score(table)


def milliseconds(work: Callable[[], object], repeats: int) -> str:
    """Return median and smallest time of some calls, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - begin))
    return f"{statistics.median(times):9.2f} ms, smallest {min(times):9.2f} ms"


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--prediction", type=Path)
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    truth, found = mosaic()
    if args.truth and args.prediction:
        truth = read_stack(args.truth).array[0, 0]
        found = read_stack(args.prediction).array[0, 0]
    labels = [ndimage.label(mask)[0] for mask in (truth > 0, found > 0.5)]
    rules = ["v_rand", "v_info"]
    works: dict[str, Callable[[], object]] = {
        "Rand + VI, label images": lambda: rand_and_vi(labels[0], labels[1]),
        "Rand + VI, binary, thinned": lambda: Curves(truth, found > 0.5, rules),
        "Rand + VI, 11 thresholds, thinned": lambda: Curves(truth, found, rules),
        "warping error, 10 thresholds": lambda: warping.counts(truth, found),
        "all of the challenge": lambda: isbi2012.evaluate(truth, found),
    }
    print(f"{truth.shape[0]} x {truth.shape[1]} pixels, {platform.machine()}, one core")
    for name, work in works.items():
        print(f"{name:34} {milliseconds(work, args.repeats)}")


if __name__ == "__main__":
    main()
