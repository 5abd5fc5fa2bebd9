"""``pyunet segment``: run a net over images of any size."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pyunet.cli.arguments import add_element_size, add_label_meaning, add_slices
from pyunet.cli.saying import say

if TYPE_CHECKING:
    from pyunet.inference.jobs import Segmented

HELP = "segment images by overlap-tile with a net and its weights"
EPILOG = """\
A model of pyunet zoo list needs no --weights: its own are taken, and fetched if they
are not here; images go to its pixel size and range of grey values, averaging is the
model's own, and each is said in one line.

For every image or stack NAME, OUT gets NAME_labels.tif (the most likely class),
NAME_scores.tif (float32, one channel a class) and NAME_overlay.png; with --truth
NAME_comparison.png as well. Pixel sizes are kept. A stack is segmented slice by
slice by a 2-D net, as one volume by a 3-D net. TIFF files of any size are segmented in
the same memory, by every model; the overlay of a large image shows every second,
third... pixel. Scores of --average, or of another pixel size, that take more than half
of the memory are gathered in a temporary file in OUT: 8 bytes for each pixel and class.

A model definition (.modeldef.h5, of the Fiji plugin or pyunet finetune) says at which
pixel size its net sees images and how grey values are normalised: images are rescaled
to it, each slice by itself, and the scores are read back linearly at the image's own
pixels; labels are decided on those. Frames of a time series are segmented one by one.

example:
  pyunet segment --model em-membranes --out out --instances components sections/*.tif
  pyunet segment --model unet_isbi2012 --weights unet.caffemodel --out out stack.tif
  pyunet segment --model unet_isbi2012 --weights unet.caffemodel --out out \\
      --average 7 stack.tif
  pyunet segment --model cells.modeldef.h5 --weights cells.caffemodel.h5 --out out \\
      --element-size-um 0.32 cells.tif
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add(
        "images", nargs="+", metavar="IMAGES",
        help="TIFF stack, PNG, or folder of them (a folder is one stack)",
    )  # fmt: skip
    add(
        "--model", required=True, metavar="MODEL",
        help="folder with deploy.prototxt, a prototxt file, a .modeldef.h5, or a "
        "model's name",
    )  # fmt: skip
    add(
        "--weights", metavar="FILE",
        help="trained weights, .caffemodel or .caffemodel.h5 (default: those of pyunet "
        "zoo list for the model's name)",
    )  # fmt: skip
    add(
        "--out", default="out", metavar="OUT",
        help="folder for the results (default: out)",
    )  # fmt: skip
    add_slices(parser, "only these slices of a stack")
    add_element_size(parser, "the file's, else the model definition's own")
    add(
        "--softmax", action="store_true",
        help="write probabilities in place of raw scores",
    )  # fmt: skip
    add(
        "--average", metavar="PASSES",
        help="mean over versions of the image: mirror (4, as the 2015 release), rotate "
        "(4), all (8), a number such as 7 (rotated by multiples of 360/7 degrees), or "
        "angles in degrees such as 0,45,90",
    )  # fmt: skip
    add(
        "--average-of", choices=("scores", "probabilities"),
        help="what the mean of --average is taken of (default: scores, as the release)",
    )  # fmt: skip
    add(
        "--memory", metavar="SIZE",
        help="most memory to take, e.g. 2G: of the whole process on the CPU (default: "
        "half of what is free), for one tile with --gpu (default: 4G)",
    )  # fmt: skip
    add(
        "--tile-size", metavar="SIZE",
        help="output pixels of a tile, e.g. 388 or 388x292, rounded up to what the "
        "net can do (default: what costs least within the memory)",
    )  # fmt: skip
    add("--gpu", type=int, metavar="N", help="run on this GPU (default: the CPU)")
    add(
        "--precision", choices=("float32", "bf16", "tf32"), default="float32",
        help="bf16: faster, scores with two to three digits; tf32: on a GPU "
        "(default: float32)",
    )  # fmt: skip
    add(
        "--backend", choices=("torch", "onnxruntime", "openvino"), default="torch",
        help="what computes on the CPU; pip install pyunet[speed] for the last two "
        "(default: torch)",
    )  # fmt: skip
    add(
        "--truth", metavar="LABELS",
        help="hand labels of the (one) image, for a picture that compares",
    )  # fmt: skip
    add_label_meaning(parser)
    add(
        "--instances", choices=("components", "watershed"),
        help="tell objects apart: components (what hangs together), watershed (round "
        "ones that touch are parted); writes NAME_objects.tif and NAME_objects.csv",
    )  # fmt: skip
    add(
        "--min-size", type=int, default=0, metavar="PIXELS",
        help="with --instances: leave out smaller objects (default: none)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Segment all images; the first error ends the run."""
    _check(args)
    from pyunet.inference.jobs import Job, Truth

    objects = None
    if args.instances:
        from pyunet.inference.object_files import ObjectFinder

        objects = ObjectFinder(args.instances, args.min_size, args.element_size_um)
    truth = args.truth and Truth(Path(args.truth), args.labels_are, args.inside)
    job = Job(
        images=[Path(image) for image in args.images],
        out=Path(args.out),
        model=args.model,
        weights=Path(args.weights) if args.weights else None,
        gpu=args.gpu,
        precision=args.precision,
        backend=args.backend,
        memory=args.memory,
        slices=args.slices or slice(None),
        element_size_um=args.element_size_um,
        tile_size=_parse_tile_size(args.tile_size),
        average=args.average,
        average_of=args.average_of or "scores",
        softmax=args.softmax,
        truth=truth,
        objects=objects,
    )
    for done in job.run():
        _report(done)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse options that do not go together, before anything is loaded."""
    from pyunet.errors import DataError

    if args.min_size and not args.instances:
        raise DataError(f"--min-size {args.min_size}: goes with --instances")
    if args.average is None and args.average_of is not None:
        raise DataError(f"--average-of {args.average_of}: goes with --average")
    if not args.truth and (args.inside is not None or args.labels_are != "auto"):
        raise DataError("--inside and --labels-are: go with --truth")
    if args.truth and len(args.images) > 1:
        raise DataError(
            f"--truth {args.truth}: goes with one image, {len(args.images)} are given"
        )
    if args.weights is None:
        _check_listed(args.model)
    elif args.element_size_um is not None:
        _check_has_pixel_size(args.model)


def _check_listed(model: str) -> None:
    from pyunet.errors import DataError
    from pyunet.zoo.manifest import entries

    known = entries()
    if model not in known:
        raise DataError(
            f"--model {model}: --weights is wanted; without it accepted are "
            f"{', '.join(known)} (pyunet zoo list)"
        )


def _check_has_pixel_size(model: str) -> None:
    from pyunet.errors import DataError
    from pyunet.zoo.finding import find_model, kind_of

    path = find_model(model)
    if kind_of(path) is None:
        raise DataError(
            "--element-size-um: goes with a .modeldef.h5, which says at what size its "
            f"net sees images; {path} is none"
        )


def _parse_tile_size(text: str | None) -> list[int] | None:
    from pyunet.errors import DataError

    if text is None:
        return None
    parts = text.lower().split("x")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise DataError(
            f"--tile-size {text}: accepted are pixels such as 388 or 388x292"
        )
    return [int(part) for part in parts]


def _report(done: Segmented) -> None:
    from pyunet.inference.tiling import format_shape

    if done.truth:
        print(f"truth {done.truth}")
    plans = list(done.work.plans.values())
    passes = f"{len(plans)} passes of " if done.work.segmenter.passes else ""
    count, _, height, width = done.shape
    say(
        f"{done.outputs.labels}: {count} slice(s) of {height}x{width} pixels, {passes}"
        f"{len(plans[0])} tile(s) of {format_shape(plans[0].tile)} -> "
        f"{format_shape(plans[0].output)} each, {done.seconds:.1f} s"
    )
    if done.objects:
        say(
            f"{done.objects.table}: {done.objects.count} object(s), sizes in "
            f"{done.objects.unit}"
        )
