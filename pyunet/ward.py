"""Become a program that ends with the process that wanted it: a script by itself.

``python -IS ward.py DESCRIPTOR,... WORD...`` becomes the program of the words, under
the same number. A process of its own waits at the first descriptor, a pipe whose other
end only the wanting process holds; when that is gone, killed or not, it kills the
program and what that started. The other descriptors are for the program only. Linux
kills the program itself also if the watcher is gone.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys

_SECONDS = 0.5  # between looks whether the program has ended
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl
_NOT_RUN = 126  # as shells say of what they can't start


def main(pipe: int, held: list[int], words: list[str]) -> int:
    """Start the watcher and become the program; the status where there is none."""
    program = os.getpid()
    if os.fork() == 0:
        for descriptor in (1, 2, *held):
            os.close(descriptor)  # or its readers would wait for this process, too
        _watch(pipe, program)
    os.close(pipe)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
    try:
        os.execvp(words[0], words)
    except OSError as error:
        sys.stderr.write(f"{words[0]}: {error.strerror}\n")
        return _NOT_RUN


def _watch(pipe: int, program: int) -> None:
    """Wait for the end of the pipe, or of the program."""
    os.setpgid(0, 0)  # not to be ended together with what it ends
    os.close(0)
    running = True
    while running:
        running = os.getppid() == program
        # looked at in any case: Linux may have killed the program already
        ended, _, _ = select.select([pipe], [], [], _SECONDS if running else 0)
        if ended:
            with contextlib.suppress(OSError):
                os.killpg(program, signal.SIGKILL)
            break
    os._exit(0)


if __name__ == "__main__":
    first, *others = map(int, sys.argv[1].split(","))
    sys.exit(main(first, others, sys.argv[2:]))
