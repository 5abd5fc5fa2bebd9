"""``pyunet data make``, and what other packages add to it."""

from __future__ import annotations

import argparse
from importlib.metadata import entry_points

import pyunet.cli.data_make as data_make

NAME = "data"
HELP = "make, check and preview training sets, or make a synthetic stack"
OTHERS = "pyunet.data"  # group of entry points: modules with HELP, EXAMPLE, add, run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of this verb, those of other packages by their entry points."""
    from pyunet.cli import add_commands

    others = {entry.name: entry for entry in entry_points(group=OTHERS)}
    modules = {"make": data_make}
    modules |= {name: others[name].load() for name in sorted(others)}
    add_commands(
        parser,
        (
            (name, module.HELP, module.EXAMPLE, module.add, module.run)
            for name, module in modules.items()
        ),
    )
