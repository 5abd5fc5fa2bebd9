"""``pyunet data make|synthetic``, and what other packages add to it."""

from __future__ import annotations

import argparse
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyunet.cli.data_make as data_make

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAME = "data"
HELP = "make, check and preview training sets, or make a synthetic stack"
OTHERS = "pyunet.data"  # group of entry points: modules with HELP, EXAMPLE, add, run
MEMBRANES, CELLS = "membranes", "cells"
KINDS = ("fluorescence", "phase", "dic", "bright-field", "histology")
SYNTHETIC = "make a stack with known truth: EM-like, or light micrographs of cells"
SYNTHETIC_EXAMPLE = """\
example:
  pyunet data synthetic --out demo/train --slices 16 --size 320 --seed 1
  pyunet data synthetic --kind cells --out cells --slices 50 --size 384

writes demo/train/images.tif and labels.tif (255 inside cells, 0 membrane); of cells
labels.tif has a number a cell, 0 is background.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of this verb, those of other packages by their entry points."""
    from pyunet.cli import add_commands

    found = {entry.name: entry for entry in entry_points(group=OTHERS)}
    modules = {"make": data_make} | {name: found[name].load() for name in sorted(found)}
    others = [
        (name, module.HELP, module.EXAMPLE, module.add, module.run)
        for name, module in modules.items()
    ]
    synthetic = ("synthetic", SYNTHETIC, SYNTHETIC_EXAMPLE, _add_synthetic, _synthetic)
    add_commands(parser, (*others, synthetic))


def _add_synthetic(parser: argparse.ArgumentParser) -> None:
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


def _synthetic(args: argparse.Namespace) -> int:
    from pyunet.data.synthetic import synthetic_stack, write_synthetic
    from pyunet.data.synthetic_cells import synthetic_cells

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
