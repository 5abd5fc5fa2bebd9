"""The command `upgrade_net_proto_text`."""

from __future__ import annotations

from collections.abc import Sequence

from caffe.cli import tools, upgrade

_PROGRAM = "upgrade_net_proto_text"
_USAGE = """\
usage: upgrade_net_proto_text v0_net_proto_file_in net_proto_file_out

Writes the text of a net of any older Caffe in today's form.

example:
  upgrade_net_proto_text old.prototxt new.prototxt"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; default: the process's."""
    return tools.run(_PROGRAM, _USAGE, _work, arguments)


def _work(words: list[str]) -> None:
    from caffe.proto import caffe_pb2, files
    from caffe.proto.text import read_text

    old, new = tools.two_files(words)
    net = files.read_net(old)
    before = read_text(old, caffe_pb2.NetParameter())
    upgrade.tell_if_same(before, net, old, "upgrade_net_proto_text.cpp:43")
    upgrade.write_text(net, new, "upgrade_net_proto_text.cpp:49")
