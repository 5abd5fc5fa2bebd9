"""A screen for tests that open windows, by Xvfb where it is."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys

PROBE = """
import warnings
warnings.simplefilter("ignore")
from qtpy.QtWidgets import QApplication
QApplication([])
"""
SIZE = "1280x900x24"


@contextlib.contextmanager
def virtual_screen():
    """Start Xvfb on a free number; give the number as ``:N``, or "" without Xvfb.

    It ends with its last window's program, so that a crash leaves none behind.
    """
    program = shutil.which("Xvfb")
    if program is None:
        yield ""
        return
    reading, writing = os.pipe()
    server = subprocess.Popen(
        [
            program,
            "-displayfd",
            str(writing),
            "-screen",
            "0",
            SIZE,
            "-terminate",
            "-nolisten",
            "tcp",
        ],
        pass_fds=[writing],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as pipe:
            number = pipe.readline().strip()
        yield f":{number}" if number else ""
    finally:
        server.terminate()
        server.wait(10)


def why_qt_fails(environment):
    """Open Qt in a process of its own, which it ends if a library lacks; "" if not."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[0] if lines else f"status {done.returncode}"
