"""``pyunet segment``: run a net over images of any size."""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from pyunet.cli import segment_inputs, zoo_segment
from pyunet.cli.arguments import add_element_size, add_label_meaning, add_slices
from pyunet.cli.saying import say
from pyunet.cli.segment_work import make_plans, write_stack

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pyunet.data.images import ImageStack
    from pyunet.inference.outputs import Outputs
    from pyunet.inference.passes import Pass
    from pyunet.inference.segmenting import Work

NAME = "segment"
HELP = "segment images by overlap-tile with a net and its weights"
GPU_MEMORY = 4 * 2**30
VOLUME = 3
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
    zoo_segment.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Segment all images; the first error ends the run."""
    from pyunet.inference.engine import choose_computation
    from pyunet.inference.mapped import open_stack
    from pyunet.inference.segmenting import Wanted

    slices = args.slices or slice(None)
    tile_size = _parse_tile_size(args.tile_size)
    listed = zoo_segment.find(args)
    passes = _parse_average(args)
    values = Wanted(softmax=args.softmax, of=args.average_of or "scores")
    places = _places(args)
    choose_computation(precision=args.precision, backend=args.backend)
    with ThreadPoolExecutor(1) as pool:  # slow to import, and wanted after the net
        pool.submit(import_module, "pyunet.inference.pictures")
        source = zoo_segment.load(args, listed)
    model = source.model
    memory = _memory(args.memory, on_gpu=args.gpu is not None)
    for path, outputs in places:
        started = time.monotonic()
        stack = segment_inputs.cut(
            open_stack(path, outputs.labels.parent), slices, path
        )
        truth = segment_inputs.read_truth(args, stack, slices)
        limit, held = _in_memory(memory)
        inputs = source.prepare(args, stack, path, limit - held)
        work = make_plans(
            model, stack, inputs, memory, tile_size, passes, values, outputs
        )
        zoo_segment.check_objects(args, stack, (limit, held), images=inputs.count)
        labels = write_stack(work, stack, outputs)
        _draw(outputs, stack, labels, truth)
        _report(outputs, work, stack, time.monotonic() - started)
        zoo_segment.write_objects(
            args, listed, stack, labels, outputs.labels,
            volumes=inputs.count if len(inputs.own) == VOLUME else 0,
        )  # fmt: skip
    return 0


def _places(args: argparse.Namespace) -> list[tuple[Path, Outputs]]:
    """Name all outputs before any work is done, and refuse to overwrite anything."""
    from pyunet.errors import DataError
    from pyunet.files import followed
    from pyunet.inference.outputs import Outputs

    if not args.truth and (args.inside is not None or args.labels_are != "auto"):
        raise DataError("--inside and --labels-are: go with --truth")
    if args.truth and len(args.images) > 1:
        raise DataError(
            f"--truth {args.truth}: goes with one image, {len(args.images)} are given"
        )
    out = Path(args.out)
    if (out.exists() or out.is_symlink()) and not out.is_dir():
        raise DataError(f"{out}: is no folder; --out wants one, or a new name")
    places: dict[str, tuple[Path, Outputs]] = {}
    for path in map(Path, args.images):
        if not path.exists():
            raise DataError(f"{path}: no such file or folder")
        name = path.stem if path.is_file() else followed(path).name
        if name in places:
            raise DataError(
                f"{path}: would overwrite the results of {places[name][0]}; give "
                "them different names or segment them into different folders"
            )
        places[name] = (path, Outputs.of(out, name))
    _check_inputs_stay(args, [outputs for _, outputs in places.values()])
    return list(places.values())


def _check_inputs_stay(args: argparse.Namespace, outputs: list[Outputs]) -> None:
    from pyunet.errors import DataError
    from pyunet.files import followed

    inputs = [Path(p) for p in (*args.images, args.weights, args.truth) if p]
    inside = [file for p in inputs if p.is_dir() for file in p.iterdir()]
    read = {followed(p) for p in (*inputs, *inside)}
    for one in outputs:
        written = (one.labels, one.scores, one.overlay, one.comparison)
        clash = [path for path in written if followed(path) in read]
        if clash:
            raise DataError(
                f"{clash[0]}: is an input and would be overwritten; take another --out"
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


def _memory(text: str | None, *, on_gpu: bool) -> tuple[int, int]:
    """Give how much may be taken and how much of it the loaded program holds."""
    from pyunet.errors import DataError
    from pyunet.memory import (
        available_bytes,
        format_bytes,
        parse_bytes,
        peak_bytes,
        used_bytes,
    )

    if on_gpu:
        return (parse_bytes(text) if text else GPU_MEMORY), 0
    held = used_bytes()
    if text is None:
        return held + available_bytes() // 2, held
    limit = parse_bytes(text)
    if peak_bytes() > limit:
        raise DataError(
            f"--memory {text}: loading the model alone took "
            f"{format_bytes(peak_bytes())}"
        )
    return limit, held


def _in_memory(memory: tuple[int, int]) -> tuple[int, int]:
    """Give the limit of the process: on a GPU that of a tile is another one."""
    from pyunet.memory import available_bytes, used_bytes

    if memory[1]:
        return memory
    return used_bytes() + available_bytes(), used_bytes()


def _parse_average(args: argparse.Namespace) -> tuple[Pass, ...] | None:
    from pyunet.errors import DataError

    if args.average is None:
        if args.average_of is not None:
            raise DataError(f"--average-of {args.average_of}: goes with --average")
        return None
    from pyunet.inference.passes import parse_passes

    return parse_passes(args.average)


def _draw(
    outputs: Outputs,
    stack: ImageStack,
    labels: NDArray[np.unsignedinteger],
    truth: NDArray[np.generic] | None,
) -> None:
    from pyunet.inference.pictures import comparison_png, overlay_png

    overlay_png(outputs.overlay, stack.array, labels)
    if truth is not None:
        comparison_png(outputs.comparison, stack.array, truth, labels)


def _report(outputs: Outputs, work: Work, stack: ImageStack, seconds: float) -> None:
    from pyunet.inference.tiling import format_shape

    plans = list(work.plans.values())
    passes = f"{len(plans)} passes of " if work.segmenter.passes else ""
    count, _, height, width = stack.array.shape
    say(
        f"{outputs.labels}: {count} slice(s) of {height}x{width} pixels, {passes}"
        f"{len(plans[0])} tile(s) of {format_shape(plans[0].tile)} -> "
        f"{format_shape(plans[0].output)} each, {seconds:.1f} s"
    )
