"""``pyunet modeldef show``."""

from __future__ import annotations

import argparse
import math
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pyunet.cli.saying import say

if TYPE_CHECKING:
    from pyunet_fiji.modeldef import ModelDefinition

HELP = "show what a .modeldef.h5 says, and its valid tile shapes"
EXAMPLE = """\
examples:
  pyunet modeldef show 2d_cell_net_v0.modeldef.h5
  pyunet modeldef show 2d_cell_net_v0.modeldef.h5 --text model > net.prototxt
"""
NORMALIZATIONS = {
    0: "none",
    1: "smallest..largest to 0..1",
    2: "mean 0, deviation 1",
    3: "longest vector of channels to 1",
}
DEFAULT_STEPS = 10


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("model", type=Path, metavar="MODEL", help=".modeldef.h5")
    parser.add_argument(
        "--text",
        choices=("model", "solver"),
        help="print the text of the net or of the solver, nothing else",
    )


def run(args: argparse.Namespace) -> int:
    """Print the definition."""
    from pyunet_fiji.modeldef import read_modeldef

    definition = read_modeldef(args.model)
    if args.text:
        print(getattr(definition, f"{args.text}_prototxt"))
        return 0
    print(args.model)
    for title, text in _lines(definition, args.model):
        say(f"{title:14} {text}".rstrip())
    return 0


def _lines(definition: ModelDefinition, path: Path) -> Iterator[tuple[str, str]]:
    kind = definition.normalization_type
    axes = "z y x"[-2 * definition.dimensions + 1 :]
    yield "id", definition.ident
    yield "name", definition.name
    yield "description", definition.description
    yield "dimension", f"{definition.dimensions} ({axes})"
    yield "element size", f"{_times(definition.element_size_um)} um a pixel"
    yield "input blob", definition.input_blob_name
    yield "input dataset", definition.input_dataset_name
    yield "normalization", f"{kind} ({NORMALIZATIONS.get(kind, 'unknown')})"
    yield "padding", definition.padding
    yield from _tiles(definition)
    yield "parameters", _parameters(definition)
    yield from _finetuning(definition)
    columns = (f"{pixels} px: {mb} MB" for pixels, mb in definition.memory_map)
    yield "memory map", ", ".join(columns) or "none"
    yield "missing", ", ".join(definition.missing) or "nothing that the plugin needs"
    other = _others(path)
    if other:
        yield "not used", ", ".join(other)


def _tiles(definition: ModelDefinition) -> Iterator[tuple[str, str]]:
    from pyunet_fiji.modeldef import shapes

    step = definition.downsample_factor
    yield (
        "tiles",
        f"downsampleFactor {_times(step)}, padInput {_times(definition.pad_input)}, "
        f"padOutput {_times(definition.pad_output)}, "
        f"border {_times(shapes.border(definition))}",
    )
    smallest = shapes.smallest_k(definition)
    plugin = shapes.plugin_minimal_output(definition)
    default = [a + DEFAULT_STEPS * b for a, b in zip(plugin, step, strict=True)]
    rims = zip(definition.pad_input, definition.pad_output, strict=True)
    rim = [pad_in - pad_out for pad_in, pad_out in rims]
    for title, what, least, first in (
        (
            "  segmentation",
            "output",
            shapes.output_shape(definition, smallest),
            default,
        ),
        (
            "  finetuning",
            "input",
            shapes.input_shape(definition, smallest),
            [a + b for a, b in zip(default, rim, strict=True)],
        ),
    ):
        yield (
            title,
            f"{what} from {_times(least)} in steps of {_times(step)}; in the plugin at "
            f"first {_times(first)}",
        )


def _finetuning(definition: ModelDefinition) -> Iterator[tuple[str, str]]:
    from pyunet.errors import DataError
    from pyunet_fiji.modeldef.nets import parse_solver

    weights = definition.loss_weights
    yield (
        "loss weights",
        f"borderWeightFactor {weights.border_weight_factor:g}, borderWeightSigmaPx "
        f"{weights.border_weight_sigma_px:g}, foregroundBackgroundRatio "
        f"{weights.foreground_background_ratio:g}, sigma1Px {weights.sigma1_px:g}",
    )
    yield "disk radius", f"{definition.disk_radius_px} px"
    yield "classes", ", ".join(definition.class_names) or "not named"
    if definition.command_line:
        yield "cancelled", f"it goes on with: {shlex.join(definition.command_line)}"
    try:
        solver = parse_solver(definition.solver_prototxt)
    except DataError as error:
        yield "solver", f"unknown: {error}"
        return
    if definition.solver_prototxt:
        yield (
            "solver",
            f"{solver.type}, base_lr {solver.base_lr:g}, momentum "
            f"{solver.momentum:g}, display {solver.display}",
        )


def _parameters(definition: ModelDefinition) -> str:
    from pyunet.errors import DataError
    from pyunet_fiji.modeldef.nets import build_net

    try:
        net = build_net(definition)
    except DataError as error:
        return f"unknown: {error}"
    blobs = (blob for group in net.params.values() for blob in group)
    count = sum(math.prod(int(extent) for extent in blob.shape) for blob in blobs)
    return f"{count:,} for images of one channel"


def _others(path: Path) -> list[str]:
    """Name what else is in the file."""
    import h5py

    from pyunet_fiji.modeldef import definition as names
    from pyunet_fiji.modeldef.datasets import open_file

    known = {value for value in vars(names).values() if isinstance(value, str)} | set(
        names.LOSS_WEIGHTS.values()
    )
    found: list[str] = []
    with open_file(path) as file:

        def note(name: str, item: h5py.HLObject) -> None:
            group = isinstance(item, h5py.Group)
            if f"/{name}" not in known and not (group and not item.attrs):
                found.append(f"/{name}")

        file.visititems(note)
    return found


def _times(numbers: Iterable[float]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)
