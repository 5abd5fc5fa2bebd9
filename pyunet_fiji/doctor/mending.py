"""The lines that mend what is wrong with programs and shells."""

from __future__ import annotations

import os
import shlex
import sys
import sysconfig
from pathlib import Path, PurePath

from pyunet_fiji.doctor import places
from pyunet_fiji.doctor.places import Place

INSTALL = "pip install ."
_REINSTALL = "in the folder of pyunet's source: pip install --force-reinstall ."


def scripts() -> Path:
    """Return the folder of this installation's programs."""
    return Path(sysconfig.get_path("scripts"))


def program_missing(place: Place, typed: str) -> str:
    """Say how a program is found that was not."""
    if PurePath(typed).name != typed:
        return (
            "give the plugin's dialog the path of a caffe_unet that is there: "
            f"{typed} is not"
        )
    return ours_first(place)


def ours_first(place: Place) -> str:
    """Say how the programs of this installation come first on PATH."""
    if place.shell[:1] == ("ssh",):
        return (
            f"ssh {shlex.quote(place.shell[-1])}, there in the folder of pyunet's "
            f"source: {INSTALL} && pyunet doctor"
        )
    if not any((scripts() / f"caffe_unet{end}").is_file() for end in ("", ".exe")):
        return f"in the folder of pyunet's source: {INSTALL}"
    if place.shell:
        return add_to_path(PurePath(place.shell[0]).name)
    return _for_fiji(place)


def _for_fiji(place: Place) -> str:
    """Say how a Fiji of this computer finds the programs."""
    dialog = f"give the plugin's dialog the path {scripts() / 'caffe_unet'}"
    if places.WINDOWS:
        return dialog + ".exe"
    if place.env.get("PATH") == os.environ.get("PATH"):
        return f"{_export()}    (and start Fiji from the same terminal)"
    if sys.platform == "darwin":
        return dialog
    return f"echo {shlex.quote(_export())} >> ~/.profile    (and log in again)"


def add_to_path(shell: str) -> str:
    """Say what makes a shell find the programs when it is not interactive.

    Parameters
    ----------
    shell : str
        Its name. What comes first in ``~/.bashrc`` is read in any case; the usual
        files of today return further down if nobody is at a terminal.

    Examples
    --------
    >>> print(add_to_path("zsh").partition("echo ")[2][:13])
    'export PATH=
    """
    if shell == "zsh":
        return f"echo {shlex.quote(_export())} >> ~/.zshenv"
    if shell == "bash":
        return (
            f"touch ~/.bashrc; (echo {shlex.quote(_export())}; cat ~/.bashrc) > "
            "~/.bashrc.new && mv ~/.bashrc.new ~/.bashrc"
        )
    programs = " ".join(
        shlex.quote(str(scripts() / name)) for name in ("caffe_unet", "caffe")
    )
    return f"sudo ln -sf {programs} /usr/local/bin/"


def bare_call_failed(stderr: str, place: Place) -> str:
    """Say what mends a program that cannot be started, by what it said."""
    if "ermission denied" in stderr:
        before = stderr[: stderr.index("ermission denied")].split(":")
        named = next((part.strip() for part in before[::-1] if "/" in part), "FILE")
        return f"chmod +x {shlex.quote(named)}"
    if "shared librar" in stderr or "xec format error" in stderr:
        return ours_first(place)
    if "ModuleNotFoundError" in stderr or "ImportError" in stderr:
        return f"unset PYTHONPATH; {_REINSTALL}"
    if "bad interpreter" in stderr or "No such file" in stderr:
        return _REINSTALL
    return ours_first(place)


def _export() -> str:
    return f'export PATH="{scripts()}:$PATH"'
