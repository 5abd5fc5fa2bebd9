"""Notes in JSON: what the package wrote of its work, and anyone may have changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pyunet.boundary import reading
from pyunet.errors import DataError


def read_notes(path: Path) -> dict[str, Any]:
    """Read the object of a JSON file.

    Raises
    ------
    DataError
        A file that cannot be read, that is no JSON, or holds something else.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "plan.json")
    ...     _ = path.write_text('{"seed": 1}')
    ...     read_notes(path)
    {'seed': 1}
    """
    with reading(path, "is no JSON"):
        found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise DataError(f"{path}: holds {type(found).__name__}, not an object")
    return found
