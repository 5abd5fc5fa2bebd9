"""``pyunet data make`` and ``pyunet data synthetic``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pyunet.cli.arguments import add_label_meaning, add_slices

if TYPE_CHECKING:
    from pyunet.data.training_set import Recipe

NAME = "data"
HELP = "make training sets from images and labels, or a synthetic stack"
MAKE = "make HDF5 training data and its list file from images and labels"
SYNTHETIC = "make a small EM-like stack with known truth"
MAKE_EXAMPLE = """\
example:
  pyunet data make --images train-volume.tif --labels train-labels.tif \\
      --slices 0:24 --samples 3700 --out data/isbi2012
  pyunet data make --images train-volume.tif --labels train-labels.tif \\
      --slices 24:30 --no-augment --out data/isbi2012

writes data/isbi2012/train_000.h5 ... and train.txt, then test_000.h5 and test.txt.
"""
SYNTHETIC_EXAMPLE = """\
example:
  pyunet data synthetic --out demo/train --slices 16 --size 320 --seed 1

writes demo/train/images.tif and labels.tif (255 inside cells, 0 membrane).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two commands of this verb."""
    from pyunet.cli import add_debug

    parser.set_defaults(run=run)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, text, example, add, command in (
        ("make", MAKE, MAKE_EXAMPLE, _add_make, _make),
        ("synthetic", SYNTHETIC, SYNTHETIC_EXAMPLE, _add_synthetic, _synthetic),
    ):
        sub = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=example,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add(sub)
        add_debug(sub, default=argparse.SUPPRESS)
        sub.set_defaults(command=command, prog=sub.prog)


def run(args: argparse.Namespace) -> int:
    """Run the command that was typed."""
    return int(args.command(args))


def _add_make(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--images", type=Path, required=True, help="TIFF stack, PNG, or a folder")
    add("--labels", type=Path, required=True, help="the same, of equal count and size")
    add("--out", type=Path, required=True, help="folder of the training set")
    add_slices(parser, "which slices")
    add(
        "--name",
        help="what file names begin with (default: train; test without augmentation)",
    )
    add_label_meaning(parser)
    _add_tiles(parser)
    _add_augmentation(parser)
    _add_weights(parser)


def _add_tiles(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("tiles").add_argument
    add(
        "--input-shape",
        type=_shape,
        default=(572, 572),
        metavar="Y[,X]",
        help="input tile of the net in pixels (default: 572)",
    )
    add(
        "--output-shape",
        type=_shape,
        default=(388, 388),
        metavar="Y[,X]",
        help="output tile of the net in pixels (default: 388)",
    )
    add("--samples", type=int, default=1000, help="tiles to make (default: 1000)")
    add(
        "--no-augment",
        dest="samples",
        action="store_const",
        const=0,
        help="the plain tiles that cover each image once (as --samples 0)",
    )
    add("--seed", type=int, default=0, help="of everything random (default: 0)")
    add(
        "--dtype",
        default="float16",
        choices=("float16", "float32", "uint8"),
        help="type of the stored images; uint8 means 0..255 for the net, "
        "the others 0..1 (default: float16)",
    )
    add(
        "--samples-per-file",
        type=int,
        default=100,
        metavar="N",
        help="Caffe holds one whole file in memory (default: 100)",
    )


def _add_augmentation(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("augmentation").add_argument
    add(
        "--elastic-std",
        type=float,
        default=10.0,
        metavar="PIXELS",
        help="standard deviation of the elastic displacements; 0 turns them off "
        "(default: 10)",
    )
    add(
        "--elastic-grid",
        type=int,
        default=3,
        metavar="N",
        help="nodes of the displacement grid along each axis (default: 3)",
    )
    add("--no-rotate", action="store_true", help="no rotation by any angle")
    add("--no-mirror", action="store_true", help="no mirroring")
    add(
        "--no-shift",
        action="store_true",
        help="tiles from a plain grid, not from random positions",
    )
    add(
        "--grey",
        type=float,
        default=0.2,
        help="variation of contrast, gamma and brightness; 0 turns it off "
        "(default: 0.2)",
    )
    add(
        "--no-grey",
        dest="grey",
        action="store_const",
        const=0.0,
        help="no grey-value variation",
    )
    add(
        "--interpolation",
        default="cubic",
        choices=("cubic", "linear"),
        help="of grey values (default: cubic)",
    )


def _add_weights(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("weight map").add_argument
    add(
        "--border-weight",
        type=float,
        default=10.0,
        metavar="W0",
        help="extra weight between touching cells; 0 turns it off (default: 10)",
    )
    add(
        "--border-sigma",
        type=float,
        default=5.0,
        metavar="PIXELS",
        help="its width (default: 5)",
    )
    add(
        "--class-weights",
        type=_class_weights,
        default="balanced",
        metavar="W,W,...",
        help="weight of each class, class 0 first; or none; or balanced: 1 for the "
        "most frequent class, n_max / n_c for the others (default)",
    )


def _make(args: argparse.Namespace) -> int:
    from pyunet.data.hdf5 import write_training_set
    from pyunet.data.images import read_stack, to_unit_range
    from pyunet.data.labels import read_labels, select_slices
    from pyunet.data.training_set import TileSource

    began = time.perf_counter()
    recipe = _recipe(args)
    images = read_stack(args.images)
    labels = read_labels(
        args.labels, kind=args.labels_are, inside=args.inside, images=images
    )
    print(labels.sentence)
    part = args.slices or slice(None)
    labels = select_slices(labels, part, name=str(args.labels))
    grey = to_unit_range(images.array, name=str(args.images))[part]
    source = TileSource(grey, labels, recipe)
    weights = ", ".join(f"{c}: {w:.3g}" for c, w in enumerate(source.class_weights))
    print(f"class weights {weights}; {len(source)} tiles of {len(grey)} slices")
    list_file = write_training_set(
        source,
        len(source),
        args.out,
        name=args.name or ("train" if recipe.samples else "test"),
        dtype=args.dtype,
        samples_per_file=args.samples_per_file,
        arguments=_arguments(args),
    )
    files = [Path(name) for name in list_file.read_text(encoding="utf-8").split()]
    size = sum(file.stat().st_size for file in files) / 1e6
    greys = "0..255" if args.dtype == "uint8" else "0..1"
    print(
        f"{list_file}: {len(files)} file(s), {size:.0f} MB, grey values {greys}, "
        f"{time.perf_counter() - began:.1f} s"
    )
    return 0


def _recipe(args: argparse.Namespace) -> Recipe:
    from pyunet.data.augmentation import Augmentation
    from pyunet.data.training_set import Recipe

    return Recipe(
        input_shape=args.input_shape,
        output_shape=args.output_shape,
        samples=args.samples,
        augmentation=Augmentation(
            elastic_std=args.elastic_std,
            elastic_grid=args.elastic_grid,
            rotate=not args.no_rotate,
            mirror=not args.no_mirror,
            shift=not args.no_shift,
            grey=args.grey,
            interpolation=args.interpolation,
        ),
        border_weight=args.border_weight,
        border_sigma=args.border_sigma,
        class_weights=args.class_weights,
        seed=args.seed,
    )


def _arguments(args: argparse.Namespace) -> dict[str, object]:
    plumbing = ("run", "command", "prog", "debug")
    return {name: value for name, value in vars(args).items() if name not in plumbing}


def _add_synthetic(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder for images.tif and labels.tif")
    add("--slices", type=int, default=20, help="slices (default: 20)")
    add("--size", type=int, default=256, help="height and width (default: 256)")
    add("--seed", type=int, default=0, help="of everything random (default: 0)")


def _synthetic(args: argparse.Namespace) -> int:
    from pyunet.data.synthetic import synthetic_stack, write_synthetic

    images, labels = synthetic_stack(args.slices, args.size, rng=args.seed)
    for path in write_synthetic(images, labels, args.out):
        print(path)
    return 0


def _shape(text: str) -> tuple[int, int]:
    numbers = text.split(",")
    if len(numbers) > 2 or not all(n.strip().isdecimal() for n in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} is not Y or Y,X, such as 572")
    return int(numbers[0]), int(numbers[-1])


def _class_weights(text: str) -> str | tuple[float, ...]:
    if text in ("balanced", "none"):
        return text
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        message = f"{text!r} is not balanced, none or numbers such as 2,1"
        raise argparse.ArgumentTypeError(message) from None
