"""Where downloaded models and the user's own lie."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

CACHE = "PYUNET_CACHE"
BLOCK = 1 << 20


def cache_folder() -> Path:
    """Give the folder: what ``PYUNET_CACHE`` says, else the system's for caches."""
    chosen = os.environ.get(CACHE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    import pooch

    return Path(pooch.os_cache("pyunet"))


def sha256_of(path: Path) -> str:
    """Give the SHA-256 of a file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "empty")
    ...     path.touch()
    ...     sha256_of(path)[:8]
    'e3b0c442'
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
