"""``caffe upgrade``: write a net in today's form."""

from __future__ import annotations

from caffe.cli.flags import Flags
from caffe.engine import atomic
from caffe.engine.log import log
from caffe.errors import CheckError

NAME = "upgrade"
HELP = "write an old net (-model) in today's form (-output)"
CROPS = ("explicit", "coordinate_maps")


def run(flags: Flags) -> int:
    """Upgrade the text of a net; with ``-crop coordinate_maps`` find Crop's offsets.

    Raises
    ------
    CaffeError
        If a flag is missing, or the net can't be read or upgraded.
    """
    from caffe.proto import files, text

    if not flags.model or not flags.output:
        raise CheckError("Need a net and a file to write: -model OLD -output NEW")
    if flags.crop not in CROPS:
        raise CheckError(f"-crop {flags.crop}: accepted are {' and '.join(CROPS)}")
    maps = flags.crop == "coordinate_maps"
    net = files.read_net(flags.model, crop="coordinate_maps" if maps else "explicit")
    atomic.write_bytes(flags.output, text.to_text(net).encode())
    log(
        "upgrade_net_proto_text.cpp:49",
        f"Wrote upgraded NetParameter to {flags.output}",
    )
    return 0
