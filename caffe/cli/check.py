"""``caffe check``: say all that keeps a net from being built."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from caffe.cli.flags import Flags
from caffe.errors import CheckError, UnknownNamesError, one_line
from caffe.glog import muted

if TYPE_CHECKING:
    from caffe.engine.checking import Findings

NAME = "check"
HELP = "say all that keeps a net from being built: NET.prototxt [WEIGHTS]"
OPERANDS = ("model", "weights")

_ERRORS = 2
_PHASES = {"TRAIN": (0,), "TEST": (1,), "": (0, 1)}


def run(flags: Flags) -> int:
    """Check a net in both phases, or in one.

    Returns
    -------
    int
        0: it can be built, and its weights fill it; 1: there are faults, or layers
        without weights.

    Raises
    ------
    CaffeError
        If a flag is wrong, or a file can't be read.
    """
    if not flags.model:
        raise CheckError("Need a net: caffe check NET.prototxt [WEIGHTS]")
    if flags.phase not in _PHASES:
        raise CheckError(f"-phase must be TRAIN or TEST, it is '{flags.phase}'")

    import caffe
    from caffe.engine.checking import check_net
    from caffe.engine.unknown import read_net

    caffe.prefer_dialects(*flags.preferred)
    try:
        net = read_net(flags.model)
    except UnknownNamesError as error:
        _say(flags.model, str(error).removeprefix(f"{flags.model}:").split("; "))
        return 1
    net.state.level = flags.level
    net.state.stage.extend(name for name in flags.stage.split(",") if name)
    phases = _PHASES[flags.phase]
    with muted(_ERRORS):
        found = [check_net(net, phase, flags.weights or None) for phase in phases]
    if not any(each.meant for each in found):
        raise CheckError(f"{flags.model}: no layer gives data in any phase")
    for each in found:
        _say(f"{flags.model}: phase {each.phase}", _lines(each, flags.weights))
    return int(not all(each.sound for each in found))


def _lines(found: Findings, weights: str) -> list[str]:
    """Say what was found in one phase, a line for each thing."""
    if not found.meant:
        return ["no layer gives data: the net is not for this phase"]
    lines = list(found.faults)
    if found.behind:
        lines.append(f"{found.behind} layers behind these were not checked")
    absent = dict.fromkeys(gap.layer for gap in found.gaps if gap.found is None)
    lines += [f"layer '{name}' gets no weights" for name in absent]
    lines += [
        f"layer '{gap.layer}', parameter {gap.index}: the weights have shape "
        f"{gap.found}, the net {gap.wanted}"
        for gap in found.gaps
        if gap.found is not None
    ]
    lines += [f"layer '{name}' of the weights is not in it" for name in found.left_over]
    if found.sound:
        lines.append(f"it can be built{', and gets its weights' if weights else ''}")
    return lines


def _say(heading: str, lines: list[str]) -> None:
    sys.stdout.write(f"{one_line(heading)}\n")
    sys.stdout.writelines(f"  {one_line(line.strip(), 2000)}\n" for line in lines)
