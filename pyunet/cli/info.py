"""``pyunet info``: what a net is and costs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pyunet.cli.saying import say
from pyunet.errors import DataError

if TYPE_CHECKING:
    from caffe import Cost

HELP = "show parameters, multiply-adds and memory of a net"
EPILOG = """\
Counted for one forward pass of the batch in the file: products with weights; two
floating-point operations (FLOP) a multiply-add. Memory is that of the activations in
segmentation and, beside them, the weights.

example:
  pyunet info unet_isbi2012 --input-shape 700"""
UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add(
        "model",
        metavar="MODEL",
        help="a prototxt, a folder with deploy.prototxt, or the name of a model",
    )
    add(
        "--input-shape",
        metavar="[Z,]Y,X",
        type=_shape,
        help="pixels of an input tile, one number for all axes or one each (default: "
        "as in the file)",
    )
    add("--train", action="store_true", help="the net of phase TRAIN, not TEST")
    add("--layers", action="store_true", help="also a line a layer")


def run(args: argparse.Namespace) -> int:
    """Print what the net is and costs."""
    import caffe
    from pyunet.inference.engine import FLOAT_BYTES, load_net
    from pyunet.zoo import find_model

    path = find_model(args.model)
    net = load_net(path, train=args.train)
    if args.input_shape:
        _reshape(net, args.input_shape, args.model)
    found = caffe.cost(net)
    print(path)
    for what, names in (("input", net.inputs), ("output", net.outputs)):
        for name in names:
            say(f"{what:14} {name}: {_sizes(net.blobs[name].shape)}")
    weights = FLOAT_BYTES * found.parameters
    print(f"parameters     {found.parameters:,}  ({_bytes(weights)})")
    print(f"multiply-adds  {found.multiply_adds:,}  ({found.gflops:.2f} GFLOP)")
    print(f"activations    {_bytes(found.activation_bytes)} a tile")
    if args.layers:
        say("", *_table(found))
    return 0


def _reshape(net: Any, tile: list[int], model: str) -> None:
    """Give the only input blob other spatial sizes."""
    if len(net.inputs) != 1 or len(net.blobs[net.inputs[0]].shape) < 3:
        shapes = [_sizes(net.blobs[name].shape) for name in net.inputs]
        raise DataError(
            f"--input-shape: {model} has inputs {shapes}; accepted is one image"
        )
    blob = net.blobs[net.inputs[0]]
    shape = [int(extent) for extent in blob.shape]
    axes = len(shape) - 2
    if len(tile) not in (1, axes):
        raise DataError(
            f"--input-shape: {len(tile)} numbers; accepted are 1 or {axes} for the "
            f"input {_sizes(shape)} of {model}"
        )
    blob.reshape(*shape[:2], *(tile * axes if len(tile) == 1 else tile))
    try:
        net.reshape()
    except (RuntimeError, ValueError) as error:
        raise DataError(f"--input-shape {_sizes(tile)}: {error}") from error


def _table(cost: Cost) -> list[str]:
    """Return a line a layer that has parameters."""
    rows = [layer for layer in cost.layers if layer.parameters or layer.multiply_adds]
    width = max((len(layer.name) for layer in rows), default=5)
    return [
        f"{'layer':{width}}  {'type':13}  {'parameters':>12}  {'multiply-adds':>17}",
        *(
            f"{layer.name:{width}}  {layer.type:13}  {layer.parameters:>12,}  "
            f"{layer.multiply_adds:>17,}"
            for layer in rows
        ),
    ]


def _sizes(shape: Any) -> str:
    return " x ".join(str(int(extent)) for extent in shape)


def _bytes(size: int) -> str:
    for unit, name in UNITS:
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"


def _shape(text: str) -> list[int]:
    numbers = text.split(",")
    if not all(number.strip().isdecimal() and int(number) for number in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} is not [Z,]Y,X, such as 572")
    return [int(number) for number in numbers]
