"""Time the weight map of a 512x512 image against a distance transform per cell.

Run: ``OMP_NUM_THREADS=1 python benchmarks/weightmap.py [--cells 300] [--brute]``
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from pyunet.data.weightmaps import border_weights


def cells(count: int, size: int = 512) -> NDArray[np.int32]:
    """Voronoi cells that are a pixel or more apart."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, size, (count, 2))
    grid = np.stack(np.mgrid[:size, :size], axis=-1).reshape(-1, 1, 2)
    squared = np.concatenate(
        [((part - points) ** 2).sum(-1) for part in np.array_split(grid, 64)]
    )
    nearest = np.sort(np.sqrt(squared), axis=1)[:, :2]
    gap = (nearest[:, 1] - nearest[:, 0]) < 3
    return np.where(gap, 0, squared.argmin(1) + 1).reshape(size, size).astype(np.int32)


def brute_force(instances: NDArray[np.int32]) -> NDArray[np.float64]:
    """One distance transform a cell, the two smallest kept."""
    ids = np.unique(instances)[1:]
    best = np.full((2, *instances.shape), np.inf)
    for number in ids:
        distance = distance_transform_edt(instances != number)
        best = np.sort(np.concatenate([best, distance[None]]), axis=0)[:2]
    return 10 * np.exp(-(best.sum(0) ** 2) / 50)


def main() -> None:
    """Print seconds, and the ratio and difference to brute force."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=300)
    parser.add_argument("--brute", action="store_true")
    args = parser.parse_args()
    instances = cells(args.cells)
    start = time.perf_counter()
    weights = border_weights(instances)
    seconds = time.perf_counter() - start
    print(f"{args.cells} cells, 512 x 512: {seconds:.3f} s")
    if args.brute:
        start = time.perf_counter()
        expected = brute_force(instances)
        slow = time.perf_counter() - start
        print(
            f"brute force: {slow:.1f} s, {slow / seconds:.0f} times as long; "
            f"largest difference {np.abs(weights - expected).max():.1e}"
        )


if __name__ == "__main__":
    main()
