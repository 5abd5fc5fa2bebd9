"""Command-line flags in the manner of gflags (caffe_unet_cli.md, sections 1 and 2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from pyunet.errors import one_line

TRUE, FALSE = ("1", "t", "true", "y", "yes"), ("0", "f", "false", "n", "no")
WHOLE = re.compile(r"[+-]?\d+|0[xX][0-9a-fA-F]+")
INT32 = range(-(2**31), 2**31)


class FlagError(Exception):
    """Flags that are unknown, lack a value or have one of the wrong kind."""


def _flag(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass
class Flags:
    """The flags of ``caffe_unet`` and their values."""

    average_mirror: bool = _flag(
        False, "Average over the four mirrored versions of the image."
    )
    average_rotate: bool = _flag(
        False, "Average over the four versions of the image rotated by 90 degrees."
    )
    gpu: str = _flag(
        "", "GPU to use: the first of numbers with ',', or 'all'; nothing for the CPU."
    )
    gpu_mem_available_MB: str = _flag(  # noqa: N815 - the flag's name
        "", "Choose tiles for this much GPU memory by the model's own table."
    )
    infileH5: str = _flag("", "HDF5 file with the images.")  # noqa: N815
    iterations: int = _flag(50, "Number of images to process; 0 for all.")
    mem_available_px: str = _flag(
        "", "Choose tiles of at most so many input pixels (2D models)."
    )
    model: str = _flag("", "Model definition, a .modeldef.h5 file.")
    n_channels: int = _flag(1, "Number of channels of the images, for the check.")
    n_tiles: str = _flag(
        "", "Number of tiles (2D models), or a grid of them: AxB or AxBxC, [z] y x."
    )
    outfileH5: str = _flag("", "HDF5 file for the scores.")  # noqa: N815
    tile_size: str = _flag("", "Shape of the output tiles: YxX or ZxYxX.")
    weights: str = _flag("", "Trained weights, .caffemodel.h5 or .caffemodel.")
    minloglevel: int = _flag(
        0, "Least level logged: 0 information, 1 warnings, 2 errors, 3 fatal."
    )
    logtostderr: bool = _flag(False, "Accepted; the log always goes to stderr.")
    alsologtostderr: bool = _flag(True, "Accepted; the log always goes to stderr.")
    help: bool = _flag(False, "Show this text.")
    version: bool = _flag(False, "Show the version.")


def parse(arguments: Sequence[str]) -> tuple[Flags, list[str]]:
    """Take flags out of a command line, wherever they stand in it.

    ``-flag value``, ``--flag value``, ``-flag=value``; for switches ``-flag``,
    ``-noflag``, ``-flag=true``. ``--`` ends the flags.

    Parameters
    ----------
    arguments : sequence of str

    Returns
    -------
    flags : Flags
    rest : list of str
        What is no flag.

    Raises
    ------
    FlagError
        One line for each flag that is unknown, lacks its value or has one of the wrong
        kind. ``-help`` goes before that.

    Examples
    --------
    >>> flags, rest = parse(["-n_tiles", "2x3", "tiled_predict", "--iterations=0"])
    >>> flags.n_tiles, flags.iterations, rest
    ('2x3', 0, ['tiled_predict'])
    """
    flags, waiting = Flags(), list(arguments)
    rest: list[str] = []
    wrong: list[str] = []
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
            wrong.append(one_line(str(error)))
    if wrong and not flags.help:
        raise FlagError("\n".join(wrong))
    return flags, rest


def table() -> str:
    """Describe all flags, one a line."""
    return "\n".join(
        f"    -{item.name} ({item.metadata['help']}) type: "
        f"{_type(item.default)} default: {_shown(item.default)}"
        for item in fields(Flags)
    )


def _set(flags: Flags, name: str, value: str | None, waiting: list[str]) -> None:
    defaults: dict[str, Any] = {item.name: item.default for item in fields(flags)}
    if (
        value is None
        and name.startswith("no")
        and isinstance(defaults.get(name[2:]), bool)
    ):
        name, value = name[2:], "false"
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
        if value.lower() in TRUE + FALSE:
            return value.lower() in TRUE
    elif WHOLE.fullmatch(value):
        number = int(value, 16 if value[:2].lower() == "0x" else 10)
        if number in INT32:
            return number
    raise FlagError(
        f"illegal value '{value}' specified for {_type(default)} flag '{name}'"
    )


def _type(default: object) -> str:
    return {bool: "bool", int: "int32", str: "string"}[type(default)]


def _shown(default: object) -> str:
    return f'"{default}"' if isinstance(default, str) else str(default).lower()
