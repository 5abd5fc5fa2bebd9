"""The command `upgrade_net_proto_binary`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from caffe import atomic
from caffe.cli import tools, upgrade
from caffe.glog import log

_PROGRAM = "upgrade_net_proto_binary"
_USAGE = """\
usage: upgrade_net_proto_binary v0_net_proto_file_in net_proto_file_out

Writes a trained net (.caffemodel) of any older Caffe in today's form.

example:
  upgrade_net_proto_binary old.caffemodel new.caffemodel"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; default: the process's."""
    return tools.run(_PROGRAM, _USAGE, _work, arguments)


def _work(words: list[str]) -> None:
    from caffe.proto import caffe_pb2, files

    old, new = tools.two_files(words)
    net = files.read_net_binary(old)
    before = caffe_pb2.NetParameter.FromString(Path(old).read_bytes())
    upgrade.tell_if_same(before, net, old, "upgrade_net_proto_binary.cpp:41")
    atomic.write_bytes(new, net.SerializeToString())
    log(
        "upgrade_net_proto_binary.cpp:47",
        f"Wrote upgraded NetParameter binary proto to {new}",
    )
