"""The command ``pyunet VERB ...``.

A verb is a module with three names: ``HELP`` (one line), ``add_arguments(parser)`` and
``run(args) -> int`` (the exit status). Ours are ``pyunet.cli.<verb>``; those of other
packages are found by their entry points (group ``pyunet.verbs``, the module as value).
Such a module imports what is heavy inside its functions, so that ``pyunet --help`` is
instant. Only the module of the verb that was typed is imported.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import gc
import importlib
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import entry_points
from types import ModuleType
from typing import NoReturn

from caffe.errors import CaffeError
from caffe.streams import while_read
from pyunet import __version__
from pyunet.cli.ending import Ended, ended_by_signals
from pyunet.cli.saying import OneLine
from pyunet.errors import PyunetError, one_line
from pyunet.memory import memory_errors

AddArguments = Callable[[argparse.ArgumentParser], object]
Run = Callable[[argparse.Namespace], int]
VERBS = ("data", "segment", "plot", "info", "zoo")
OTHERS = "pyunet.verbs"  # group of entry points


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after the program's name; default ``sys.argv[1:]``.

    Returns
    -------
    int
        0 done, 1 refused (one line on stderr says why), 2 not a command line that
        exists, 130 interrupted, 128 and its number: ended by a signal, 141 nobody
        reads what is printed. ``--debug`` raises the error instead.

    Examples
    --------
    >>> main(["--version"])
    pyunet 0.7.0
    0
    """
    # to look for garbage before the process ends takes 0.3 s where torch is loaded
    atexit.register(gc.freeze)
    words = sys.argv[1:] if argv is None else list(argv)
    return while_read(lambda: _status(words))


def _status(words: list[str]) -> int:
    try:
        args = _parser(words).parse_args(words)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    with _messages():
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    try:
        with ended_by_signals(), memory_errors():
            return int(args.run(args))
    except Ended as signal:
        print(f"{args.prog}: ended by {signal.name}", file=sys.stderr)
        return signal.status
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        print(f"{args.prog}: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if args.debug:
            raise
        print(one_line(f"{args.prog}: {_text(error)}"), file=sys.stderr)
        return 1


def _text(error: Exception) -> str:
    """Give the text of an error; one that nobody raised on purpose is a fault."""
    if isinstance(error, (PyunetError, CaffeError, OSError)):
        return str(error) or type(error).__name__
    kind = type(error).__name__
    return f"a fault of pyunet itself, please report it: {kind}: {error}"


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, too, whatever was typed."""

    def error(self, message: str) -> NoReturn:
        super().error(one_line(message))


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="pyunet",
        description="Make training data, segment images and score segmentations.",
        epilog="Training is Caffe's: caffe train -solver SOLVER.prototxt",
    )
    parser.add_argument("--version", action="version", version=f"pyunet {__version__}")
    add_debug(parser, default=False)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    typed = _typed(words)
    for name, module in _modules(typed).items():
        verb = verbs.add_parser(
            name,
            help=module.HELP,
            description=module.HELP,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if typed:
            module.add_arguments(verb)
            add_debug(verb, default=argparse.SUPPRESS)
            verb.set_defaults(prog=verb.prog)
            if verb.get_default("run") is None:
                verb.set_defaults(run=module.run)
    return parser


def verb_names() -> list[str]:
    """Name all verbs: ours, then those of the packages that are installed."""
    return [*VERBS, *sorted(entry_points(group=OTHERS).names)]


def _typed(words: Sequence[str]) -> str | None:
    """Find the verb among the words: the first that is no option."""
    return next((word for word in words if not word.startswith("-")), None)


def _modules(typed: str | None) -> dict[str, ModuleType]:
    """Import the verb that was typed; all where there is none of that name."""
    if typed in VERBS:
        return {typed: importlib.import_module(f"pyunet.cli.{typed}")}
    found = {entry.name: entry for entry in entry_points(group=OTHERS)}
    if typed in found:
        return {typed: found[typed].load()}
    ours = {name: importlib.import_module(f"pyunet.cli.{name}") for name in VERBS}
    return ours | {name: found[name].load() for name in sorted(found)}


def add_commands(
    parser: argparse.ArgumentParser,
    commands: Iterable[tuple[str, str, str, AddArguments, Run]],
) -> None:
    """Give a verb commands of its own.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The verb's.
    commands : iterable of (name, help, examples, add, run)
        ``add(parser)`` adds the command's arguments, ``run(args)`` carries it out.
    """
    parser.set_defaults(run=lambda args: int(args.command(args)))
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, text, examples, add, run in commands:
        sub = subparsers.add_parser(
            name,
            help=text,
            description=text,
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add(sub)
        add_debug(sub, default=argparse.SUPPRESS)
        sub.set_defaults(command=run, prog=sub.prog)


def add_debug(parser: argparse.ArgumentParser, *, default: object) -> None:
    """Add ``--debug`` to a parser; every verb has it already."""
    parser.add_argument(
        "--debug",
        action="store_true",
        default=default,
        help="on an error show where it came from",
    )


@contextlib.contextmanager
def _messages() -> Iterator[None]:
    """Show what our packages log (what was understood, what is odd) on stderr."""
    logger = logging.getLogger()
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_is_for_the_user)
    handler.setFormatter(OneLine())
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _is_for_the_user(record: logging.LogRecord) -> bool:
    """Let through what our packages say, and of libraries what is odd."""
    return record.name.startswith("pyunet") or record.levelno >= logging.WARNING
