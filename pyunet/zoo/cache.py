"""Where downloaded models and the user's own lie."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from pyunet.errors import DataError

LOG = logging.getLogger(__name__)
CACHE = "PYUNET_CACHE"
BLOCK = 1 << 20


def cache_folder() -> Path:
    """Give the folder: what ``PYUNET_CACHE`` says, else the system's for caches."""
    chosen = os.environ.get(CACHE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("pyunet"))


@contextlib.contextmanager
def held(name: str) -> Iterator[None]:
    """Keep other processes from what is called so in the folder, as long as it takes.

    The system gives it free when the process ends, however it ends.

    Parameters
    ----------
    name : str
        Of a model, or a file.

    Raises
    ------
    DataError
        The folder cannot be written.
    """
    import filelock

    path = cache_folder() / f".{name}.lock"
    lock = filelock.FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            LOG.info("%s: another process writes it, waiting", name)
            lock.acquire()
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{path}: cannot be written: {reason}") from error
    try:
        yield
    finally:
        lock.release()


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
