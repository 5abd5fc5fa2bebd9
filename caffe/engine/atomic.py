"""Files that are either whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from caffe.errors import FileError


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file as `write_parts` does, from one piece.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_bytes(Path(folder, "a"), b"text")
    ...     Path(folder, "a").read_bytes()
    b'text'
    """
    write_parts(path, [content])


def write_parts(
    path: str | os.PathLike[str], parts: Iterable[bytes | memoryview]
) -> None:
    """Write a file under a temporary name beside it, flush it, then rename it.

    Whatever goes wrong, a file that stood at `path` before survives and nothing
    else is left behind.

    Parameters
    ----------
    path : path
        Where the file shall stand.
    parts : iterable of bytes
        Its content; may make each part only when it is asked for.

    Raises
    ------
    FileError
        If it can't be written; the text says why (a full disk, a missing folder).
    """
    target = Path(path)
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        try:
            with temporary.open("wb") as file:
                for part in parts:
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {reason(error)}") from error


def reason(error: Exception) -> str:
    """Plain words for why the system refused (also a name that no file can have).

    Examples
    --------
    >>> import errno
    >>> reason(OSError(errno.ENOSPC, "No space left on device"))
    'No space left on device'
    >>> reason(ValueError("embedded null byte"))
    'embedded null byte'
    """
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
