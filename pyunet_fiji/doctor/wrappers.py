"""Wrapper scripts: what in them keeps a cancel, or lines of progress, from arriving.

The plugin sends its signal to the process that it started and reads its output line by
line (caffe_unet_cli.md, sections 6.2 to 6.5). Between it and the program may stand
nothing that waits, holds lines back or makes a terminal.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from pyunet_fiji.doctor.findings import Finding, problem, warning

_TERMINAL = re.compile(
    r"\b(docker|podman)\s+(run|exec)\b.*?\s(-[a-z]*t[a-z]*|--tty)(\s|=)"
)


def check(path: str, text: str, label: str) -> Iterator[Finding]:
    """Look at the text of a wrapper.

    Parameters
    ----------
    path : str
    text : str
        Its beginning at least.
    label : str
        Where it was found, for the message.
    """
    name = f"{path} {label}"
    lines = _commands(text)
    whole = "\n".join(lines)
    if _TERMINAL.search(whole):
        yield problem(
            f"{name} makes a terminal, which adds a character to each line, so that "
            "the plugin knows none of them",
            f"take -t (--tty) out of {shlex.quote(path)}",
        )
    if re.search(r"\b(docker|podman)\s+exec\b", whole):
        yield warning(
            f"{name} calls `docker exec`, which hands no signal on: a cancel ends "
            "the call, and the training runs on",
            "call `docker run --rm --init` (or apptainer exec) instead",
        )
    elif lines and re.search(r"(?<!\|)\|(?!\|)", lines[-1]):
        yield warning(
            f"{name} passes the output through another program, which may hold "
            "lines of progress back",
            f"let the last line of {shlex.quote(path)} be: exec PROGRAM "
            '"$@", without |',
        )
    elif lines and not re.match(r"exec\s", lines[-1]):
        yield warning(
            f"{name} starts the program without exec, so that a cancel ends the "
            "wrapper only",
            f"write exec before the last command of {shlex.quote(path)}",
        )


def _commands(text: str) -> list[str]:
    """Return the commands of a shell script, continued lines joined."""
    joined = re.sub(r"\\\n\s*", " ", text)
    lines = [line.strip() for line in joined.split("\n")]
    return [line for line in lines if line and not line.startswith("#")]
