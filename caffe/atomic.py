"""Files that are either whole or not there.

The one place where the two packages make files appear. Leftovers of processes that
were killed are removed by the next one that writes into the same folder.
"""

from __future__ import annotations

import errno
import filecmp
import functools
import hashlib
import itertools
import os
import re
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from caffe.errors import FileError

_LINKS = 40  # as many as Linux follows
_COUNT = itertools.count()
# .NAME.PID-HOST-NUMBER.tmp; older versions had .NAME.PID.tmp and NAME.PID.tmp, which
# other programs could have, too
_OURS = re.compile(r"\..+\.(\d+)-([0-9a-f]{8})-\d+\.tmp")
_OLD = re.compile(r"\.?(.+)\.(\d+)\.tmp")


class Draft:
    """A file, or a folder, under a temporary name until it is whole.

    It is deleted at the end of a ``with`` block, unless it was kept.

    What it becomes is what a shell's ``>`` would write to: through a symbolic link
    the file that it points at, and the link stays; a device, a pipe or an open
    descriptor (``/dev/stdout``) gets the content and is not replaced.

    Parameters
    ----------
    path : path
        What it becomes; its folder must exist.

    Attributes
    ----------
    path : Path
        Where to write it.

    Raises
    ------
    OSError
        `path` is a folder, can't be looked at (a loop of links), or no file can have
        such a name.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with Draft(Path(folder, "a")) as draft:
    ...         _ = draft.path.write_text("whole")
    ...         draft.keep()
    ...     [path.name for path in Path(folder).iterdir()]
    ['a']
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        target = Path(path)
        mode = _mode(target)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        self._descriptor = _descriptor(target)
        self._into = not stat.S_ISREG(mode) or self._descriptor is not None
        self._target = target if self._into else Path(os.path.realpath(target))
        folder = Path(tempfile.gettempdir()) if self._into else self._target.parent
        name = self._target.name
        _clear(folder, name)
        self.path = folder / f".{name}.{os.getpid()}-{_host()}-{next(_COUNT)}.tmp"

    def __enter__(self) -> Draft:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    def keep(self) -> None:
        """Put what was written in its place.

        Raises
        ------
        OSError
        """
        if self._into:
            self._copy()
            self.drop()
            return
        if not self.path.is_dir():
            with self.path.open("r+b") as file:
                os.fsync(file.fileno())
            with suppress(FileNotFoundError):
                self.path.chmod(stat.S_IMODE(self._target.stat().st_mode) & 0o777)
        self.path.replace(self._target)

    def drop(self) -> None:
        """Delete what was written, unless it was kept."""
        _remove(self.path)

    def _copy(self) -> None:
        """Write into what stands at the path."""
        if self._descriptor is None:
            into = os.open(self._target, os.O_WRONLY)
        else:
            # opened anew, a file's descriptor would start at its beginning
            if sys.stdout is not None:
                sys.stdout.flush()
            into = os.dup(self._descriptor)
        with self.path.open("rb") as source, open(into, "wb", buffering=0) as file:
            shutil.copyfileobj(source, file)


class Written(Draft):
    """A draft that is whole and on the disk already.

    Several of them can be put in their places one right after the other.

    Parameters
    ----------
    path, parts
        As for `write_parts`.

    Raises
    ------
    FileError
        If it can't be written.
    """

    def __init__(
        self, path: str | os.PathLike[str], parts: Iterable[bytes | memoryview]
    ) -> None:
        self.name = Path(path)
        with _naming(path):
            super().__init__(path)
            try:
                with self.path.open("wb") as file:
                    for part in parts:
                        file.write(part)
                    file.flush()
                    os.fsync(file.fileno())
            except BaseException:
                self.drop()
                raise

    def keep(self) -> None:
        """Put it in its place.

        Raises
        ------
        FileError
            If the system refuses.
        """
        with _naming(self.name):
            super().keep()

    def is_there(self) -> bool:
        """Tell whether a file of just this content stands in its place already."""
        with suppress(OSError):
            return filecmp.cmp(self.path, self.name, shallow=False)
        return False


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file as `write_parts` does, from one piece.

    Examples
    --------
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
        Where the file shall stand, see `Draft`.
    parts : iterable of bytes
        Its content; may make each part only when it is asked for.

    Raises
    ------
    FileError
        If it can't be written; the text says why (a full disk, a missing folder).
    """
    with Written(path, parts) as draft:
        draft.keep()


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


@contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {reason(error)}") from error


def _mode(path: Path) -> int:
    """Kind and permissions of what a path leads to, or would."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return stat.S_IFREG
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error), str(path)) from None


def _descriptor(path: Path) -> int | None:
    """Find the open descriptor that a path means, as /dev/stdout and /dev/fd/3 do."""
    for _ in range(_LINKS):
        folder = os.path.realpath(path.parent)
        own = folder in ("/dev/fd", f"/proc/{os.getpid()}/fd")
        if own and path.name.isdecimal():
            return int(path.name)
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None


@functools.cache
def _host() -> str:
    """Tell machines, and containers, that share folders apart: PIDs are theirs."""
    space = ""
    with suppress(OSError):
        space = str(Path("/proc/self/ns/pid").readlink())
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:8]


def _clear(folder: Path, name: str) -> None:
    """Remove what dead processes left: in the folder, and what was of this name."""
    for left in _scanned(folder).pop(name, ()):
        _remove(left)


@functools.cache
def _scanned(folder: Path) -> dict[str, list[Path]]:
    """Remove leftovers once a run; give those of older versions by their target."""
    old: dict[str, list[Path]] = {}
    with suppress(OSError):
        for entry in os.scandir(folder):
            ours = _OURS.fullmatch(entry.name)
            if ours and ours[2] == _host() and _has_ended(int(ours[1])):
                _remove(Path(entry.path))
            earlier = _OLD.fullmatch(entry.name)
            if earlier and _has_ended(int(earlier[2])):
                old.setdefault(earlier[1], []).append(Path(entry.path))
    return old


def _has_ended(process: int) -> bool:
    if os.name == "nt":  # where there is no asking: signal 0 would end it
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
