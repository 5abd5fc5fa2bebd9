"""Programs that this process starts and that never outlive it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pyunet.errors import DataError

if sys.platform != "win32":
    import fcntl

_WARD = Path(__file__).with_name("ward.py")
_PATIENCE_S = 10.0  # the training of a process that was killed ends within a second
_LOOK_S = 0.1


def start(
    words: Sequence[str], *, held: Sequence[int] = (), **options: Any
) -> subprocess.Popen[Any]:
    """Start a program in a session of its own, which ends when this process does.

    It does so however this process ends, also by SIGKILL, together with what it has
    started itself. (Windows: not by that.)

    Parameters
    ----------
    words : sequence of str
    held : sequence of int
        Descriptors that it keeps open, which keeps their locks.
    **options
        Of `subprocess.Popen`.

    Raises
    ------
    OSError
        It cannot be started. On POSIX its status is 126 then, with one line.
    """
    if os.name != "posix":
        return subprocess.Popen(words, **options)
    mine, ours = os.pipe()
    given = (mine, *held)
    try:
        process = subprocess.Popen(
            [sys.executable, "-IS", _WARD, ",".join(map(str, given)), *words],
            pass_fds=given,
            start_new_session=True,
            **options,
        )
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(mine)
    weakref.finalize(process, os.close, ours)
    return process


@contextlib.contextmanager
def only_one(folder: Path, what: str) -> Iterator[int]:
    """Let one process at a time work in a folder, which is made if it is not there.

    The lock is the system's: it goes with the last process that holds it.

    Parameters
    ----------
    folder : Path
    what : str
        What it does there, for the message of the others.

    Yields
    ------
    int
        The descriptor that holds the lock, for `start`.

    Raises
    ------
    DataError
        Another process has not ended after 10 seconds; the folder cannot be made.
    """
    end = time.monotonic() + _PATIENCE_S
    while (descriptor := _locked(folder)) is None:
        if time.monotonic() > end:
            raise DataError(
                f"{folder}: another process is {what} there; wait for its end, or "
                "stop it"
            )
        time.sleep(_LOOK_S)
    try:
        yield descriptor
    except BaseException:
        with contextlib.suppress(OSError):
            folder.rmdir()  # only if nothing came into it
        raise
    finally:
        os.close(descriptor)


def _locked(folder: Path) -> int | None:
    """Give a descriptor of the folder, locked; None if another process has it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made: {error.strerror}") from error
    if sys.platform == "win32":
        return os.open(os.devnull, os.O_RDONLY)
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.stat(folder).st_ino == os.fstat(descriptor).st_ino:  # noqa: PTH116
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass  # or who had it took the folder away
    except OSError:
        return descriptor  # a disk without locks
    os.close(descriptor)
    return None
