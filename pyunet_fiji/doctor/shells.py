"""What a command over SSH meets before it starts: the login shell and its files.

The plugin sends ``echo $$ && exec caffe_unet ...`` and reads the first line that comes
back as the number of the process (caffe_unet_cli.md, section 6.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from pyunet_fiji.doctor.findings import Finding, ok, problem
from pyunet_fiji.doctor.places import PATIENCE_S, Answer, Place

_GUARD = "case $- in *i*) ;; *) return ;; esac"
_CONNECTION_LOST = 255
UNREACHABLE = "cannot be reached"


def check(place: Place) -> Iterator[Finding]:
    """Check that the first line is a process number.

    Parameters
    ----------
    place : Place
        One with a shell. If the other computer cannot be reached, that is the only
        finding.
    """
    answer = place.run_text("echo $$ && exec /bin/sh -c :", patience_s=PATIENCE_S)
    remote = place.shell[0] == "ssh"
    first = answer.stdout.split("\n")[0].strip()
    if answer.status is None:
        yield problem(
            f"a command {place.label} does not end (waited {answer.seconds:.0f} s)",
            "look in the files that the login shell reads for what waits for input",
        )
    elif remote and answer.status == _CONNECTION_LOST:
        yield _unreachable(place, answer)
    elif first.isdecimal() and answer.status == 0:
        yield ok(f"the first line of a command {place.label} is its process number")
    elif answer.stdout.strip() and not first.isdecimal():
        yield problem(
            f"commands {place.label} print {first!r} before anything else; the plugin "
            "takes it for a process number and stops (NumberFormatException)",
            _silence(place),
        )
    else:
        name = "the login shell" if remote else place.shell[0]
        yield problem(
            f"{name} {place.label} does not know `echo $$ && exec`: "
            f"{answer.last_line or 'no answer'}",
            "chsh -s /bin/bash",
        )


def _unreachable(place: Place, answer: Answer) -> Finding:
    host = place.shell[-1]
    said = answer.last_line or "no answer"
    mend = f"ssh {host}    (once by hand: it asks whether the host is the right one)"
    if "ermission denied" in said:
        mend = f"ssh-copy-id {host}    (the plugin itself takes a password, too)"
    return problem(f"{host} {UNREACHABLE} without a password: {said}", mend)


def _silence(place: Place) -> str:
    shell = PurePath(place.shell[0]).name
    if shell == "zsh":
        return "move what prints it from ~/.zshenv to ~/.zshrc"
    return f"write into ~/.bashrc, before the line that prints it: {_GUARD}"
