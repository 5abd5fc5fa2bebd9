"""``pyunet finetune``: what the Fiji plugin's finetuning does, without Fiji."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pyunet.cli.arguments import add_element_size
from pyunet.cli.saying import say

if TYPE_CHECKING:
    from pyunet_fiji.finetuning.job import Job, Result
    from pyunet_fiji.finetuning.preparing import Pair

HELP = "finetune a model definition on annotated images, as the Fiji plugin does"
EPILOG = """\
Images are rescaled to the model's pixel size and normalised, weights of the loss are
made from the annotated objects, tiles are cut and deformed at random while training:
all as in the plugin, by the model's own net and solver. Annotations are label images
of the same size, ImageJ's ROI files, or, without --labels, the ROIs in the overlays of
the images (class[#instance], ignore).

FOLDER gets NAME.modeldef.h5 and NAME.caffemodel.h5 (NAME is the folder's) for Fiji and
for pyunet segment, curves.csv and curves.png, train.log, and with validation
NAME_best.caffemodel.h5: the weights with the best IoU (mean of the classes; of equal
ones the smaller loss). IoU and F1 are of all validation tiles together; F1, as in the
plugin, without tiles where nothing was found or nothing is.

Ctrl-C stops after a snapshot; the same command goes on there.

example:
  pyunet finetune --model cells.modeldef.h5 --weights cells.caffemodel.h5 \\
      --images images --labels masks --labels-are instances \\
      --validation-share 0.2 --iterations 2000 --gpu 0 --out mycells
"""
INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add(
        "--model", required=True, metavar="M.modeldef.h5",
        help="the model to start from: a file, a folder with one, or a model's name",
    )  # fmt: skip
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument(
        "--weights", type=Path, metavar="FILE", help="its weights, .caffemodel.h5"
    )
    start.add_argument(
        "--from-scratch", action="store_true", help="draw the first weights at random"
    )
    add("--out", required=True, type=Path, metavar="FOLDER", help="for the results")
    _add_data(parser)
    _add_training(parser)


def _add_data(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data (files, folders or patterns)")
    add = group.add_argument
    add("--images", nargs="+", required=True, metavar="PATH", help="to train on")
    add(
        "--labels", nargs="+", default=[], metavar="PATH",
        help="their annotations in the same order (default: the images' overlays)",
    )  # fmt: skip
    add("--valid-images", nargs="+", default=[], metavar="PATH", help="to validate on")
    add("--valid-labels", nargs="+", default=[], metavar="PATH", help="of those")
    add(
        "--validation-share", type=float, metavar="SHARE",
        help="validate on this share of --images in place of training on it, e.g. 0.2",
    )  # fmt: skip
    add(
        "--labels-are", default="classes", choices=("classes", "instances"),
        help="what numbers in label images mean (default: classes)",
    )  # fmt: skip
    add(
        "--zero-is", default="auto", choices=("auto", "background", "ignore"),
        help="what 0 in label images means; ignore: as in Fiji 1 is background and "
        "objects start at 2 (default: ignore where 1 covers more pixels than 0, and "
        "said)",
    )  # fmt: skip
    add(
        "--classes", type=_names, default=(), metavar="NAME,NAME,...",
        help="names of all classes but background (default: the model's, the ROIs')",
    )  # fmt: skip
    add_element_size(parser, "the files', else the model's own")


def _add_training(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    add = group.add_argument
    add("--iterations", type=int, default=1000, metavar="N", help="(default: 1000)")
    add("--rate", type=float, default=1e-4, metavar="R", help="(default: 0.0001)")
    add(
        "--tile", type=_tile, default=(), metavar="INPUT",
        help="input pixels of a tile, e.g. 540 or 540x508 (default: 10 steps above "
        "the smallest, as the plugin)",
    )  # fmt: skip
    add(
        "--validation-interval", type=int, metavar="N",
        help="iterations between validations (default: so that there are 20)",
    )  # fmt: skip
    add("--gpu", type=int, metavar="N", help="run on this GPU (default: the CPU)")


def run(args: argparse.Namespace) -> int:
    """Finetune, or go on with it."""
    from pyunet_fiji.finetuning.job import finetune

    job = _job(args)
    result = finetune(job)
    _report(job, result)
    if result.reached < job.iterations:
        print(
            f"{args.prog}: stopped after {result.reached} of {job.iterations} "
            "iterations; the same command goes on there",
            file=sys.stderr,
        )
        return INTERRUPTED
    return 0


def _job(args: argparse.Namespace) -> Job:
    from pyunet.errors import DataError
    from pyunet_fiji.finetuning.job import Job
    from pyunet_fiji.finetuning.preparing import Meaning, find_pairs
    from pyunet_fiji.models import find_definition

    if args.weights is not None and not args.weights.is_file():
        raise DataError(f"{args.weights}: no such file; the model's weights are wanted")
    training, validation = _parts(args, find_pairs(args.images, args.labels))
    return Job(
        model=find_definition(args.model),
        weights=args.weights,
        training=tuple(training),
        validation=tuple(validation),
        out=args.out,
        meaning=Meaning(
            kind=args.labels_are,
            zero=args.zero_is,
            class_names=args.classes,
            element_size_um=args.element_size_um,
        ),
        iterations=args.iterations,
        rate=args.rate,
        tile=args.tile,
        validation_interval=args.validation_interval,
        gpu=args.gpu,
    )


def _parts(
    args: argparse.Namespace, pairs: list[Pair]
) -> tuple[list[Pair], list[Pair]]:
    """Tell what is trained on from what is validated on."""
    from pyunet.errors import DataError
    from pyunet_fiji.finetuning.preparing import find_pairs, split

    if args.validation_share is not None:
        if args.valid_images:
            raise DataError("--validation-share: does not go with --valid-images")
        return split(pairs, args.validation_share)
    if args.valid_labels and not args.valid_images:
        raise DataError("--valid-labels: goes with --valid-images")
    if not args.valid_images:
        return pairs, []
    return pairs, find_pairs(args.valid_images, args.valid_labels)


def _report(job: Job, result: Result) -> None:
    if result.reached == job.iterations:
        say(f"{job.result}: {job.iterations} iterations; with {job.definition}")
    best = result.curves.best()
    if best is not None and job.best.is_file():
        scores = ", ".join(
            f"{name} IoU {iou:.3f} F1 {f1:.3f}"
            for name, iou, f1 in zip(
                result.curves.class_names, best.iou, best.f1_segmentation, strict=True
            )
        )
        say(f"{job.best}: best validation, after {best.iteration} iterations: {scores}")


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not names such as cell,nucleus")
    return names


def _tile(text: str) -> tuple[int, ...]:
    parts = text.lower().split("x")
    if not all(part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not pixels such as 540 or 540x508"
        )
    return tuple(map(int, parts))
