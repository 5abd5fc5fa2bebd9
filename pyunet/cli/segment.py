"""``pyunet segment``: run a net over images of any size."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pyunet.cli.arguments import add_slices

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pyunet.data.images import ImageStack
    from pyunet.inference.engine import Model
    from pyunet.inference.outputs import Outputs
    from pyunet.inference.tiling import Plan

NAME = "segment"
HELP = "segment images by overlap-tile with a net and its weights"
GPU_MEMORY = 4 * 2**30
EPILOG = """\
For every image or stack NAME, OUT gets NAME_labels.tif (the most likely class),
NAME_scores.tif (float32, one channel a class) and NAME_overlay.png; with --truth
NAME_comparison.png as well. Pixel sizes are kept. A stack is segmented slice by
slice by a 2-D net, as one volume by a 3-D net.

example:
  pyunet segment --model unet_isbi2012 --weights unet.caffemodel --out out stack.tif
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
        help="folder with deploy.prototxt, a prototxt file, or a model's name",
    )  # fmt: skip
    add(
        "--weights", required=True, metavar="FILE",
        help="trained weights, .caffemodel or .caffemodel.h5",
    )  # fmt: skip
    add("--out", required=True, metavar="OUT", help="folder for the results")
    add_slices(parser, "only these slices of a stack")
    add(
        "--softmax", action="store_true",
        help="write probabilities in place of raw scores",
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
        "--truth", metavar="LABELS",
        help="hand labels of the (one) image, for a picture that compares",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Segment all images; the first error ends the run."""
    from pyunet.data.images import read_stack
    from pyunet.inference.engine import load_model
    from pyunet.zoo import find_model

    slices = args.slices or slice(None)
    tile_size = _parse_tile_size(args.tile_size)
    places = _places(args)
    model = load_model(find_model(args.model), args.weights, gpu=args.gpu)
    memory = _memory(args.memory, on_gpu=args.gpu is not None)
    for path, outputs in places:
        started = time.monotonic()
        stack = _cut(read_stack(path), slices, path)
        truth = _read_truth(args.truth, stack, slices)
        _check_channels(model, stack, path)
        plan = _plan(model, stack, memory, tile_size)
        labels = _write(model, stack, plan, outputs, softmax=args.softmax)
        _draw(outputs, stack, labels, truth)
        _report(outputs, plan, stack, time.monotonic() - started)
    return 0


def _places(args: argparse.Namespace) -> list[tuple[Path, Outputs]]:
    """Name all outputs before any work is done, and refuse to overwrite anything."""
    from pyunet.errors import DataError
    from pyunet.inference.outputs import Outputs

    if args.truth and len(args.images) > 1:
        raise DataError(
            f"--truth {args.truth}: goes with one image, {len(args.images)} are given"
        )
    out = Path(args.out)
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is no folder; --out wants one, or a new name")
    places: dict[str, tuple[Path, Outputs]] = {}
    for path in map(Path, args.images):
        if not path.exists():
            raise DataError(f"{path}: no such file or folder")
        name = path.stem if path.is_file() else path.resolve().name
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

    inputs = [Path(p) for p in (*args.images, args.weights, args.truth) if p]
    inside = [file for p in inputs if p.is_dir() for file in p.iterdir()]
    read = {p.resolve() for p in (*inputs, *inside)}
    for one in outputs:
        written = (one.labels, one.scores, one.overlay, one.comparison)
        clash = [path for path in written if path.resolve() in read]
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


def _cut(stack: ImageStack, slices: slice, path: Path) -> ImageStack:
    from dataclasses import replace

    from pyunet.errors import DataError

    array = stack.array[slices]
    if len(array) == 0:
        raise DataError(
            f"{path}: has {len(stack.array)} slices, none of them is in --slices "
            f"{slices.start or 0}:{'' if slices.stop is None else slices.stop}"
        )
    return replace(stack, array=array)


def _read_truth(
    path: str | None, stack: ImageStack, slices: slice
) -> NDArray[np.generic] | None:
    """Read hand labels, 0 is background; they may be of the chosen slices only."""
    if path is None:
        return None
    from pyunet.data.images import read_stack
    from pyunet.errors import DataError

    truth = read_stack(path, palette_as_index=True).array[:, 0]
    chosen = truth if len(truth) == len(stack.array) else truth[slices]
    found, wanted = chosen.shape, (len(stack.array), *stack.array.shape[2:])
    if found != wanted:
        raise DataError(
            f"{path}: labels of {found} slices, rows and columns; the images have "
            f"{wanted}"
        )
    return chosen


def _check_channels(model: Model, stack: ImageStack, path: Path) -> None:
    from pyunet.errors import DataError

    channels = stack.array.shape[1]
    if channels != model.channels:
        raise DataError(
            f"{path}: has {channels} channel(s); the net {model.deploy} takes "
            f"{model.channels} (blob '{model.source}')"
        )


def _is_volume(model: Model) -> bool:
    return len(model.axes) == 3


def _memory(text: str | None, *, on_gpu: bool) -> tuple[int, int]:
    """Give how much may be taken and how much of it the loaded program holds."""
    from pyunet.errors import DataError
    from pyunet.inference.memory import (
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


def _plan(
    model: Model, stack: ImageStack, memory: tuple[int, int], sizes: list[int] | None
) -> Plan:
    from pyunet.inference.predict import make_plan

    limit, held = memory
    count, _, *extent = stack.array.shape
    return make_plan(
        model,
        (count, *extent) if _is_volume(model) else tuple(extent),
        memory=limit,
        held=held + stack.array.nbytes if held else 0,
        tile_size=sizes,
    )


def _write(
    model: Model, stack: ImageStack, plan: Plan, outputs: Outputs, *, softmax: bool
) -> NDArray[np.unsignedinteger]:
    from pyunet.inference.outputs import Values, write_stacks

    values: Values = (
        "probabilities" if softmax or model.gives_probabilities else "scores"
    )
    outputs.labels.parent.mkdir(parents=True, exist_ok=True)
    classes = int(model.net.blobs[model.output].shape[1])
    count, _, *extent = stack.array.shape
    return write_stacks(
        outputs,
        _scores(model, stack, plan, softmax=softmax and not model.gives_probabilities),
        (count, classes, extent[0], extent[1]),
        values=values,
        resolution=stack.resolution,
    )


def _scores(
    model: Model, stack: ImageStack, plan: Plan, *, softmax: bool
) -> Iterator[NDArray[np.float32]]:
    """Give the scores (K, Y, X) of one slice after the other."""
    from pyunet.inference.predict import segment_arrays

    volume = _is_volume(model)
    total = 1 if volume else len(stack.array)
    for scores in segment_arrays(
        model, _arrays(stack, volume), plan,
        total=total, softmax=softmax, label=stack.name,
    ):  # fmt: skip
        yield from scores.swapaxes(0, 1) if volume else [scores]


def _arrays(stack: ImageStack, volume: bool) -> Iterator[NDArray[np.float32]]:
    """Scale the slices, one at a time where the scale does not depend on the others."""
    import numpy as np

    from pyunet.data.images import to_unit_range

    array = stack.array
    if volume or array.dtype not in (np.uint8, np.uint16):
        array = to_unit_range(array, name=stack.name)
    if volume:
        yield array.swapaxes(0, 1)
    else:
        for one in array:
            yield one if one.dtype == np.float32 else to_unit_range(one)


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


def _report(outputs: Outputs, plan: Plan, stack: ImageStack, seconds: float) -> None:
    from pyunet.inference.tiling import format_shape

    count, _, height, width = stack.array.shape
    print(
        f"{outputs.labels}: {count} slice(s) of {height}x{width} pixels, "
        f"{len(plan)} tile(s) of {format_shape(plan.tile)} -> "
        f"{format_shape(plan.output)} each, {seconds:.1f} s"
    )
