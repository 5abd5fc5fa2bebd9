"""``pyunet export``: a model in the formats of other programs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyunet.cli.arguments import add_element_size

if TYPE_CHECKING:
    from pyunet_bridges.source import Source

HELP = "write a model in the format of another program"
EPILOG = """\
formats of --to, and what OUT is:
  onnx         NAME.onnx
  torchscript  NAME.pt, for torch.jit.load
  torch        NAME.pt, a state_dict with the names of Caffe's layers, and beside it
               NAME.py, a module of plain PyTorch that loads it
  safetensors  NAME.safetensors, the same names; the net's text in its metadata
  caffe        NAME.caffemodel and NAME.prototxt in today's syntax and BVLC's layers, as
               OpenCV reads them (2-D nets)
  modeldef     NAME.modeldef.h5 and NAME.caffemodel.h5, for the Fiji plugin
  bioimageio   NAME.zip, a package of the BioImage Model Zoo

A layer that a format has no words for is named, and nothing is written.

examples:
  pyunet export unet_isbi2012 --weights unet.caffemodel --to onnx -o unet.onnx
  pyunet export deploy.prototxt --weights ssd.caffemodel --to onnx -o ssd.onnx \\
      --blob mbox_loc --blob mbox_conf_flatten
  pyunet export em-membranes --to torch -o membranes.pt
  pyunet export cells.modeldef.h5 --weights cells.caffemodel.h5 --to bioimageio \\
      --licence CC-BY-4.0 --image cells.tif -o cells.zip
"""
ENDINGS = {
    "onnx": ".onnx",
    "torchscript": ".pt",
    "torch": ".pt",
    "safetensors": ".safetensors",
    "caffe": ".caffemodel",
    "modeldef": ".modeldef.h5",
    "bioimageio": ".zip",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add(
        "model", metavar="MODEL",
        help="folder with deploy.prototxt, a prototxt, a .modeldef.h5, the name of a "
        "net, or of a trained model (pyunet zoo list)",
    )  # fmt: skip
    add(
        "--weights", metavar="FILE",
        help="trained weights, .caffemodel or .caffemodel.h5 (default: those of the "
        "trained model)",
    )  # fmt: skip
    add("--to", required=True, choices=tuple(ENDINGS), help="format")
    add("-o", "--out", required=True, type=Path, metavar="OUT", help="file to write")
    add(
        "--blob", action="append", metavar="NAME",
        help="repeatable: a blob that the model gives, with only the layers that it "
        "depends on (default: the net's outputs; --to onnx only)",
    )  # fmt: skip
    add_element_size(parser, "what the model says; --to modeldef wants one")
    package = parser.add_argument_group("bioimageio").add_argument
    package(
        "--licence", metavar="SPDX",
        help="under which others may use the model, e.g. BSD-2-Clause (default: the "
        "trained model's)",
    )  # fmt: skip
    package("--author", action="append", default=[], metavar="NAME", help="repeatable")
    package(
        "--image", metavar="FILE",
        help="a typical image, for test and cover (default: a synthetic one)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Write the files and name them."""
    from pyunet.errors import DataError
    from pyunet_bridges.source import open_source

    out, ending = args.out, ENDINGS[args.to]
    if not out.name.endswith(ending):
        raise DataError(f"{out}: expected a name *{ending} for --to {args.to}")
    if not out.parent.is_dir():
        raise DataError(f"{out}: there is no folder {out.parent}")
    if args.blob and args.to != "onnx":
        raise DataError(f"--blob is for --to onnx only, not for --to {args.to}")
    source = open_source(args.model, args.weights)
    for path in _WRITERS[args.to](source, args):
        print(path)
    return 0


def _one(name: str) -> Callable[[Source, argparse.Namespace], list[Path]]:
    """Write one file by a function of `caffe.export`."""

    def write(source: Source, args: argparse.Namespace) -> list[Path]:
        from pyunet.inference.engine import import_caffe

        getattr(import_caffe().export, name)(source.net, args.out)
        return [args.out]

    return write


def _onnx(source: Source, args: argparse.Namespace) -> list[Path]:
    from pyunet.inference.engine import import_caffe

    import_caffe().export.to_onnx(source.net, args.out, outputs=args.blob)
    return [args.out]


def _torchscript(source: Source, args: argparse.Namespace) -> list[Path]:
    import logging

    from pyunet.inference.engine import import_caffe

    if not import_caffe().export.write_torchscript(source.net, args.out):
        shapes = [tuple(source.net.blobs[name].shape) for name in source.net.inputs]
        logging.getLogger(__name__).warning(
            "%s: takes inputs of %s only, since a layer depends on it",
            args.out,
            ", ".join(map(str, shapes)),
        )
    return [args.out]


def _torch(source: Source, args: argparse.Namespace) -> list[Path]:
    from pyunet.inference.engine import import_caffe

    module = args.out.with_suffix(".py")
    import_caffe().export.write_module(source.net, module, args.out)
    return [args.out, module]


def _caffe(source: Source, args: argparse.Namespace) -> list[Path]:
    from pyunet.inference.engine import import_caffe

    prototxt = args.out.with_suffix(".prototxt")
    import_caffe().export.write_caffe(source.net, prototxt, args.out)
    return [args.out, prototxt]


def _modeldef(source: Source, args: argparse.Namespace) -> list[Path]:
    from pyunet_bridges.modeldef import write_model

    return write_model(source, args.out, element_size_um=args.element_size_um)


def _bioimageio(source: Source, args: argparse.Namespace) -> list[Path]:
    from pyunet_bridges.bioimageio import About, write_package

    about = About(licence=args.licence, authors=args.author, image=args.image)
    return write_package(source, args.out, about)


_WRITERS: dict[str, Callable[[Any, argparse.Namespace], list[Path]]] = {
    "onnx": _onnx,
    "torchscript": _torchscript,
    "torch": _torch,
    "safetensors": _one("write_safetensors"),
    "caffe": _caffe,
    "modeldef": _modeldef,
    "bioimageio": _bioimageio,
}
