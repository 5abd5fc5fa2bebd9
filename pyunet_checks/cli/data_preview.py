"""``pyunet data preview``."""

from __future__ import annotations

import argparse
import itertools
from dataclasses import replace
from pathlib import Path

from pyunet.cli.data_make import add_recipe, add_sources, load, recipe
from pyunet.cli.saying import say

HELP = "draw training tiles beside the images that they are cut from"
EXAMPLE = """\
example:
  pyunet data preview --images train-volume.tif --labels train-labels.tif \\
      --field freiburg --samples 4 --out preview.png

draws 4 augmented tiles as `pyunet data make` with the same options would make them:
the image with the bent grid, the tile, its labels' outlines, its weights.
"""
MOST = 20


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add_sources(parser)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="PNG", help="the picture"
    )
    add_recipe(parser)
    parser.set_defaults(samples=4)


def run(args: argparse.Namespace) -> int:
    """Write the picture and say what is on it."""
    from pyunet.data.training_set import TileSource
    from pyunet_checks.preview import preview_png

    settings = recipe(args)
    settings = replace(settings, samples=min(settings.samples, MOST))
    grey, labels = load(args)
    print(labels.sentence)
    source = TileSource(grey, labels, settings)
    draws = list(itertools.islice(source.draws(), MOST))
    preview_png(args.out, grey, labels, draws, settings)
    numbers = ", ".join(str(draw.number) for draw in draws)
    say(f"{args.out}: {len(draws)} tiles, of image {numbers}")
    return 0
