"""``pyunet import``: weights of PyTorch as a ``.caffemodel``."""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path
from typing import Any

LOG = logging.getLogger(__name__)
HELP = "make a .caffemodel of a PyTorch state_dict or a safetensors file"
EPILOG = """\
Weights find their layers by name: conv.weight and conv.bias are those of the layer
'conv'. A safetensors file of pyunet export holds its net; else --model gives it, or
--mapping knows it and its prototxt is written beside OUT:
  milesial      github.com/milesial/Pytorch-UNet, with bilinear=False
  mateuszbuda   github.com/mateuszbuda/brain-segmentation-pytorch

A .pt or .pth file is read without running anything in it: tensors and plain values.

examples:
  pyunet import unet.safetensors -o unet.caffemodel
  pyunet import unet.pt --model unet_isbi2012 -o unet.caffemodel
  pyunet import unet_carvana.pth --mapping milesial -o carvana.caffemodel
"""
SAFETENSORS = ".safetensors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    from pyunet_bridges.mappings import NAMES

    parser.epilog = EPILOG
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help=".safetensors, .pt or .pth")
    add(
        "--model", metavar="MODEL",
        help="the net: a prototxt, a folder with deploy.prototxt, or a name",
    )  # fmt: skip
    add("--mapping", choices=NAMES, help="whose names the weights have")
    add(
        "-o", "--out", required=True, type=Path, metavar="OUT",
        help="the .caffemodel or .caffemodel.h5 to write",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Write the weights, and the prototxt of a net that is not given."""
    from pyunet.errors import DataError

    _check_out(args.out)
    arrays, text = _read(args.file)
    if args.mapping:
        text, arrays = _mapped(args, arrays)
    if args.model:
        from pyunet.zoo import find_model

        net = _load(find_model(args.model))
    elif text is None:
        raise DataError(
            f"{args.file}: does not hold its net; give --model, or --mapping if it is "
            "one of the known ones"
        )
    else:
        net = _load_text(text)
    _fill(net, arrays, args.file)
    save = net.save_hdf5 if args.out.suffix == ".h5" else net.save
    save(str(args.out))
    print(args.out)
    if not args.model and text is not None:
        print(_write_prototxt(args.out, text))
    return 0


def _check_out(out: Path) -> None:
    from pyunet.errors import DataError

    if not out.name.endswith((".caffemodel", ".caffemodel.h5")):
        raise DataError(f"{out}: expected a name *.caffemodel or *.caffemodel.h5")


def _read(path: Path) -> tuple[dict[str, Any], str | None]:
    from pyunet.inference.engine import import_caffe

    if path.suffix.lower() == SAFETENSORS:
        arrays, text = import_caffe().export.read_safetensors(path)
        return arrays, text
    return import_caffe().export.read_state_dict(path), None


def _mapped(
    args: argparse.Namespace, arrays: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    from pyunet.errors import DataError
    from pyunet_bridges.mappings import map_weights

    try:
        return map_weights(arrays, args.mapping)
    except DataError as error:
        raise DataError(f"{args.file}: {error}") from error


def _load(path: Path) -> Any:
    from pyunet.inference.engine import load_net

    return load_net(path)


def _load_text(text: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.prototxt")
        path.write_text(text, encoding="utf-8")
        return _load(path)


def _fill(net: Any, arrays: dict[str, Any], path: Path) -> None:
    from pyunet.errors import DataError
    from pyunet.inference.engine import import_caffe

    try:
        unused = import_caffe().export.fill(net, arrays)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    if unused:
        LOG.warning(
            "%s: %d arrays have no layer in the net and are left out, such as '%s'",
            path,
            len(unused),
            unused[0],
        )


def _write_prototxt(out: Path, text: str) -> Path:
    """Write the net beside its weights."""
    from pyunet.files import atomic_path

    name = out.name.removesuffix(".h5").removesuffix(".caffemodel")
    path = out.with_name(f"{name}.prototxt")
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
