"""What forks of Caffe, and packages of others, add to the layers of BVLC's Caffe."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from caffe.errors import CheckError

_OURS = ("caffe.dialects.freiburg",)
_GROUP = "caffe.dialects"


@dataclass(frozen=True)
class Dialect:
    """What one fork, or one package, adds.

    Attributes
    ----------
    name : str
        Short, for options and messages.
    layers : str
        The module that registers its layer classes; imported when a net has a layer
        of a type that is not known yet.
    """

    name: str
    layers: str


@cache
def dialects() -> tuple[Dialect, ...]:
    """Return the dialects of this distribution, then those of installed packages.

    Raises
    ------
    CheckError
        If a package's entry point can't be imported, or is no `Dialect`.
    """
    return (
        *(import_module(name).dialect for name in _OURS),
        *map(_loaded, sorted(entry_points(group=_GROUP))),
    )


def _loaded(entry: Any) -> Dialect:
    where = f"entry point '{entry.name} = {entry.value}' of group '{_GROUP}'"
    try:
        dialect = entry.load()
    except (ImportError, AttributeError) as error:
        raise CheckError(f"{where}: {error}") from error
    if not isinstance(dialect, Dialect):
        raise CheckError(f"{where}: expected a Dialect, got {type(dialect).__name__}")
    return dialect
