"""Another computer over SSH: what the plugin will find there.

All goes through the system's ``ssh`` and ``scp`` without asking for a password, by the
commands that the plugin sends (caffe_unet_cli.md, sections 5 and 6). What the plugin's
own SSH library can and can't do is a check of its own, in `jsch`.
"""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Iterator
from pathlib import PurePosixPath

from pyunet_fiji.doctor import jsch, models, programs, shells
from pyunet_fiji.doctor.findings import Finding, ok, problem, read_report, warning
from pyunet_fiji.doctor.places import Place, ssh, terminal

_FOLDER = (
    'd=${1:-.}; [ -d "$d" ] || exit 3; f=$d/unet-doctor-$$.tmp; '
    'touch "$f" 2>/dev/null && rm "$f" || exit 4; df -Pk "$d"'
)
_NO_FOLDER, _NOT_WRITABLE = 3, 4
_TOO_FULL_KIB = 2**20


def check(
    host: str,
    typed: dict[str, str],
    *,
    folder: str = "",
    question: models.Question | None = None,
) -> Iterator[Finding]:
    """Check a computer that Fiji is to reach over SSH.

    Parameters
    ----------
    host : str
        As for ``ssh``: user@host, or a name of ``~/.ssh/config``.
    typed : dict
        What the plugin calls for each program.
    folder : str, default ""
        The process folder there; empty for the home folder.
    question : Question, optional
        A model here and weights there to check.
    """
    place = ssh(host)
    first = list(shells.check(place))
    yield from first
    if any(shells.UNREACHABLE in finding.what for finding in first):
        return
    yield from jsch.check(host)
    yield from programs.check(place, typed)
    yield from _folder(place, folder)
    yield from _their_doctor(place, typed["caffe_unet"])
    if question is not None:
        yield from models.check(question.model)
        yield from _model(place, typed["caffe_unet"], folder, question)


def _folder(place: Place, folder: str) -> Iterator[Finding]:
    name = f"process folder {folder or 'HOME'} {place.label}"
    quoted = shlex.quote(folder or ".")
    host = place.shell[-1]
    if len(folder.split()) > 1:
        yield problem(
            f"{name}: its path has a blank; the plugin's commands are split there",
            "choose a folder without blanks in the plugin's dialog",
        )
    answer = place.run("/bin/sh", "-c", _FOLDER, "sh", folder)
    if answer.status == _NO_FOLDER:
        yield problem(f"{name}: there is none", f"ssh {host} mkdir -p {quoted}")
    elif answer.status == _NOT_WRITABLE:
        yield problem(
            f"{name}: cannot be written",
            f"ssh {host} 'sudo chown \"$USER\" {quoted}'",
        )
    elif answer.status != 0:
        yield problem(f"{name}: {answer.last_line}")
    else:
        yield _room(answer.stdout, name)


def _room(table: str, name: str) -> Finding:
    """Read what ``df -Pk`` prints: the fourth word of its last line is what is free."""
    words = table.strip().split("\n")[-1].split()
    if len(words) < 5 or not words[3].isdecimal():
        return warning(f"{name}: can be written; how much is free is not known")
    text = f"{name}: {int(words[3]) / 2**20:.1f} GiB free"
    if int(words[3]) < _TOO_FULL_KIB:
        return problem(
            f"{text}, too little for a finetuning's snapshots",
            "choose a folder on another disk in the plugin's dialog",
        )
    return ok(f"{text}, can be written")


def _their_doctor(place: Place, caffe_unet: str) -> Iterator[Finding]:
    """Run the other installation's doctor for what only it can see."""
    found = place.look(caffe_unet)
    if found is None:
        return
    pyunet = str(PurePosixPath(found[0]).with_name("pyunet"))
    words = [pyunet, "doctor", "--only", "machine"]
    answer = place.run(*words)
    findings = list(read_report(answer.stdout, place.shell[-1]))
    if findings:
        yield from findings
    else:
        yield warning(
            f"there is no pyunet beside {found[0]} {place.label}, to ask for its "
            "torch and GPUs",
            "in a container: call `pyunet doctor --only machine` there",
        )


def _model(
    place: Place, caffe_unet: str, folder: str, question: models.Question
) -> Iterator[Finding]:
    """Copy the model there, ask, and remove it again, as the plugin does."""
    host = place.shell[-1]
    prefix = f"{folder.rstrip('/')}/" if folder else ""
    target = f"{prefix}unet-doctor-{uuid.uuid4()}.modeldef.h5"
    copied = terminal().run(
        "scp", "-q", "-o", "BatchMode=yes", "--",
        str(question.model), f"{host}:{target}",
    )  # fmt: skip
    if copied.status != 0:
        yield problem(
            f"{question.model} cannot be copied to {host}: {copied.last_line}",
            "let the files of the login shell there print nothing where nobody is at a "
            f"terminal; then this must work: sftp {host}",
        )
        return
    answer = place.run(caffe_unet, *question.words(target))
    place.run("rm", "-f", target)
    pair = f"{question.model} and {question.weights} {place.label}"
    yield models.judged(answer, pair, caffe_unet)
