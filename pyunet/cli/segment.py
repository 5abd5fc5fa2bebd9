"""``pyunet segment``: run a net over images of any size."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pyunet.cli.arguments import add_slices

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pyunet.data.images import ImageStack
    from pyunet.inference.averaging import Pass
    from pyunet.inference.engine import Model
    from pyunet.inference.outputs import Outputs, Values
    from pyunet.inference.tiling import Plan

    Plans = Plan | dict[Pass, Plan]

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
  pyunet segment --model unet_isbi2012 --weights unet.caffemodel --out out \\
      --average 7 stack.tif
"""


@dataclass(frozen=True)
class _Values:
    """What is averaged and what is written."""

    softmax: bool
    of: Values

    def written(self, model: Model) -> Values:
        """Say what the numbers of the scores' file are."""
        probabilities = (
            self.softmax or self.of == "probabilities" or model.gives_probabilities
        )
        return "probabilities" if probabilities else "scores"


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
    passes = _parse_average(args)
    values = _Values(softmax=args.softmax, of=args.average_of or "scores")
    places = _places(args)
    model = load_model(find_model(args.model), args.weights, gpu=args.gpu)
    memory = _memory(args.memory, on_gpu=args.gpu is not None)
    for path, outputs in places:
        started = time.monotonic()
        stack = _cut(read_stack(path), slices, path)
        truth = _read_truth(args.truth, stack, slices)
        _check_channels(model, stack, path)
        plan = _plan(model, stack, memory, tile_size, passes)
        labels = _write(model, stack, plan, outputs, values)
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


def _parse_average(args: argparse.Namespace) -> tuple[Pass, ...] | None:
    from pyunet.errors import DataError
    from pyunet.inference.averaging import parse_passes

    if args.average is None:
        if args.average_of is not None:
            raise DataError(f"--average-of {args.average_of}: goes with --average")
        return None
    return parse_passes(args.average)


def _plan(
    model: Model,
    stack: ImageStack,
    memory: tuple[int, int],
    sizes: list[int] | None,
    passes: tuple[Pass, ...] | None,
) -> Plans:
    from pyunet.inference.averaging import plan_passes
    from pyunet.inference.predict import make_plan

    limit, held = memory
    count, _, *extent = stack.array.shape
    image = (count, *extent) if _is_volume(model) else tuple(extent)
    held = held + stack.array.nbytes if held else 0
    if passes is None:
        return make_plan(model, image, memory=limit, held=held, tile_size=sizes)
    return plan_passes(
        model, image, passes, memory=limit, held=held, tile_size=sizes
    )  # fmt: skip


def _write(
    model: Model, stack: ImageStack, plan: Plans, outputs: Outputs, values: _Values
) -> NDArray[np.unsignedinteger]:
    from pyunet.inference.outputs import write_stacks

    outputs.labels.parent.mkdir(parents=True, exist_ok=True)
    classes = int(model.net.blobs[model.output].shape[1])
    count, _, *extent = stack.array.shape
    return write_stacks(
        outputs,
        _scores(model, stack, plan, values),
        (count, classes, extent[0], extent[1]),
        values=values.written(model),
        resolution=stack.resolution,
    )


def _scores(
    model: Model, stack: ImageStack, plan: Plans, values: _Values
) -> Iterator[NDArray[np.float32]]:
    """Give the scores (K, Y, X) of one slice after the other."""
    volume = _is_volume(model)
    for scores in _images_scores(model, stack, plan, values):
        yield from scores.swapaxes(0, 1) if volume else [scores]


def _images_scores(
    model: Model, stack: ImageStack, plan: Plans, values: _Values
) -> Iterator[NDArray[np.float32]]:
    """Give the scores (K, [Z,] Y, X) of one image after the other."""
    from scipy import special

    from pyunet.inference.averaging import average_arrays
    from pyunet.inference.predict import segment_arrays

    volume = _is_volume(model)
    images = _arrays(stack, volume)
    total = 1 if volume else len(stack.array)
    raw = not model.gives_probabilities
    if not isinstance(plan, dict):
        yield from segment_arrays(
            model, images, plan,
            total=total, softmax=raw and values.softmax, label=stack.name,
        )  # fmt: skip
        return
    each = values.of == "probabilities" and raw
    for mean in average_arrays(
        model, images, plan,
        total=total, of="probabilities" if each else "scores", label=stack.name,
    ):  # fmt: skip
        after = raw and values.softmax and not each
        yield special.softmax(mean, axis=0) if after else mean


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


def _report(outputs: Outputs, plan: Plans, stack: ImageStack, seconds: float) -> None:
    from pyunet.inference.tiling import format_shape

    plans = list(plan.values()) if isinstance(plan, dict) else [plan]
    passes = f"{len(plans)} passes of " if isinstance(plan, dict) else ""
    count, _, height, width = stack.array.shape
    print(
        f"{outputs.labels}: {count} slice(s) of {height}x{width} pixels, {passes}"
        f"{len(plans[0])} tile(s) of {format_shape(plans[0].tile)} -> "
        f"{format_shape(plans[0].output)} each, {seconds:.1f} s"
    )
