"""The command `upgrade_solver_proto_text`."""

from __future__ import annotations

from collections.abc import Sequence

from caffe.cli import tools, upgrade
from caffe.errors import CheckError

_PROGRAM = "upgrade_solver_proto_text"
_USAGE = """\
usage: upgrade_solver_proto_text old_solver_proto_file_in solver_proto_file_out

Writes the text of a solver of an older Caffe in today's form.

example:
  upgrade_solver_proto_text old_solver.prototxt solver.prototxt"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; default: the process's."""
    return tools.run(_PROGRAM, _USAGE, _work, arguments)


def _work(words: list[str]) -> None:
    from caffe.proto import caffe_pb2
    from caffe.proto.text import read_text
    from caffe.proto.upgrade import upgrade_solver

    old, new = tools.two_files(words)
    before = read_text(old, caffe_pb2.SolverParameter())
    solver = caffe_pb2.SolverParameter()
    solver.CopyFrom(before)
    try:
        upgrade_solver(solver)
    except CheckError as error:
        raise CheckError(f"{old}: {error}") from error
    upgrade.tell_if_same(before, solver, old, "upgrade_solver_proto_text.cpp:44")
    upgrade.write_text(solver, new, "upgrade_solver_proto_text.cpp:49")
