"""The command `caffe`. Loads no torch before a verb needs it.

To add a verb, write its module (``NAME``, ``HELP``, ``run(flags) -> int``) and enter it
in ``VERBS``. Its ``OPERANDS``, if it has them, are flags that may be given by their
place.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from caffe.cli.flags import Flags, begin
from caffe.errors import LONGEST, CaffeError, one_line
from caffe.flags import FlagError, flag_table, parse_flags
from caffe.glog import log
from caffe.memory import check_room_to_load
from caffe.streams import while_read

VERBS = ("train", "test", "check", "device_query", "time", "upgrade")

_EXAMPLES = """\
examples:
  caffe train -solver solver.prototxt
  caffe train -solver solver.prototxt -snapshot run_iter_1000.solverstate -gpu 0
  caffe train -solver solver.prototxt -weights base.caffemodel,head.caffemodel -gpu all
  caffe test -model train.prototxt -weights run.caffemodel -iterations 100
  caffe check deploy.prototxt trained.caffemodel
  caffe upgrade -model old.prototxt -output new.prototxt -crop coordinate_maps"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; default: those of the process.
    """
    return while_read(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    # where other programs compute too, threads that wait by spinning cost a factor
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # to look for garbage before the process ends takes 0.3 s where torch is loaded
    atexit.register(gc.freeze)
    quiet_libraries()
    try:
        flags, actions = parse_flags(
            Flags, sys.argv[1:] if arguments is None else arguments
        )
    except FlagError as error:
        for fault in error.faults:
            print(f"ERROR: {one_line(fault)}", file=sys.stderr)
        return 1
    if begin(flags):
        return 0
    action, *operands = actions or [""]
    known = getattr(_verb(action), "OPERANDS", ()) if action in VERBS else ()
    if flags.help or not action or len(operands) > len(known):
        print(_usage())
        return 1 if flags.help else 0
    for name, operand in zip(known, operands, strict=False):
        setattr(flags, name, operand)
    if action not in VERBS:
        log("caffe.cpp:67", "Available caffe actions:", "E")
        for name in sorted(VERBS):
            log("caffe.cpp:70", f"\t{name}", "E")
        log("caffe.cpp:73", f"Unknown action: {action}", "F")
        return 1
    return _run(action, flags)


def describe(error: BaseException) -> str:
    r"""Say in one line what an exception says; of unforeseen ones also the kind.

    Examples
    --------
    >>> describe(CaffeError("no net")), describe(KeyError("x"))
    ('no net', "KeyError: 'x'")
    """
    expected = isinstance(error, (CaffeError, OSError))
    text = " ".join(str(error).split())
    longest = getattr(error, "longest", LONGEST)
    return one_line(text if expected else f"{type(error).__name__}: {text}", longest)


def quiet_libraries() -> None:
    """Keep what libraries say about a file out of what a command prints.

    Warnings are shown all the same where Python was asked for them (``-W``,
    ``PYTHONWARNINGS``).
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    # else what nobody listens to goes to the standard error
    logging.getLogger().addHandler(logging.NullHandler())


def _run(action: str, flags: Flags) -> int:
    try:
        check_room_to_load()
        status: int = _verb(action).run(flags)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        raise
    except Exception as error:
        if flags.debug:
            raise
        log("caffe.cpp:446", f"caffe {action}: {describe(error)}", "F")
        return 1
    return status


def _verb(name: str) -> Any:
    return import_module(f"caffe.cli.{name}")


def _usage() -> str:
    commands = "\n".join(f"  {name:<16}{_verb(name).HELP}" for name in VERBS)
    return (
        "caffe: command line brew\nusage: caffe <command> <args>\n\n"
        f"commands:\n{commands}\n\n  Flags:\n{flag_table(Flags)}\n\n{_EXAMPLES}"
    )
