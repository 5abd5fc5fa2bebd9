"""``pyunet zoo list|info|fetch|verify|path|add``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyunet.cli.zoo_add as zoo_add
from pyunet.cli.saying import say

if TYPE_CHECKING:
    from pyunet.zoo.manifest import Entry

HELP = "list, fetch, check and add trained models"
LIST = "name all trained models and say which are here"
INFO = "say what is known of a model"
FETCH = "download a model from where its authors published it"
VERIFY = "compare the files of models with their checksums"
PATH = "print the files of a model, its net and its weights"
EXAMPLES = {
    "list": """\
example:
  pyunet zoo list

here: can be used. to fetch: is downloaded when it is first used, or by fetch.
missing: this copy of the project has no file for it. PYUNET_CACHE is the folder of
what is downloaded or added (default: the system's folder for caches).
""",
    "info": "example:\n  pyunet zoo info em-membranes\n",
    "fetch": """\
example:
  pyunet zoo fetch phseg_v5

A download that broke off goes on where it stopped. Where no checksum is known, that of
the first download is kept, and later ones must be the same (NAME/download.sha256 in the
folder of downloads; without it the next one decides). Several processes may fetch at
once: one does it, the others wait.
""",
    "verify": "example:\n  pyunet zoo verify\n",
    "path": 'example:\n  pyunet info "$(pyunet zoo path phseg_v5 | head -n 1)"\n',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of this verb."""
    from pyunet.cli import add_commands

    add_commands(
        parser,
        (
            ("list", LIST, EXAMPLES["list"], lambda _: None, _list),
            ("info", INFO, EXAMPLES["info"], _add_name, _info),
            ("fetch", FETCH, EXAMPLES["fetch"], _add_fetch, _fetch),
            ("verify", VERIFY, EXAMPLES["verify"], _add_names, _verify),
            ("path", PATH, EXAMPLES["path"], _add_name, _path),
            ("add", zoo_add.HELP, zoo_add.EXAMPLE, zoo_add.add, zoo_add.run),
        ),
    )


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of pyunet zoo list")


def _add_fetch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help="of pyunet zoo list")
    parser.add_argument(
        "--again", action="store_true", help="also what is here already"
    )


def _add_names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="of pyunet zoo list (default: all)"
    )


def _list(_: argparse.Namespace) -> int:
    from pyunet.zoo.manifest import entries, state

    known = entries()
    width = max(map(len, known), default=0)
    for name, entry in known.items():
        say(f"{name:{width}}  {state(entry):8}  {entry.what}")
    return 0


def _info(args: argparse.Namespace) -> int:
    from pyunet.zoo.manifest import find_entry

    for title, text in _lines(find_entry(args.name)):
        say(f"{title:13} {text}")
    return 0


def _lines(entry: Entry) -> Iterator[tuple[str, str]]:
    from pyunet.zoo.manifest import state

    yield "name", entry.name
    yield "segments", entry.what
    yield "state", state(entry)
    yield "weights", entry.file or entry.member or "the download itself"
    for url in entry.urls:
        yield "url", url
    unknown = "not known; pinned on first use" if entry.urls else "not in its list"
    yield "sha256", entry.sha256 or unknown
    if entry.size:
        yield "size", f"{entry.size / 1e6:.1f} MB"
    yield "licence", entry.licence
    yield "citation", entry.citation or "none"
    if entry.collection:
        return
    yield "net", entry.prototxt or entry.definition
    yield from _input_lines(entry)
    yield "classes", ", ".join(entry.classes) or "not named"
    yield "averaging", entry.average or "none"
    if entry.thumbnail:
        yield "thumbnail", str(entry.folder / entry.thumbnail)
    for score in entry.scores:
        yield "measured", f"{score.metric} {score.value:g} on {score.data}"
        if score.command:
            yield "  by", score.command
    if not entry.scores:
        yield "measured", "nothing here"


def _input_lines(entry: Entry) -> Iterator[tuple[str, str]]:
    wanted = entry.input
    size = wanted.pixel_size_um
    yield "channels", f"{wanted.channels} ({wanted.take})"
    if wanted.eye_width_px:
        width = f"{wanted.eye_width_px:g} pixels"
        yield "pixel size", f"any; the field of view is brought to a width of {width}"
    else:
        known = f"{size:g} um" if size else "any; images are taken as they are"
        yield "pixel size", known
    within = f", within {wanted.window_px:g} pixels" if wanted.window_px else ""
    yield "normalisation", f"{wanted.normalisation}{within}"
    if wanted.deviation:
        yield "grey values", f"mean {wanted.mean:g}, deviation {wanted.deviation:g}"


def _fetch(args: argparse.Namespace) -> int:
    from pyunet.zoo.fetching import bring, fetch
    from pyunet.zoo.manifest import find_entry, state

    for entry in [find_entry(name) for name in args.names]:
        if entry.urls and (args.again or state(entry) != "here"):
            files = bring(entry, again=args.again)
        elif entry.collection:
            files = [entry.cache]
        else:
            found = fetch(entry)
            files = [found.model, found.weights]
        for path in files:
            print(path)
    return 0


def _verify(args: argparse.Namespace) -> int:
    """Check all, then fail if one is not what it should be."""
    from pyunet.errors import DataError
    from pyunet.zoo.fetching import verify
    from pyunet.zoo.manifest import entries, find_entry

    chosen = [find_entry(name) for name in args.names] or entries().values()
    wrong = 0
    for entry in chosen:
        try:
            say(f"{entry.name}: {verify(entry)}")
        except DataError as error:
            say(f"{entry.name}: WRONG: {error}")
            wrong += 1
    return 1 if wrong else 0


def _path(args: argparse.Namespace) -> int:
    from pyunet.zoo.fetching import files_of
    from pyunet.zoo.manifest import find_entry

    files = files_of(find_entry(args.name))
    print(files.model)
    print(files.weights)
    return 0
