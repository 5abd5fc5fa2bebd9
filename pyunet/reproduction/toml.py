"""Read TOML files."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from pyunet.errors import DataError

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
    try:
        table: dict[str, Any] = _reader.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    except ValueError as error:
        raise DataError(f"{path}: is no TOML: {error}") from error
    return table
