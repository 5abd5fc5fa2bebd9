"""The log of ``caffe_unet``: glog lines on the standard error, one flushed event each.

The Fiji plugin looks for some words in them when a call fails. The places such as
``tiled_predict.cpp:555`` are those that the original names.
"""

from __future__ import annotations

import datetime
import logging
import os
import sys
import threading

from pyunet.errors import DataError, one_line

LEVELS = {
    "I": logging.INFO,
    "W": logging.WARNING,
    "E": logging.ERROR,
    "F": logging.CRITICAL,
}
LETTERS = {number: letter for letter, number in LEVELS.items()}
LONGEST = 4000  # characters of a message
LOGGER = logging.getLogger(__name__)


class CheckFailedError(DataError):
    """What the original calls a failed check: the command ends with an F line.

    Parameters
    ----------
    text : str
        What is wrong.
    place : str
        Where the original would say it.
    """

    def __init__(self, text: str, place: str = "caffe_unet.cpp:400") -> None:
        super().__init__(text)
        self.place = place


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        made = datetime.datetime.fromtimestamp(record.created)
        letter = LETTERS[record.levelno]
        place = getattr(record, "place", record.module)
        message = record.getMessage()
        text = message.lstrip("\t")
        indent = message[: len(message) - len(text)]
        line = (
            f"{letter}{made:%Y%m%d %H:%M:%S.%f} {threading.get_native_id():5d} "
            f"{place}] {indent}{one_line(text, LONGEST)}"
        )
        if letter == "F":
            return f"{line}\n*** Check failure stack trace: ***"
        return line


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):
            return  # nobody reads any more: the work goes on


def start_log(least: int = 0) -> None:
    """Write log lines to the standard error from now on.

    Parameters
    ----------
    least : int, default 0
        Least level that is written: 0 information, 1 warnings, 2 errors, 3 failed
        checks. ``GLOG_minloglevel`` in the environment counts where it is higher.
    """
    level = min(max(least, _environment_level()), len(LEVELS) - 1)
    handler = _Handler()
    handler.setFormatter(_Formatter())
    LOGGER.handlers[:] = [handler]
    LOGGER.propagate = False
    LOGGER.setLevel(LEVELS["IWEF"[max(0, level)]])


def log(place: str, text: str, level: str = "I") -> None:
    """Write one line.

    Parameters
    ----------
    place : str
        File and line that the original names.
    text : str
    level : {"I", "W", "E", "F"}, default "I"
    """
    LOGGER.log(LEVELS[level], "%s", text, extra={"place": place})


def _environment_level() -> int:
    try:
        return int(os.environ.get("GLOG_minloglevel", "0"))  # noqa: SIM112 - as glog
    except ValueError:
        return 0
