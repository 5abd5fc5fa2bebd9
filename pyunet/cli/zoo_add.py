"""``pyunet zoo add``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pyunet.cli.saying import say

HELP = "take in a model of your own: its weights and its net"
EXAMPLE = """\
examples:
  pyunet zoo add mycells.caffemodel.h5 mycells.modeldef.h5
  pyunet zoo add unet_iter_3700.caffemodel unet_isbi2012_narrow --name my-membranes \\
      --classes membrane,inside --objects inside --pixel-size-um 0.004

The files are copied; then
  pyunet segment --model my-membranes IMAGES...
and pyunet.load("my-membranes")(image).
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    option = parser.add_argument
    option(
        "weights", type=Path, metavar="WEIGHTS", help=".caffemodel or .caffemodel.h5"
    )
    option(
        "model", metavar="MODEL",
        help="deploy prototxt, a folder with one, .modeldef.h5, or a net's name",
    )  # fmt: skip
    option("--name", help="what it is called (default: as the weights' file)")
    option("--what", default="", help="one sentence: what it segments")
    option("--licence", default="the user's own", help="terms of its use")
    option("--citation", default="", help="what to cite")
    option(
        "--classes", default="", metavar="A,B...", help="names of its outputs, in order"
    )
    option("--objects", default="", help="the class whose objects are counted")
    option(
        "--average", default="", metavar="PASSES",
        help="test-time averaging, as in pyunet segment --average (default: none)",
    )  # fmt: skip
    option(
        "--pixel-size-um", type=float, default=0.0, metavar="SIZE",
        help="side of a pixel of the images it was trained on; others are rescaled to "
        "it (default: images are taken as they are)",
    )  # fmt: skip
    option(
        "--take", choices=("grey", "green", "rgb", "as stored"),
        help="what of a colour image the net is given (default: what fits it)",
    )  # fmt: skip
    option(
        "--half", action="store_true",
        help="store the weights as float16, in less than half of their size",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """See that the files fit each other, then take them in."""
    from pyunet.inference.passes import parse_passes
    from pyunet.inference.trained import open_model
    from pyunet.zoo import find_model, kind_of
    from pyunet.zoo.adding import ENDINGS, add_model

    if args.average:
        parse_passes(args.average)
    model = find_model(args.model)
    channels = open_model(model, args.weights).model.channels
    fitting = {1: "grey", 3: "rgb"}.get(channels, "as stored")
    wanted = {"channels": channels, "take": args.take or fitting}
    if kind_of(model) is None:
        wanted["pixel_size_um"] = args.pixel_size_um
    name = args.name or args.weights.name
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    table: dict[str, Any] = {
        "what": args.what or f"{name}, added from {args.weights.name}",
        "licence": args.licence,
        "citation": args.citation,
        "classes": [one for one in args.classes.split(",") if one],
        "objects": args.objects,
        "average": args.average,
        "input": wanted,
    }
    entry = add_model(name, args.weights, model, table, half=args.half)
    say(f"{entry.name}: {entry.weights_path}")
    print(f"sha256 {entry.sha256}, {entry.size} bytes")
    return 0
