"""What a command says to a person; results for other programs are printed."""

from __future__ import annotations

import logging

from pyunet.errors import shown


def say(*lines: str) -> None:
    """Print lines; no name in them can make another one or speak to the terminal."""
    for line in lines:
        print(shown(line))


class OneLine(logging.Formatter):
    """Makes one line of each message, as `say` does."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a message."""
        return shown(super().format(record))
