"""Command-line flags in the manner of gflags, which Caffe's commands use.

A command declares its flags as the fields of a dataclass, made by `flag`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from caffe.errors import CaffeError

_TRUE, _FALSE = ("1", "t", "true", "y", "yes"), ("0", "f", "false", "n", "no")
_INTEGER = re.compile(r"[+-]?\d+|0[xX][0-9a-fA-F]+")
_INT32 = range(-(2**31), 2**31)
_TYPES = {bool: "bool", int: "int32", str: "string"}


class FlagError(CaffeError):
    """Flags that are unknown, lack their value or have one of the wrong type.

    Attributes
    ----------
    faults : tuple of str
        One text for each of them.
    """

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def flag(default: Any, text: str) -> Any:
    """Declare a flag in a dataclass: its default, which says its type, and its help."""
    return field(default=default, metadata={"help": text})


@dataclass
class CommonFlags:
    """The flags that every command has."""

    minloglevel: int = flag(
        0, "Least level logged: 0 information, 1 warnings, 2 errors, 3 fatal."
    )
    logtostderr: bool = flag(False, "Accepted; the log always goes to stderr.")
    alsologtostderr: bool = flag(True, "Accepted; the log always goes to stderr.")
    help: bool = flag(False, "Show this text.")
    version: bool = flag(False, "Show the version.")


_Flags = TypeVar("_Flags", bound=CommonFlags)


def parse_flags(
    kind: type[_Flags], arguments: Sequence[str]
) -> tuple[_Flags, list[str]]:
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
        The arguments that are not flags.

    Raises
    ------
    FlagError
        If flags are unknown, lack their value or have one of the wrong type; all of
        them are named. Not where ``-help`` is among them.
    """
    flags, waiting = kind(), list(arguments)
    rest: list[str] = []
    faults: list[str] = []
    while waiting:
        argument = waiting.pop(0)
        if argument == "--":
            rest += waiting
            break
        if not argument.startswith("-") or argument == "-":
            rest.append(argument)
            continue
        text = argument[2:] if argument.startswith("--") else argument[1:]
        name, given, value = text.partition("=")
        try:
            _set(flags, name.replace("-", "_"), value if given else None, waiting)
        except FlagError as error:
            faults += error.faults
    if faults and not flags.help:
        raise FlagError(*faults)
    return flags, rest


def flag_table(kind: type[CommonFlags]) -> str:
    """Describe all flags, one a line; those that every command has come last."""
    common = {item.name for item in fields(CommonFlags)}
    return "\n".join(
        f"    -{item.name} ({item.metadata['help']}) type: "
        f"{_TYPES[type(item.default)]} default: {_shown(item.default)}"
        for item in sorted(fields(kind), key=lambda item: item.name in common)
    )


def _set(flags: CommonFlags, name: str, value: str | None, waiting: list[str]) -> None:
    defaults: dict[str, Any] = {item.name: item.default for item in fields(flags)}
    if name.startswith("no") and isinstance(defaults.get(name[2:]), bool):
        name, value = name[2:], "false"  # whatever follows an "=", as gflags has it
    if name not in defaults:
        raise FlagError(f"unknown command line flag '{name}'")
    if value is None and isinstance(defaults[name], bool):
        value = "true"
    if value is None:
        if not waiting:
            raise FlagError(f"flag '-{name}' is missing its argument")
        value = waiting.pop(0)
    setattr(flags, name, _converted(name, value, defaults[name]))


def _converted(name: str, value: str, default: bool | int | str) -> bool | int | str:
    if isinstance(default, str):
        return value
    if isinstance(default, bool):
        if value.lower() in _TRUE + _FALSE:
            return value.lower() in _TRUE
    elif _INTEGER.fullmatch(value):
        number = int(value, 16 if value[:2].lower() == "0x" else 10)
        if number in _INT32:
            return number
    raise FlagError(
        f"illegal value '{value}' specified for {_TYPES[type(default)]} flag '{name}'"
    )


def _shown(default: object) -> str:
    return f'"{default}"' if isinstance(default, str) else str(default).lower()
