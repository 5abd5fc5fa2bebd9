"""The command ``caffe_unet``. A bare call loads neither torch nor numpy."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from caffe import init_log
from caffe.errors import CaffeError
from caffe.flags import FlagError, flag_table, parse_flags
from caffe.glog import log
from pyunet.errors import PyunetError, one_line
from pyunet_fiji.backend.ending import end_by_signals, leave, write_out
from pyunet_fiji.backend.errors import CheckFailedError
from pyunet_fiji.backend.flags import Flags

ACTIONS = {
    "check_model_and_weights_h5": "check",
    "device_query": "devices",
    "tiled_predict": "predict",
}
HELP = {
    "tiled_predict": "compute the scores of images of any size, tile by tile",
    "check_model_and_weights_h5": "check whether a model and weights fit together",
    "device_query": "show GPU diagnostic information",
    "train": "the same as caffe train",
}
ABORTED = 134  # what a shell says of a process that ended by abort()
PLACE = "caffe_unet.cpp:400"
ORDINAL, MEMORY = "invalid device ordinal", "out of memory"

_EXAMPLES = """\
examples:
  caffe_unet check_model_and_weights_h5 -model M.modeldef.h5 -weights W.caffemodel.h5
  caffe_unet tiled_predict -infileH5 in.h5 -outfileH5 out.h5 -model M.modeldef.h5 \\
      -weights W.caffemodel.h5 -iterations 0 -n_tiles 4"""


def main() -> None:
    """Run the command line of the process and end the process."""
    if sys.argv[1:2] == ["train"]:
        # ImageJ's preferences name caffe_unet where caffe belongs: the plugin's forum
        # is full of it, and nothing else can be meant
        import runpy

        runpy.run_module("caffe", run_name="__main__", alter_sys=True)
    end_by_signals()
    leave(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return the exit status (caffe_unet_cli.md, section 1).

    Parameters
    ----------
    arguments : sequence of str
        Without the program's name.

    Returns
    -------
    int
        0; 1 for flags that are wrong, ``-help`` and some failed checks; 134 where the
        original aborts.
    """
    try:
        flags, actions = parse_flags(Flags, arguments)
    except FlagError as error:
        for fault in error.faults:
            sys.stderr.write(f"ERROR: {one_line(fault)}\n")
        return 1
    if flags.version:
        from pyunet import __version__

        write_out(f"caffe_unet version {__version__}")
        return 0
    if flags.help or len(actions) != 1:
        write_out(_usage())
        return 1 if flags.help else 0
    # where other programs compute too, threads that wait by spinning cost a factor
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if flags.minloglevel:
        init_log(flags.minloglevel)
    return _act(actions[0], flags)


def _act(action: str, flags: Flags) -> int:
    if action not in ACTIONS:
        log("caffe_unet.cpp:67", "Available caffe_unet actions:", "E")
        for name in sorted(ACTIONS):
            log("caffe_unet.cpp:70", f"\t{name}", "E")
        return _abort("caffe_unet.cpp:73", f"Unknown action: {action}")
    try:
        module = import_module(f"pyunet_fiji.backend.{ACTIONS[action]}")
        status: int = module.run(flags)
    except Exception as error:
        place, text = describe(error)
        return _abort(place, f"Check failed: {text}")
    return status


def _abort(place: str, text: str) -> int:
    """Write the F line of a failed check, and the line that follows it."""
    text = f"{one_line(text)}\n*** Check failure stack trace: ***"
    log(place, text, "F", several=True)
    return ABORTED


def describe(error: Exception) -> tuple[str, str]:
    r"""Say in one line what an error says, in words that the Fiji plugin looks for.

    Parameters
    ----------
    error : Exception

    Returns
    -------
    place, text : str

    Examples
    --------
    >>> describe(OSError("one\ntwo"))[1]
    'one\\ntwo'
    >>> describe(KeyError("x"))[1]
    "a fault of caffe_unet, please report it: KeyError: 'x'"
    """
    text = one_line(str(error)) or type(error).__name__
    kind = type(error).__name__
    if isinstance(error, CheckFailedError):
        return error.place, text
    if ORDINAL in text:
        return "common.cpp:152", f"error == cudaSuccess (101 vs. 0) {ORDINAL} ({text})"
    from pyunet.memory import is_out_of_memory

    if is_out_of_memory(error):
        return "syncedmem.cpp:71", f"{MEMORY} ({text})"
    if isinstance(error, (OSError, PyunetError, CaffeError)):
        return PLACE, text
    return PLACE, f"a fault of caffe_unet, please report it: {kind}: {text}"


def _usage() -> str:
    commands = "\n".join(f"  {name:<28}{text}" for name, text in HELP.items())
    table = flag_table(Flags)
    return (
        "caffe_unet: command line brew\nusage: caffe_unet <command> <args>\n\n"
        f"commands:\n{commands}\n\n  Flags from caffe_unet:\n{table}\n\n{_EXAMPLES}"
    )
