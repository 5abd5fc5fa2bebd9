"""What a command does where nobody reads what it prints."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import TextIO

UNREAD = 141  # what a shell says of a program that SIGPIPE ended


def while_read(work: Callable[[], int]) -> int:
    """Do a command's work and return its exit status.

    Where nobody reads what it prints it ends without a word, with status 141.

    Parameters
    ----------
    work : callable
        Returns the exit status; lets a BrokenPipeError pass.
    """
    try:
        status = work()
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        discard(sys.stdout)
        return UNREAD
    finally:
        try:
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):
            discard(sys.stderr)
    return status


def discard(stream: TextIO) -> None:
    """Send what a stream holds, and is still given, nowhere.

    Else Python tries once more to write it when the process ends, and changes the exit
    status.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
