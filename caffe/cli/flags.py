"""Command-line flags in the manner of gflags, which Caffe's commands use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from caffe.errors import CaffeError


class FlagError(CaffeError):
    """A flag that is not known, or whose value is not of its kind."""


def _flag(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass
class Flags:
    """The flags of the command `caffe` and their values."""

    gpu: str = _flag("", "GPU to use, 'all', or nothing for the CPU")
    solver: str = _flag("", "The solver definition protocol buffer text file.")
    model: str = _flag("", "The model definition protocol buffer text file.")
    phase: str = _flag("", "Network phase (TRAIN or TEST). Only used for 'time'.")
    level: int = _flag(0, "Network level.")
    stage: str = _flag("", "Network stages, separated by ','.")
    snapshot: str = _flag("", "The solver state to resume training from.")
    weights: str = _flag(
        "", "Trained weights, separated by ',', to start from. Not with snapshot."
    )
    output: str = _flag("", "The file that 'upgrade' writes.")
    crop: str = _flag(
        "explicit",
        "What Crop means without offsets, for 'upgrade': explicit (axis 2, offset 0) "
        "or coordinate_maps (as in files of the 2015 dialect).",
    )
    iterations: int = _flag(50, "The number of iterations to run.")
    sigint_effect: str = _flag(
        "stop", "What to do on SIGINT: snapshot, stop or none; SIGTERM stops."
    )
    sighup_effect: str = _flag(
        "snapshot", "What to do on SIGHUP: snapshot, stop or none."
    )
    minloglevel: int = _flag(
        0, "Least level logged: 0 information, 1 warnings, 2 errors."
    )
    logtostderr: bool = _flag(False, "Accepted; the log always goes to stderr.")
    alsologtostderr: bool = _flag(True, "Accepted; the log always goes to stderr.")
    debug: bool = _flag(False, "Show where an error was raised.")
    help: bool = _flag(False, "Show this text.")
    version: bool = _flag(False, "Show the version.")


def parse(arguments: Sequence[str]) -> tuple[Flags, list[str]]:
    """Take flags out of a command line, wherever they stand in it.

    ``-flag value``, ``--flag value``, ``-flag=value``; for switches ``-flag``,
    ``-noflag``, ``-flag=true``. ``--`` ends the flags.

    Returns
    -------
    flags : Flags
    rest : list of str
        What is no flag.

    Raises
    ------
    FlagError
        If a flag is unknown, lacks its value or has one of the wrong kind.

    Examples
    --------
    >>> flags, rest = parse(["-gpu", "0", "train", "--solver=s.prototxt"])
    >>> flags.gpu, flags.solver, rest
    ('0', 's.prototxt', ['train'])
    """
    flags, waiting = Flags(), list(arguments)
    rest: list[str] = []
    while waiting:
        argument = waiting.pop(0)
        if argument == "--":
            return flags, rest + waiting
        if not argument.startswith("-") or argument == "-":
            rest.append(argument)
            continue
        text = argument[2:] if argument.startswith("--") else argument[1:]
        name, given, value = text.partition("=")
        _set(flags, name.replace("-", "_"), value if given else None, waiting)
    return flags, rest


def table() -> str:
    """Describe all flags, one a line."""
    return "\n".join(
        f"    -{item.name} ({item.metadata['help']}) type: "
        f"{_kind(item.default)} default: {_shown(item.default)}"
        for item in fields(Flags)
    )


def _set(flags: Flags, name: str, value: str | None, waiting: list[str]) -> None:
    defaults = {item.name: item.default for item in fields(Flags)}
    if name.startswith("no") and isinstance(defaults.get(name[2:]), bool):
        name, value = name[2:], "false" if value is None else value
    if name not in defaults:
        raise FlagError(f"unknown command line flag '{name}'")
    if value is None and isinstance(defaults[name], bool):
        value = "true"
    if value is None:
        if not waiting:
            raise FlagError(f"flag '-{name}' is missing its argument")
        value = waiting.pop(0)
    setattr(flags, name, _converted(name, value, defaults[name]))


def _converted(name: str, value: str, default: Any) -> Any:
    try:
        if isinstance(default, bool):
            return {"true": True, "1": True, "false": False, "0": False}[value.lower()]
        return type(default)(value)
    except (KeyError, ValueError):
        raise FlagError(
            f"illegal value '{value}' specified for {_kind(default)} flag '{name}'"
        ) from None


def _kind(default: Any) -> str:
    return {bool: "bool", int: "int32", str: "string"}[type(default)]


def _shown(default: Any) -> str:
    return f'"{default}"' if isinstance(default, str) else str(default).lower()
