"""The log of the commands: glog lines on the standard error."""

from __future__ import annotations

import datetime
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from caffe.errors import escaped
from caffe.streams import discard

_LEVELS = "IWEF"
_MUTED = {"below": 0}

Write = Callable[[str], object]


def mute(level: int) -> None:
    """Write only lines of this level or above from now on (1: warnings), 0: all.

    For the processes of a training that leave speaking to the first one.
    """
    _MUTED["below"] = level


@contextmanager
def muted(level: int) -> Iterator[None]:
    """Write only lines of this level or above inside a ``with`` block."""
    before = _MUTED["below"]
    mute(max(level, before))
    try:
        yield
    finally:
        mute(before)


def log(source: str, text: str, level: str = "I", *, several: bool = False) -> None:
    """Write one line as glog does, if the level is high enough.

    ``GLOG_minloglevel`` in the environment (0 information, 1 warnings, 2 errors,
    3 fatal) is the least level that is written, as in Caffe; the default is 0.

    Parameters
    ----------
    source : str
        Name and line that Caffe prints, such as ``net.cpp:59``.
    text : str
        The message; programs parse it, so it is Caffe's to the letter.
    level : {"I", "W", "E", "F"}
    several : bool, default False
        The text is of several lines. In any other a name that has an end of line in it
        is shown escaped, so that no file can write lines of its own into the log.
    """
    if logs(level):
        _WRITERS[-1](line(source, text, level, several=several))


def logs(level: str) -> bool:
    """Tell whether lines of this level are written."""
    return _LEVELS.index(level) >= max(_least_level(), _MUTED["below"])


def line(source: str, text: str, level: str = "I", *, several: bool = False) -> str:
    """Give a line of the log, as `log` writes it."""
    text = escaped(text, keep="\t\n" if several else "\t")
    now = datetime.datetime.now().strftime("%Y%m%d %H:%M:%S.%f")
    return f"{level}{now} {threading.get_native_id():5d} {source}] {text}\n"


@contextmanager
def passed_through(wrapped: Callable[[Write], Write]) -> Iterator[None]:
    r"""Let lines go another way inside a ``with`` block.

    Parameters
    ----------
    wrapped : callable
        Is given what writes lines now, and gives what shall write them.

    Examples
    --------
    >>> kept = []
    >>> with passed_through(lambda write: kept.append):
    ...     log("a.cpp:1", "text", "E")
    >>> kept[0].endswith(" a.cpp:1] text\n")
    True
    """
    _WRITERS.append(wrapped(_WRITERS[-1]))
    try:
        yield
    finally:
        _WRITERS.pop()


def number(value: float) -> str:
    """Print a number as C++ does: 6 digits.

    What is not finite is ``NaN``, ``Infinity``: the Fiji plugin's Java reads no other
    spelling and gives up at ``nan``; C, Python and R read all of them.

    Examples
    --------
    >>> number(0.69314718), number(1e-7), number(-math.inf), number(math.nan)
    ('0.693147', '1e-07', '-Infinity', 'NaN')
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return f"{value:.6g}"


def _least_level() -> int:
    try:
        least = int(os.environ.get("GLOG_minloglevel", "0"))  # noqa: SIM112 - as glog
    except ValueError:
        return 0
    return min(least, _LEVELS.index("F"))  # why a command fails is always said


def _to_stderr(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except BrokenPipeError:
        _UNREAD.append(True)
        discard(sys.stderr)
    except (OSError, ValueError, AttributeError):
        return  # a full disk, closed, or not there: the work goes on without


def reader_has_gone() -> bool:
    """Tell once that nobody reads the log any more: its pipe is broken."""
    return bool(_UNREAD) and _UNREAD.pop()


_UNREAD: list[bool] = []
_WRITERS: list[Write] = [_to_stderr]
