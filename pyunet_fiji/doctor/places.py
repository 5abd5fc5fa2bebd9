"""Where the plugin starts programs: in Fiji's environment, or in that of SSH.

Local programs are started without a shell, with the environment of Fiji; remote ones by
the login shell of the user, neither as a login shell nor interactive, in the home
folder (caffe_unet_cli.md, section 5). Nothing is ever written to their input, which
stays open.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pyunet import children

WINDOWS = os.name == "nt"
PATIENCE_S = 60.0
LAUNCHD_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
SSHD_PATH = (
    LAUNCHD_PATH
    if sys.platform == "darwin"
    else "/usr/local/bin:/usr/bin:/bin:/usr/games"
)
HEAD_BYTES = 4000
_FOUND = "pyunet-doctor found "
_LOOK = (
    'p=$(command -v "$1") || exit 3; '
    f'printf "\\n{_FOUND}%s\\n" "$p"; head -c {HEAD_BYTES} "$p"'
)


@dataclass(frozen=True)
class Answer:
    """How a program ended, and what it said.

    Attributes
    ----------
    status : int or None
        Exit status, negative for a signal; None if it was ended for taking too long.
    stdout, stderr : str
    seconds : float
    """

    status: int | None
    stdout: str
    stderr: str
    seconds: float

    @property
    def last_line(self) -> str:
        """The last line that it wrote on stderr, or else on stdout."""
        text = self.stderr.strip() or self.stdout.strip()
        return text.split("\n")[-1].strip()


@dataclass(frozen=True)
class Place:
    """An environment that programs are started in.

    Attributes
    ----------
    label : str
        For people, such as ``"over SSH"``.
    env : mapping
        Environment variables.
    shell : tuple of str
        What takes a command as one text, such as ``("/bin/bash", "-c")`` or
        ``("ssh", "-o", "BatchMode=yes", "host")``; empty: programs start without.
    cwd : Path, optional
        Default: the current folder.
    """

    label: str
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    shell: tuple[str, ...] = ()
    cwd: Path | None = None

    def run(self, *words: str, patience_s: float = PATIENCE_S) -> Answer:
        """Start a program as the plugin does and wait for its end."""
        if self.shell:
            return self.run_text(shlex.join(words), patience_s=patience_s)
        program = self.which(words[0]) or words[0]
        return _run((program, *words[1:]), self, patience_s)

    def run_text(self, text: str, *, patience_s: float = PATIENCE_S) -> Answer:
        """Give a command to the shell of the place."""
        return _run((*self.shell, text), self, patience_s)

    def which(self, name: str) -> str | None:
        """Find a program as a system without a shell does; no ``.cmd`` on Windows."""
        ending = ".exe" if WINDOWS and not Path(name).suffix else ""
        return shutil.which(name + ending, path=self.env.get("PATH", os.defpath))

    def look(self, name: str) -> tuple[str, str] | None:
        """Find a program.

        Returns
        -------
        (path, head) or None
            Where it is, and the beginning of its file as text.
        """
        if self.shell:
            answer = self.run("/bin/sh", "-c", _LOOK, "sh", name)
            path, _, head = answer.stdout.partition("\n" + _FOUND)[2].partition("\n")
            return (path, head) if answer.status == 0 and path else None
        found = self.which(name)
        if found is None:
            return None
        with open(found, "rb") as file:
            return found, file.read(HEAD_BYTES).decode("utf-8", "replace")


def terminal() -> Place:
    """Give the place of a Fiji that is started where this command is typed."""
    return Place("in this terminal")


def desktop() -> Place | None:
    """Give the place of a Fiji that is started by a double click, if it can be told.

    On macOS programs of the desktop have a short PATH of their own; elsewhere they
    have what the files say that the login shell reads. On Windows all have the same.
    """
    if WINDOWS:
        return None
    label = "with Fiji started by a double click"
    env = _minimal_env()
    if sys.platform == "darwin":
        return Place(label, {**env, "PATH": LAUNCHD_PATH})
    asked = _run(
        ("/bin/sh", "-l", "-c", 'printf "\\n%s\\n" "$PATH"'),
        Place(label, env, cwd=Path.home()),
        PATIENCE_S,
    )
    lines = asked.stdout.split("\n")
    path = lines[-2] if len(lines) > 1 and lines[-2] else env["PATH"]
    return Place(label, {**env, "PATH": path})


def ssh_here(shell: str | None = None) -> Place | None:
    """Give the place of a command that comes to this computer over SSH.

    The login shell is started as the server does it: not interactive, with little
    more in its environment than its PATH, and a socket as its input, by which bash
    knows that it has to read ``~/.bashrc``.

    Parameters
    ----------
    shell : str, optional
        Default: that of the user's account.
    """
    if WINDOWS:
        return None
    shell = shell or login_shell()
    env = {
        **_minimal_env(),
        "SHELL": shell,
        "SSH_CLIENT": "127.0.0.1 50000 22",
        "SSH_CONNECTION": "127.0.0.1 50000 127.0.0.1 22",
    }
    return Place("over SSH to this computer", env, (shell, "-c"), Path.home())


def ssh(host: str) -> Place:
    """Give the place of another computer, reached by the system's ``ssh``."""
    options = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=15")
    return Place(f"on {host}", shell=("ssh", *options, "--", host))


def login_shell() -> str:
    """Return the shell of the user's account."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_shell or "/bin/sh"
    except KeyError:  # in some containers the user has no account
        return os.environ.get("SHELL", "/bin/sh")


def _minimal_env(environment_file: Path = Path("/etc/environment")) -> dict[str, str]:
    """Give what a new session has before any file of the user was read."""
    env = {"PATH": SSHD_PATH, "HOME": str(Path.home())}
    user = os.environ.get("USER") or os.environ.get("LOGNAME") or ""
    env |= {"USER": user, "LOGNAME": user}
    with contextlib.suppress(OSError):
        for line in environment_file.read_text("utf-8", "replace").splitlines():
            name, equal, value = line.strip().removeprefix("export ").partition("=")
            if equal and name.isidentifier():
                env[name] = value.strip().strip("\"'")
    return env


def _run(words: Sequence[str], place: Place, patience_s: float) -> Answer:
    began = time.monotonic()

    def taken() -> float:
        return time.monotonic() - began

    with _open_input() as silent:
        try:
            process = children.start(
                words,
                env=dict(place.env),
                cwd=place.cwd,
                stdin=silent,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            reason = error.strerror or str(error)
            return Answer(126, "", f"{words[0]}: {reason}", taken())
        with process:
            try:
                out, err = process.communicate(timeout=patience_s)
                status: int | None = process.returncode
            except subprocess.TimeoutExpired:
                _end(process)
                out, err = process.communicate()
                status = None
    return Answer(
        status, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"), taken()
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it started."""
    with contextlib.suppress(OSError):
        if WINDOWS:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def _open_input() -> Iterator[int]:
    """Give an input that stays open and never has anything to read."""
    if WINDOWS:
        read, write = os.pipe()
        try:
            yield read
        finally:
            os.close(read)
            os.close(write)
        return
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield theirs.fileno()
