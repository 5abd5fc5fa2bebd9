"""Command-line flags in the manner of gflags, which Caffe's commands use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from caffe import __version__, init_log
from caffe.errors import CaffeError


class FlagError(CaffeError):
    """A flag that is not known, or whose value is not of its kind."""


def flag(default: Any, text: str) -> Any:
    """Declare a flag in a dataclass: its default, which says its type, and its text."""
    return field(default=default, metadata={"help": text})


@dataclass
class CommonFlags:
    """The flags that every command has."""

    minloglevel: int = flag(
        0, "Least level logged: 0 information, 1 warnings, 2 errors."
    )
    logtostderr: bool = flag(False, "Accepted; the log always goes to stderr.")
    alsologtostderr: bool = flag(True, "Accepted; the log always goes to stderr.")
    debug: bool = flag(False, "Show where an error was raised.")
    help: bool = flag(False, "Show this text.")
    version: bool = flag(False, "Show the version.")


@dataclass
class Flags(CommonFlags):
    """The flags of the command `caffe` and their values."""

    gpu: str = flag("", "GPUs to use, separated by ',', or 'all'; nothing for the CPU.")
    ranks: int = flag(
        1, "Processes that train together on the CPU; GPUs have one each."
    )
    solver: str = flag("", "The solver definition protocol buffer text file.")
    model: str = flag("", "The model definition protocol buffer text file.")
    phase: str = flag("", "Network phase (TRAIN or TEST). Only used for 'time'.")
    level: int = flag(0, "Network level.")
    stage: str = flag("", "Network stages, separated by ','.")
    snapshot: str = flag("", "The solver state to resume training from.")
    weights: str = flag(
        "", "Trained weights, separated by ',', to start from. Not with snapshot."
    )
    log: str = flag(
        "",
        "The folder for train.log, train.csv, test.csv and TensorBoard's files of "
        "'train'.",
    )
    precision: str = flag(
        "float32",
        "What 'train', 'test' and 'time' round to: float32, bf16, or tf32 (GPUs).",
    )
    dialects: str = flag(
        "",
        "Dialects, separated by ',': the first that has a layer's type is meant where "
        "several have it.",
    )
    output: str = flag("", "The file that 'upgrade' writes.")
    crop: str = flag(
        "explicit",
        "What Crop means without offsets, for 'upgrade': explicit (axis 2, offset 0) "
        "or coordinate_maps (as in files of the 2015 dialect).",
    )
    iterations: int = flag(50, "The number of iterations to run.")
    sigint_effect: str = flag(
        "stop", "What to do on SIGINT: snapshot, stop or none; SIGTERM stops."
    )
    sighup_effect: str = flag(
        "snapshot", "What to do on SIGHUP: snapshot, stop or none."
    )

    @property
    def preferred(self) -> list[str]:
        """Names in `dialects`."""
        return [name for name in self.dialects.split(",") if name]


_Kind = TypeVar("_Kind", bound=CommonFlags)


def begin(flags: CommonFlags) -> bool:
    """Follow the flags that every command has; tell whether that was all."""
    if flags.minloglevel:
        init_log(flags.minloglevel)
    if flags.version:
        print(f"caffe version {__version__}")
    return flags.version


def parse(arguments: Sequence[str]) -> tuple[Flags, list[str]]:
    """Take the flags of the command `caffe` out of a command line; see `parse_as`.

    Examples
    --------
    >>> flags, rest = parse(["-gpu", "0", "train", "--solver=s.prototxt"])
    >>> flags.gpu, flags.solver, rest
    ('0', 's.prototxt', ['train'])
    """
    return parse_as(Flags, arguments)


def parse_as(kind: type[_Kind], arguments: Sequence[str]) -> tuple[_Kind, list[str]]:
    """Take flags out of a command line, wherever they stand in it.

    ``-flag value``, ``--flag value``, ``-flag=value``; for switches ``-flag``,
    ``-noflag``, ``-flag=true``. ``--`` ends the flags.

    Parameters
    ----------
    kind : type
        A dataclass; its fields are made by `flag`.
    arguments : sequence of str

    Returns
    -------
    flags : kind
    rest : list of str
        What is no flag.

    Raises
    ------
    FlagError
        If a flag is unknown, lacks its value or has one of the wrong kind.
    """
    flags, waiting = kind(), list(arguments)
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


def table(kind: type[CommonFlags] = Flags) -> str:
    """Describe all flags, one a line; those that every command has come last."""
    common = {item.name for item in fields(CommonFlags)}
    return "\n".join(
        f"    -{item.name} ({item.metadata['help']}) type: "
        f"{_type(item.default)} default: {_shown(item.default)}"
        for item in sorted(fields(kind), key=lambda item: item.name in common)
    )


def _set(flags: CommonFlags, name: str, value: str | None, waiting: list[str]) -> None:
    defaults = {item.name: item.default for item in fields(flags)}
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
            f"illegal value '{value}' specified for {_type(default)} flag '{name}'"
        ) from None


def _type(default: Any) -> str:
    return {bool: "bool", int: "int32", str: "string"}[type(default)]


def _shown(default: Any) -> str:
    return f'"{default}"' if isinstance(default, str) else str(default).lower()
