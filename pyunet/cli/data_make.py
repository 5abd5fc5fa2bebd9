"""``pyunet data make``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pyunet.cli.arguments import add_label_meaning, add_slices
from pyunet.cli.saying import say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pyunet.data.labels import Labels
    from pyunet.data.training_set import Recipe

HELP = "make HDF5 training data and its list file from images and labels"
EXAMPLE = """\
example:
  pyunet data make --images train-volume.tif --labels train-labels.tif \\
      --slices 0:24 --samples 3700 --out data/isbi2012
  pyunet data make --images train-volume.tif --labels train-labels.tif \\
      --slices 24:30 --no-augment --out data/isbi2012

writes data/isbi2012/train_000.h5 ... and train.txt, then test_000.h5 and test.txt.
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add_sources(parser)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of the training set")
    add(
        "--name",
        help="what file names begin with (default: train; test without augmentation)",
    )
    tiles = add_recipe(parser)
    tiles.add_argument(
        "--whole",
        action="store_true",
        help="whole images instead of tiles, for nets that deform them themselves",
    )
    tiles.add_argument(
        "--dtype",
        default="float16",
        choices=("float16", "float32", "uint8"),
        help="type of the stored images; uint8 means 0..255 for the net, "
        "the others 0..1 (default: float16)",
    )
    tiles.add_argument(
        "--samples-per-file",
        type=int,
        default=100,
        metavar="N",
        help="Caffe holds one whole file in memory (default: 100)",
    )


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Add what says which images and labels, and what they mean."""
    add = parser.add_argument
    add("--images", type=Path, required=True, help="TIFF stack, picture, or a folder")
    add("--labels", type=Path, required=True, help="the same, of equal count and size")
    add_slices(parser, "which slices")
    add(
        "--volume",
        action="store_true",
        help="a TIFF stack, or a folder of slices, is a volume (Z, Y, X)",
    )
    add_label_meaning(parser)


def add_recipe(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add everything that `recipe` reads, and give the group of the tiles."""
    tiles = parser.add_argument_group("tiles")
    add = tiles.add_argument
    add(
        "--input-shape",
        type=shape,
        default=(572, 572),
        metavar="[Z,]Y[,X]",
        help="input tile of the net in pixels (default: 572)",
    )
    add(
        "--output-shape",
        type=shape,
        default=(388, 388),
        metavar="[Z,]Y[,X]",
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
    _add_augmentation(parser)
    _add_weights(parser)
    return tiles


def _add_augmentation(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("augmentation").add_argument
    add(
        "--field",
        default="paper",
        choices=("paper", "freiburg"),
        help="elastic deformation: nodes on a grid of --elastic-grid and a bicubic "
        "surface through them, or control points every --elastic-spacing and a cubic "
        "B-spline, as the layer CreateDeformation (default: paper)",
    )
    add(
        "--elastic-std",
        type=_numbers(float),
        default=10.0,
        metavar="PIXELS",
        help="standard deviation of the elastic displacements, or one an axis; 0 turns "
        "them off (default: 10)",
    )
    add(
        "--elastic-grid",
        type=int,
        default=3,
        metavar="N",
        help="paper: nodes of the displacement grid along each axis (default: 3)",
    )
    add(
        "--elastic-spacing",
        type=_numbers(int),
        default=150,
        metavar="PIXELS",
        help="freiburg: between control points, or one an axis (default: 150)",
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


def run(args: argparse.Namespace) -> int:
    """Make the training set."""
    from pyunet.data.hdf5 import write_training_set
    from pyunet.data.training_set import TileSource

    began = time.perf_counter()
    wanted = recipe(args)
    grey, labels = load(args)
    print(labels.sentence)
    if args.whole:
        size = grey.shape[2:]
        wanted = replace(wanted, input_shape=size, output_shape=size, samples=0)
    source = TileSource(grey, labels, wanted)
    weights = ", ".join(f"{c}: {w:.3g}" for c, w in enumerate(source.class_weights))
    what = "volume(s)" if args.volume else "slices"
    print(f"class weights {weights}; {len(source)} tiles of {len(grey)} {what}")
    list_file = write_training_set(
        source,
        len(source),
        args.out,
        name=args.name or ("train" if wanted.samples or args.whole else "test"),
        dtype=args.dtype,
        samples_per_file=args.samples_per_file,
        arguments=_arguments(args),
    )
    files = [Path(name) for name in list_file.read_text(encoding="utf-8").split()]
    size_mb = sum(file.stat().st_size for file in files) / 1e6
    greys = "0..255" if args.dtype == "uint8" else "0..1"
    say(
        f"{list_file}: {len(files)} file(s), {size_mb:.0f} MB, grey values {greys}, "
        f"{time.perf_counter() - began:.1f} s"
    )
    return 0


def load(args: argparse.Namespace) -> tuple[NDArray[np.float32], Labels]:
    """Read the images as 0..1 and their labels, the slices that were asked for.

    Parameters
    ----------
    args : argparse.Namespace
        From a parser with `add_sources`.
    """
    from pyunet.data.images import read_stack, read_volumes, to_unit_range
    from pyunet.data.labels import read_labels, select_slices

    images = (read_volumes if args.volume else read_stack)(args.images)
    labels = read_labels(
        args.labels,
        kind=args.labels_are,
        inside=args.inside,
        images=images,
        volume=args.volume,
    )
    part = args.slices or slice(None)
    labels = select_slices(labels, part, name=str(args.labels))
    grey = to_unit_range(images.array, name=str(args.images))
    return grey[:, :, part] if args.volume else grey[part], labels


def recipe(args: argparse.Namespace) -> Recipe:
    """Give the recipe that was typed.

    Parameters
    ----------
    args : argparse.Namespace
        From a parser with `add_recipe`.
    """
    from pyunet.data.augmentation import Augmentation
    from pyunet.data.training_set import Recipe

    return Recipe(
        input_shape=args.input_shape,
        output_shape=args.output_shape,
        samples=args.samples,
        augmentation=Augmentation(
            field=args.field,
            elastic_std=args.elastic_std,
            elastic_grid=args.elastic_grid,
            elastic_spacing=args.elastic_spacing,
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


def shape(text: str) -> tuple[int, ...]:
    """Read the size of a tile: Y, or Y,X, or Z,Y,X.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is none.

    Examples
    --------
    >>> shape("572"), shape("44,268,268")
    ((572, 572), (44, 268, 268))
    """
    numbers = text.split(",")
    if len(numbers) > 3 or not all(n.strip().isdecimal() for n in numbers):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not Y or Y,X or Z,Y,X, such as 572"
        )
    sizes = tuple(int(number) for number in numbers)
    return sizes * 2 if len(sizes) == 1 else sizes


def _numbers(
    kind: Callable[[str], float],
) -> Callable[[str], float | tuple[float, ...]]:
    def read(text: str) -> float | tuple[float, ...]:
        try:
            numbers = tuple(kind(number) for number in text.split(","))
        except ValueError:
            message = f"{text!r} is not a number, or numbers such as 2,10,10"
            raise argparse.ArgumentTypeError(message) from None
        return numbers if len(numbers) > 1 else numbers[0]

    return read


def _class_weights(text: str) -> str | tuple[float, ...]:
    if text in ("balanced", "none"):
        return text
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        message = f"{text!r} is not balanced, none or numbers such as 2,1"
        raise argparse.ArgumentTypeError(message) from None
