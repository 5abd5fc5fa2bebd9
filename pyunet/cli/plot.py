"""``pyunet plot``: draw the curves in the logs of trainings."""

from __future__ import annotations

import argparse
from pathlib import Path

from pyunet.cli.saying import say

HELP = "Draw loss and validation curves from logs of Caffe, old ones too."
EPILOG = """\
A LOG is what a training by any Caffe wrote to the standard error, or a folder of
`caffe train --log`. Several come into one picture. Each output of the nets that is no
loss has a panel of its own; the learning rate has one if it changes.

examples:
  pyunet plot runs/1 -o curves.png
  pyunet plot old.log new.log --smooth 9 -o both.png"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("logs", nargs="+", type=Path, metavar="LOG", help="a log, or a folder with one")
    add(
        "-o",
        "--out",
        type=Path,
        default=Path("curves.png"),
        metavar="PICTURE",
        help="where the picture goes: .png, .svg, .pdf, ... (default: %(default)s)",
    )
    add(
        "--smooth",
        type=_count,
        default=1,
        metavar="N",
        help="draw the mean of N neighbouring points of training curves, and the "
        "points pale (default: the points)",
    )


def run(args: argparse.Namespace) -> int:
    """Read the logs and write the picture."""
    from pyunet.training_logs.charts import charts_of, write_charts
    from pyunet.training_logs.reader import read_logs

    charts = charts_of(read_logs(args.logs))
    write_charts(args.out, charts, smooth=args.smooth)
    say(f"{args.out}: {', '.join(chart.title for chart in charts)}")
    return 0


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of points above 0")
    return int(text)
