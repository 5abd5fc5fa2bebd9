"""How the command ends: by a signal at once, and without leaving files behind."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def end_by_signals() -> None:
    """Let SIGINT and SIGTERM end the process at once, as the original does."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def ending_cleanly() -> Iterator[list[Path]]:
    """Let a signal delete files before it ends the process.

    Yields
    ------
    list of Path
        To enter the files in that are not to stay when a signal comes in the block.
    """
    files: list[Path] = []

    # no exception, which a library could swallow
    def stop(number: int, frame: FrameType | None) -> None:
        for file in files:
            with contextlib.suppress(OSError):
                file.unlink()
        end_by(number)

    asked = list(SIGNALS)
    # ended by it already, unless a terminal that closes shall not end the process
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        asked.append(signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in asked}
    try:
        yield files
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_by(number: int) -> None:
    """End the process by a signal."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


def write_out(text: str) -> None:
    """Write a line to the standard output at once; go on where nobody reads."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        return


def leave(status: int) -> None:
    """End the process without waiting for libraries to clear up."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(status)
