"""What Caffe's small programs share: usage, errors in one line, exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from caffe.cli import describe, quiet_libraries
from caffe.errors import CheckError
from caffe.streams import while_read

_HELP = ("-h", "-help", "--help")


def run(
    program: str,
    usage: str,
    work: Callable[[list[str]], None],
    arguments: Sequence[str] | None,
) -> int:
    """Do a program's work and return the exit status.

    Parameters
    ----------
    program : str
        Its name, which begins an error's line.
    usage : str
        Shown without arguments (status 1, as Caffe's programs do) and for ``--help``.
    work : callable
        Takes the arguments. ``--debug`` among them shows where an error was raised.
    arguments : sequence of str or None
        None: those of the process.
    """
    # where other programs compute too, threads that wait by spinning cost a factor
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    quiet_libraries()
    words = list(sys.argv[1:] if arguments is None else arguments)
    return while_read(lambda: _run(program, usage, work, words))


def _run(
    program: str, usage: str, work: Callable[[list[str]], None], words: list[str]
) -> int:
    if not words or any(word in _HELP for word in words):
        print(usage)
        return 0 if words else 1
    debug = "--debug" in words
    try:
        work([word for word in words if word != "--debug"])
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        raise
    except Exception as error:
        if debug:
            raise
        print(f"{program}: {describe(error)}", file=sys.stderr)
        return 1
    return 0


def two_files(words: Sequence[str]) -> tuple[str, str]:
    """Get the file to read and the file to write.

    Raises
    ------
    CheckError
        If the arguments are not two.
    """
    if len(words) != 2:
        raise CheckError(
            f"{len(words)} arguments; expected two: the old file and the new one "
            "(--help shows an example)"
        )
    return words[0], words[1]
