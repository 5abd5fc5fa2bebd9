"""TOML files: read, and made into dataclasses."""

from __future__ import annotations

import contextlib
import reprlib
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar

from pyunet.boundary import reading
from pyunet.errors import DataError

Made = TypeVar("Made")


def read_toml(path: Path) -> dict[str, Any]:
    r"""Read a file.

    Raises
    ------
    DataError
        It cannot be read, or is no TOML.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.toml")
    ...     _ = path.write_text("[net]\ninput = [60, 60]")
    ...     read_toml(path)
    {'net': {'input': [60, 60]}}
    """
    with reading(path, "is no TOML"):
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    return table


def from_table(cls: type[Made], table: Mapping[str, Any], where: str) -> Made:
    """Make a dataclass of a table; inner tables become inner dataclasses.

    Parameters
    ----------
    cls : type
        A dataclass whose fields have plain type hints.
    table : mapping
    where : str
        What messages call it.

    Raises
    ------
    DataError
        A key that is no field, a value of another type, a field that is missing, and
        what the dataclass refuses itself.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Net:
    ...     name: str
    ...     rate: float = 0.0
    >>> from_table(Net, {"name": "a", "rate": 1}, "file")
    Net(name='a', rate=1.0)
    """
    hints = typing.get_type_hints(cls)
    known = {one.name for one in fields(typing.cast(Any, cls))}
    for key in table:
        if key not in known:
            raise DataError(
                f"{where}: key '{key}'; expected one of {', '.join(sorted(known))}"
            )
    values = {
        key: _value(hints[key], value, f"{where}: {key}")
        for key, value in table.items()
    }
    try:
        return cls(**values)
    except (TypeError, DataError) as error:
        raise DataError(f"{where}: {str(error).replace('__init__()', 'is')}") from error


def _value(hint: Any, value: Any, where: str) -> Any:
    """Check a value against a type hint; tables become dataclasses, lists tuples."""
    if typing.get_origin(hint) in (typing.Union, UnionType):
        for part in typing.get_args(hint):
            with contextlib.suppress(DataError):
                return _value(part, value, where)
    elif isinstance(value, (list, dict)):
        return _container(hint, value, where)
    elif value in typing.get_args(hint) or type(value) is hint:
        return value
    elif hint is float and type(value) is int:
        with contextlib.suppress(OverflowError):
            return float(value)
    raise _odd(hint, value, where)


def _container(hint: Any, value: list[Any] | dict[str, Any], where: str) -> Any:
    """Check a list or a table."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(value, dict):
        if origin is dict:
            pairs = value.items()
            return {key: _value(parts[1], x, f"{where}.{key}") for key, x in pairs}
        if is_dataclass(hint) and isinstance(hint, type):
            return from_table(hint, value, where)
    elif origin in (list, tuple):
        return origin(_value(parts[0], one, where) for one in value)
    raise _odd(hint, value, where)


def _odd(hint: Any, value: Any, where: str) -> DataError:
    name = hint.__name__ if isinstance(hint, type) else str(hint)
    return DataError(
        f"{where}: {reprlib.repr(value)}; expected {name.replace('typing.', '')}"
    )
