"""``pyunet modeldef create|show|check``."""

from __future__ import annotations

import argparse
from pathlib import Path

import pyunet_fiji.cli.modeldef_create as modeldef_create
import pyunet_fiji.cli.modeldef_show as modeldef_show
from pyunet.cli.saying import say

HELP = "make, show and check model definitions (.modeldef.h5) of the Fiji plugin"
CHECK = "say what is wrong with a .modeldef.h5, before the plugin or caffe_unet does"
CHECK_EXAMPLE = """\
example:
  pyunet modeldef check cells_v1.modeldef.h5 --weights cells_v1.caffemodel.h5

prints what is wrong, what it leads to, and what is accepted; notes are worth knowing.
The exit status is 1 if caffe_unet or the plugin would refuse the model, or results
would be wrong, else 0.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of this verb."""
    from pyunet.cli import add_commands

    add_commands(
        parser,
        (
            (
                "create",
                modeldef_create.HELP,
                modeldef_create.EXAMPLE,
                modeldef_create.add,
                modeldef_create.run,
            ),
            (
                "show",
                modeldef_show.HELP,
                modeldef_show.EXAMPLE,
                modeldef_show.add,
                modeldef_show.run,
            ),
            ("check", CHECK, CHECK_EXAMPLE, _add_check, _check),
        ),
    )


def _add_check(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help=".modeldef.h5")
    add("--weights", type=Path, metavar="W", help=".caffemodel.h5 or .caffemodel")


def _check(args: argparse.Namespace) -> int:
    from pyunet_fiji.modeldef.checks import check_modeldef
    from pyunet_fiji.modeldef.findings import problems

    findings = check_modeldef(args.model, weights=args.weights)
    for found in findings:
        print(found)
    grave = problems(findings)
    name = f"{args.model} and {args.weights}" if args.weights else str(args.model)
    say(f"{name}: {f'{len(grave)} problem(s)' if grave else 'nothing is wrong'}")
    return 1 if grave else 0
