"""``pyunet reproduce``: repeat a published result on the user's copy of the data."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyunet_reproduce.recipes import Recipe

HELP = "Repeat a published U-Net result: data, training, scores, a table."
EPILOG = """\
A recipe says which files of the data set train and which are tested, the net, the
training and the scores; --list names all of them with their published rows. NAME
alone says where the data set is published and what folder is expected.

Ctrl-C stops after a snapshot; the same command goes on there. OUT gets a folder for
each seed and fold, results.json, the table as .txt, .csv and .html, and
measured.toml, whose entries --list shows once they stand in the package's own.

example:
  pyunet reproduce drive --data DRIVE --seeds 0,1,2 --out reproduced/drive
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("name", nargs="?", metavar="NAME", help="a recipe, or a .toml file of one")
    add("--list", action="store_true", help="show all published rows and recipes")
    add("--data", type=Path, metavar="DIR", help="the data set's folder")
    add(
        "--net", metavar="NET",
        help="another net of the recipe, such as fcn8s (default: its first)",
    )  # fmt: skip
    add(
        "--out", type=Path, metavar="DIR",
        help="folder of the results (default: reproduced/NAME, of another net "
        "reproduced/NAME_NET)",
    )  # fmt: skip
    add(
        "--seeds", type=_numbers, default=(0,), metavar="N,N,...",
        help="of the training tiles and first weights (default: 0)",
    )  # fmt: skip
    add(
        "--fold", type=_numbers, metavar="N,N,...",
        help="only these folds, counted from 0 (default: all)",
    )  # fmt: skip
    add(
        "--iterations", type=int, metavar="N",
        help="steps of training (default: the recipe's)",
    )  # fmt: skip
    add(
        "--samples", type=int, metavar="N",
        help="different training tiles (default: the recipe's)",
    )  # fmt: skip
    add("--gpu", type=int, metavar="N", help="run on this GPU (default: the CPU)")
    add(
        "--precision", choices=("float32", "bf16", "tf32"), default="float32",
        help="of training and prediction; bf16: faster on the CPU, tf32: on a GPU "
        "(default: float32)",
    )  # fmt: skip
    add("--by", default="", metavar="NAME", help="who measures, for measured.toml")
    add(
        "--format", default="text", choices=("text", "csv", "html"),
        help="of the table that is printed (default: text)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """List, explain or carry out a recipe."""
    from pyunet.errors import DataError
    from pyunet_reproduce.recipes import read_recipe
    from pyunet_reproduce.tables import FORMATS, all_rows

    if args.list:
        print(FORMATS[args.format](all_rows()), end="")
        return 0
    if args.name is None:
        raise DataError("no recipe is named; --list shows all")
    recipe = read_recipe(args.name)
    if args.data is None:
        _explain(recipe)
        return 0
    own, chosen = recipe.net.name, recipe.with_net(args.net or recipe.net.name)
    folder = recipe.name if chosen.net.name == own else f"{recipe.name}_{args.net}"
    return _reproduce(args, _changed(chosen, args), Path("reproduced") / folder)


def _reproduce(args: argparse.Namespace, recipe: Recipe, default: Path) -> int:
    from pyunet.files import followed
    from pyunet.inference.engine import choose_computation
    from pyunet_reproduce.runner import Job, load_runs, reproduce
    from pyunet_reproduce.tables import FORMATS, write_results
    from pyunet_reproduce.training import be_quiet

    out = args.out or default
    be_quiet()
    choose_computation(precision=args.precision)
    # Caffe reads the names of its HDF5 files from where it was started
    job = Job(recipe, args.data, followed(out), args.gpu)
    reproduce(job, seeds=args.seeds, folds=args.fold)
    table, written = write_results(job.out, recipe, load_runs(job.out), by=args.by)
    print(FORMATS[args.format](table), end="")
    if args.format == "text":
        print("written:", ", ".join(str(path) for path in written))
    return 0


def _changed(recipe: Recipe, args: argparse.Namespace) -> Recipe:
    from pyunet.errors import DataError

    changes = {
        name: getattr(args, name)
        for name in ("iterations", "samples")
        if getattr(args, name) is not None
    }
    for name, value in changes.items():
        if value < 1:
            raise DataError(f"--{name} {value}: expected 1 or more")
    return replace(recipe, training=replace(recipe.training, **changes))


def _explain(recipe: Recipe) -> None:
    """Say what is needed for a recipe and what it compares with."""
    from pyunet_reproduce.tables import result_table

    print(f"{recipe.title}\n\npublished at  {recipe.published_at}")
    print(f"terms         {recipe.terms}\n\nexpected in --data DIR:\n")
    print("\n".join(f"    {line}" for line in recipe.layout.strip().splitlines()))
    for other in recipe.others:
        print(f"\n--net {other.name} trains {other.model}")
    if recipe.note:
        print(f"\n{recipe.note.strip()}")
    print(f"\n{result_table(recipe, []).text()}")


def _numbers(text: str) -> tuple[int, ...]:
    words = text.split(",")
    if not all(word.isdecimal() for word in words):
        raise argparse.ArgumentTypeError(f"{text!r} is not numbers such as 0,1,2")
    return tuple(dict.fromkeys(int(word) for word in words))
