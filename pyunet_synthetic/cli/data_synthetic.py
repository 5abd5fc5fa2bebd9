"""``pyunet data synthetic``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HELP = "make a stack with known truth: EM-like, or light micrographs of cells"
EXAMPLE = """\
example:
  pyunet data synthetic --out demo/train --slices 16 --size 320 --seed 1
  pyunet data synthetic --kind cells --out cells --slices 50 --size 384

writes demo/train/images.tif and labels.tif (255 inside cells, 0 membrane); of cells
labels.tif has a number a cell, 0 is background.
"""
MEMBRANES, CELLS = "membranes", "cells"
KINDS = ("fluorescence", "phase", "dic", "bright-field", "histology")


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder for images.tif and labels.tif")
    add(
        "--kind", choices=(MEMBRANES, CELLS, *KINDS), default=MEMBRANES,
        help="membranes: a stack like electron micrographs; cells: round cells and "
        "nuclei, every slice by itself, all kinds in turn, or of one kind "
        "(default: membranes)",
    )  # fmt: skip
    add("--slices", type=int, default=20, help="slices (default: 20)")
    add("--size", type=int, default=256, help="height and width (default: 256)")
    add("--seed", type=int, default=0, help="of everything random (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Write the stack and name its files."""
    from pyunet_synthetic.cells import synthetic_cells
    from pyunet_synthetic.membranes import synthetic_stack, write_synthetic

    images: NDArray[np.uint8]
    labels: NDArray[np.unsignedinteger[Any]]
    if args.kind == MEMBRANES:
        images, labels = synthetic_stack(args.slices, args.size, rng=args.seed)
    else:
        kinds = KINDS if args.kind == CELLS else (args.kind,)
        images, labels = synthetic_cells(
            args.slices, args.size, kinds=kinds, rng=args.seed
        )
    for path in write_synthetic(images, labels, args.out):
        print(path)
    return 0
