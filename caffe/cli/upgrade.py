"""``caffe upgrade``: write a net in today's form."""

from __future__ import annotations

from typing import Any

from caffe import atomic
from caffe.cli.flags import Flags
from caffe.errors import CheckError
from caffe.glog import log

NAME = "upgrade"
HELP = "write an old net (-model) in today's form (-output)"
CROPS = ("explicit", "coordinate_maps")

_WROTE = "upgrade_net_proto_text.cpp:49"


def run(flags: Flags) -> int:
    """Upgrade the text of a net; with ``-crop coordinate_maps`` find Crop's offsets.

    Raises
    ------
    CaffeError
        If a flag is missing, or the net can't be read or upgraded.
    """
    from caffe.proto import files

    if not flags.model or not flags.output:
        raise CheckError("Need a net and a file to write: -model OLD -output NEW")
    if flags.crop not in CROPS:
        raise CheckError(f"-crop {flags.crop}: expected {' or '.join(CROPS)}")
    maps = flags.crop == "coordinate_maps"
    net = files.read_net(flags.model, crop="coordinate_maps" if maps else "explicit")
    write_text(net, flags.output, _WROTE)
    return 0


def write_text(message: Any, path: str, source: str) -> None:
    """Write an upgraded message as text, and Caffe's line about it.

    Parameters
    ----------
    message : NetParameter or SolverParameter
    path : str
    source : str
        Where Caffe logs the line.
    """
    from caffe.proto import text

    atomic.write_bytes(path, text.to_text(message).encode())
    kind = message.DESCRIPTOR.name
    log(source, f"Wrote upgraded {kind} text proto to {path}")


def tell_if_same(before: Any, after: Any, path: str, source: str) -> None:
    """Write Caffe's line about a file in which nothing had to be upgraded."""
    if before == after:
        log(source, f"File already in latest proto format: {path}", "E")
