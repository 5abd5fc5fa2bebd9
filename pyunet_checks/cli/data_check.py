"""``pyunet data check``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pyunet.cli.arguments import add_slices
from pyunet.cli.data_make import shape
from pyunet.cli.saying import say

if TYPE_CHECKING:
    from pyunet_checks.findings import Finding

HELP = "say what is wrong with a data set, before training"
EXAMPLE = """\
example:
  pyunet data check train/images train/labels --test test/images test/labels
  pyunet data check data/isbi2012/train.txt --test data/isbi2012/test.txt

prints what is wrong, what it means for training and how to mend it; the exit status
is 1 if anything is wrong, else 0. Nothing is changed.
"""
HDF5 = (".h5", ".hdf5", ".txt")


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add = parser.add_argument
    add(
        "paths",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="IMAGES LABELS (TIFF stacks, pictures, folders or quoted patterns), or "
        "one HDF5 file, or the list file of a training set",
    )
    add("--weights", type=Path, help="weight maps, paired with the labels")
    add(
        "--test",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="the test set: IMAGES LABELS, or one HDF5 or list file",
    )
    add("--classes", type=int, metavar="K", help="how many the net has")
    add(
        "--output-shape",
        type=shape,
        metavar="[Z,]Y[,X]",
        help="output tile of the net in pixels; images should not be smaller",
    )
    add(
        "--inside",
        type=int,
        choices=(0, 255),
        help="the value of the inside of cells is known; polarity is not doubted",
    )
    add("--volume", action="store_true", help="slices belong to volumes (Z, Y, X)")
    add_slices(parser, "which slices of the training set")


def run(args: argparse.Namespace) -> int:
    """Print the findings; 1 if there are any."""
    from pyunet_checks.findings import report

    findings = _check(args)
    name = " and ".join(map(str, args.paths))
    if not findings:
        say(f"{name}: nothing is wrong")
        return 0
    print(report(findings))
    say(f"{name}: {len(findings)} problem(s)")
    return 1


def _check(args: argparse.Namespace) -> list[Finding]:
    from pyunet.errors import DataError
    from pyunet_checks.folders import Expected, check_images
    from pyunet_checks.hdf5 import check_training_set

    expected = Expected(
        classes=args.classes,
        smallest=args.output_shape,
        polarity_told=args.inside is not None,
        volume=args.volume,
    )
    test = args.test or []
    count = 1 if args.paths[0].suffix.lower() in HDF5 else 2
    if len(args.paths) != count or (test and len(test) != count):
        raise DataError(
            f"{len(args.paths)} path(s), {len(test)} after --test: expected IMAGES "
            "LABELS, or one HDF5 (.h5) or list file (.txt), and as many after --test"
        )
    if count == 1:
        return check_training_set(
            args.paths[0], test=test[0] if test else None, expected=expected
        )
    return check_images(
        *args.paths,
        weights=args.weights,
        test=(test[0], test[1]) if test else None,
        part=args.slices,
        expected=expected,
    )
