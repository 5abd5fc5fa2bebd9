"""Small programs that stand for caffe, caffe_unet, ssh and scp, and a home for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

ACTIONS = {"caffe": "train", "caffe_unet": "tiled_predict"}
MODULES = {"caffe": "caffe.cli", "caffe_unet": "pyunet_fiji.backend.main"}

# As sshd: the shell of the account, little in its environment, in the home folder.
SSH = """\
if [ "$1" = -G ]; then echo 'identityfile ~/.ssh/id_ecdsa'; exit; fi
for text; do :; done
cd "$HOME"
exec env -i HOME="$HOME" PATH=/usr/bin:/bin SSH_CLIENT="::1 1 22" bash -c "$text"
"""
SCP = """\
for target; do :; done
while [ "$1" != -- ]; do shift; done
cp "$2" "$HOME/${target#*:}"
"""


def write(path: Path, text: str) -> Path:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(0o755)
    return path


def ours(name: str, more: str = "") -> str:
    """Give the text of a program that behaves, and looks, like that of pyunet."""
    return (
        f"# {MODULES[name]}\n"
        f'if [ $# -eq 0 ]; then echo "usage: {name} <command>: {ACTIONS[name]}"; '
        f"exit 0; fi\n{more}\n"
    )


def healthy(folder: Path) -> Path:
    """Write both programs into a folder."""
    write(folder / "caffe_unet", ours("caffe_unet"))
    write(folder / "caffe", ours("caffe", 'echo "F1 Could not open" >&2; exit 1'))
    return folder


def levels(findings: object, level: str) -> list[str]:
    """Return what findings of a level say."""
    return [f.what for f in findings if f.level == level]  # type: ignore[attr-defined]


def only(findings: object, level: str) -> object:
    """Return the only finding of a level."""
    (found,) = [f for f in findings if f.level == level]  # type: ignore[attr-defined]
    return found


Writer = Callable[[str, str], Path]
