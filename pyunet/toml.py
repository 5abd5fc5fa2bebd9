"""TOML files: read, made into dataclasses, written."""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar

from pyunet.boundary import reading
from pyunet.errors import DataError

Made = TypeVar("Made")
# Python 3.10 has no reader of its own
_reader = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")


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
        table: dict[str, Any] = _reader.loads(path.read_text(encoding="utf-8"))
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
                f"{where}: key '{key}'; accepted are {', '.join(sorted(known))}"
            )
    values = {
        key: _value(hints[key], value, f"{where}: {key}")
        for key, value in table.items()
    }
    try:
        return cls(**values)
    except (TypeError, DataError) as error:
        raise DataError(f"{where}: {str(error).replace('__init__()', 'is')}") from error


def to_text(name: str, table: Mapping[str, Any]) -> str:
    """Write a table of strings, numbers, lists and inner tables.

    Parameters
    ----------
    name : str
        Of the table.
    table : mapping
        Of values that are None nothing is written.

    Examples
    --------
    >>> print(to_text("a-b", {"size": 3, "net": {"axes": ["y", "x"]}}), end="")
    ["a-b"]
    size = 3
    <BLANKLINE>
    ["a-b".net]
    axes = ["y", "x"]
    """
    return _text(_quoted(name), table)


def _text(name: str, table: Mapping[str, Any]) -> str:
    inner = {k: v for k, v in table.items() if isinstance(v, Mapping)}
    lines = [
        f"{_key(key)} = {_quoted(value)}\n"
        for key, value in table.items()
        if key not in inner and value is not None
    ]
    below = [_text(f"{name}.{_key(k)}", v) for k, v in inner.items()]
    return "\n".join(["".join([f"[{name}]\n", *lines]), *below])


def _key(key: str) -> str:
    return key if key.isascii() and key.isidentifier() else _quoted(key)


def _quoted(value: Any) -> str:
    """Write a value: JSON and TOML agree but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


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
    return DataError(f"{where}: {value!r}; accepted is {name.replace('typing.', '')}")
