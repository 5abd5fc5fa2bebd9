"""``pyunet modeldef create``."""

from __future__ import annotations

import argparse
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from pyunet.errors import DataError

if TYPE_CHECKING:
    from pyunet_fiji.modeldef import ModelDefinition
    from pyunet_fiji.modeldef.nets import Geometry

LOG = logging.getLogger(__name__)
HELP = "make a .modeldef.h5 from a net and a solver"
EXAMPLE = """\
Left out, the input blob, --downsample, --pad-input and --pad-output are found from the
net. Numbers an axis are [z,]y,x; a single one goes for all axes.

examples:
  pyunet modeldef create --model net.prototxt --solver solver.prototxt --id cells_v1 \\
      --element-size 0.5,0.5 --out cells_v1.modeldef.h5

the same with the words of Freiburg's createModeldef script, which writes no more than
these say (required: model solver id inputblob downsample elementsize pad_input
pad_output outfile; also: name description inputdataset padding normalization, and
additionalArgs=PATH:VALUE,...):
  pyunet modeldef create model=net.prototxt solver=solver.prototxt id=cells_v1 \\
      inputblob=data3 downsample=16 elementsize=0.5,0.5 pad_input=60 pad_output=-124 \\
      normalization=1 outfile=cells_v1.modeldef.h5
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    # else "-124,-124" would be taken for an option
    parser._negative_number_matcher = re.compile(r"-\d[-\d,.]*$")
    add = parser.add_argument
    add("words", nargs="*", metavar="KEY=VALUE", help="words of the script, see below")
    add("--model", type=Path, metavar="PROTOTXT", help="net for TRAIN and TEST")
    add("--solver", type=Path, metavar="PROTOTXT", help="solver for finetuning")
    add("--id", help="names the model (default: the net's name)")
    add("--out", type=Path, metavar="FILE", help="the .modeldef.h5 to write")
    add(
        "--element-size",
        type=_floats,
        metavar="[Z,]Y,X",
        help="micrometres a pixel that the net expects; how many there are is the "
        "net's dimension",
    )
    add("--input-blob", metavar="BLOB", help="takes the image (default: found)")
    add("--input-dataset", default="data", metavar="NAME", help="default: data")
    add("--downsample", type=_ints, metavar="[Z,]Y,X", help="factor (default: found)")
    add("--pad-input", type=_ints, metavar="[Z,]Y,X", help="default: found")
    add("--pad-output", type=_ints, metavar="[Z,]Y,X", help="default: found")
    add(
        "--padding",
        choices=("mirror", "zero"),
        default="mirror",
        help="what lies around an image (default: mirror)",
    )
    add(
        "--normalization",
        type=int,
        choices=(0, 1, 2, 3),
        default=1,
        help="of images: 0 none, 1 smallest..largest to 0..1, 2 mean 0 and deviation "
        "1, 3 longest vector of channels to 1 (default: 1)",
    )
    add("--name", help="shown to users (default: the id)")
    add("--description", default="", help="shown to users")
    add(
        "--classes",
        type=lambda text: tuple(text.split(",")),
        default=(),
        metavar="NAME,NAME...",
        help="names of the classes, the background first",
    )
    _add_finetuning(parser)
    add(
        "--memory-map",
        metavar="FILE|PX:MB,...",
        help="GPU megabytes that input tiles of so many pixels take, ascending; a file "
        "has two numbers a line",
    )


def _add_finetuning(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("weights of the loss, for finetuning").add_argument
    for flag, default, text in (
        ("--border-weight-factor", 50.0, "of gaps between touching objects"),
        ("--border-weight-sigma-px", 6.0, "how wide gaps are"),
        ("--foreground-background-ratio", 0.1, "weight of far background"),
        ("--sigma1-px", 10.0, "how far the weight of an object reaches"),
    ):
        help_ = f"{text} (default: {default:g})"
        add(flag, type=float, default=default, metavar="NUMBER", help=help_)
    add(
        "--disk-radius",
        type=int,
        default=2,
        metavar="PIXELS",
        help="of disks that stand for annotated points (default: 2)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the file, then say what is wrong with it."""
    from pyunet_fiji.modeldef import write_modeldef
    from pyunet_fiji.modeldef.checks import check_modeldef
    from pyunet_fiji.modeldef.creating import datasets_of_words
    from pyunet_fiji.modeldef.findings import problems
    from pyunet_fiji.modeldef.writing import write_datasets

    if args.words:
        _refuse_options(args)
        path, datasets, cut = datasets_of_words(args.words)
        for word in cut:
            LOG.warning("'%s' is cut off at its second '=', as by the script", word)
        write_datasets(path, datasets)
    else:
        path = args.out
        write_modeldef(path, _definition(args))
    for found in problems(check_modeldef(path)):
        LOG.warning("%s", found)
    print(path)
    return 0


def _definition(args: argparse.Namespace) -> ModelDefinition:
    from pyunet_fiji.modeldef import LossWeights, ModelDefinition
    from pyunet_fiji.modeldef.creating import parse_memory_map, read_text_file
    from pyunet_fiji.modeldef.nets import parse_net

    _demand(args, "model", "solver", "element_size", "out")
    text = read_text_file(args.model)
    axes = len(args.element_size)
    if axes not in (2, 3):
        raise DataError(f"--element-size: {axes} numbers; accepted are 2 or 3")
    ident = args.id or parse_net(text).name
    if not ident:
        raise DataError(f"{args.model}: the net has no name; give --id")
    blob, tiles = _tiles(args, text, axes)
    return ModelDefinition(
        ident=ident,
        model_prototxt=text,
        input_blob_name=blob,
        element_size_um=args.element_size,
        downsample_factor=tiles.downsample_factor,
        pad_input=tiles.pad_input,
        pad_output=tiles.pad_output,
        padding=args.padding,
        solver_prototxt=read_text_file(args.solver),
        name=args.name or ident,
        description=args.description,
        input_dataset_name=args.input_dataset,
        normalization_type=args.normalization,
        loss_weights=LossWeights(
            args.border_weight_factor,
            args.border_weight_sigma_px,
            args.foreground_background_ratio,
            args.sigma1_px,
        ),
        disk_radius_px=args.disk_radius,
        class_names=args.classes,
        memory_map=parse_memory_map(args.memory_map) if args.memory_map else (),
    )


def _tiles(args: argparse.Namespace, text: str, axes: int) -> tuple[str, Geometry]:
    """Find the input blob and the tile sizes, as far as they are not given."""
    from pyunet_fiji.modeldef.creating import complete_geometry, find_input_blob

    try:
        blob = args.input_blob or find_input_blob(text, axes)
        geometry = complete_geometry(
            text,
            axes,
            blob,
            downsample=args.downsample,
            pad_input=args.pad_input,
            pad_output=args.pad_output,
        )
    except DataError as error:
        raise DataError(
            f"{args.model}: {error} (--input-blob, --downsample, --pad-input and "
            "--pad-output say what cannot be found)"
        ) from error
    return blob, geometry


def _refuse_options(args: argparse.Namespace) -> None:
    given = [name for name in ("model", "solver", "id", "out") if getattr(args, name)]
    if given:
        raise DataError(
            f"--{given[0]} beside '{args.words[0]}'; accepted are options or words "
            "KEY=VALUE"
        )


def _demand(args: argparse.Namespace, *wanted: str) -> None:
    missing = [name for name in wanted if getattr(args, name) is None]
    if missing:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in missing)
        raise DataError(
            f"{flags} missing; accepted are --model, --solver, --element-size and "
            "--out with what else is known, or words KEY=VALUE"
        )


def _ints(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not [Z,]Y,X, such as 16,16"
        ) from None


def _floats(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not [Z,]Y,X, such as 0.5,0.5"
        ) from None
