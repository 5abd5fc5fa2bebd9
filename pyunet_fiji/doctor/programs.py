"""The two programs that the plugin starts: which they are, and whether they answer.

The plugin calls both without an argument before every job and wants the exit status 0
(caffe_unet_cli.md, sections 1 and 6.1).
"""

from __future__ import annotations

import shlex
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from pyunet_fiji.doctor import mending, wrappers
from pyunet_fiji.doctor.findings import Finding, ok, problem, warning
from pyunet_fiji.doctor.places import PATIENCE_S, Answer, Place

SLOW_S = 10.0
OURS, COMPILED, SCRIPT = "ours", "compiled", "script"
_MODULES = {"caffe": "caffe.cli", "caffe_unet": "pyunet_fiji.backend"}
_ACTIONS = {"caffe": "train", "caffe_unet": "tiled_predict"}


@dataclass(frozen=True)
class Program:
    """A program that the plugin will find.

    Attributes
    ----------
    name : str
        ``"caffe"`` or ``"caffe_unet"``.
    path : str
    kind : str
        `OURS`, `COMPILED` (a C++ build) or `SCRIPT` (a wrapper).
    head : str
        The beginning of its file.
    """

    name: str
    path: str
    kind: str
    head: str

    @property
    def folder(self) -> str:
        """The folder that it lies in."""
        return str(PurePath(self.path).parent)


def find(name: str, typed: str, place: Place) -> Program | None:
    """Find what the plugin starts when it wants a program.

    Parameters
    ----------
    name : str
        ``"caffe"`` or ``"caffe_unet"``.
    typed : str
        What the plugin calls: the name, or the path that its dialog was given.
    place : Place
    """
    found = place.look(typed)
    if found is None:
        return None
    path, head = found
    return Program(name, path, _kind(name, path, head), head)


def check(
    place: Place,
    typed: dict[str, str],
    *,
    missing: str = "problem",
    silent: bool = False,
) -> Iterator[Finding]:
    """Check both programs in one place.

    Parameters
    ----------
    place : Place
    typed : dict
        What the plugin calls for ``"caffe_unet"`` and for ``"caffe"``.
    missing : str, default "problem"
        Level of a program that is not there.
    silent : bool, default False
        Check also that ``caffe train`` writes nothing on its stdout, whose first
        line the plugin takes for a process number.
    """
    found = {name: find(name, typed[name], place) for name in ("caffe_unet", "caffe")}
    for name, program in found.items():
        if program is None:
            mend = mending.program_missing(place, typed[name])
            what = f"{name} {place.label}: not found"
            if typed[name] != name:
                what += f" as {typed[name]}"
            yield Finding(missing, what, mend)
        else:
            yield from _check_one(program, typed[name], place)
    yield from _check_pair(found, place)
    if silent and found["caffe"] is not None:
        yield from _check_silence(found["caffe"], typed["caffe"], place)


def _kind(name: str, path: str, head: str) -> str:
    if not head.startswith("#!"):
        scripts = Path(sysconfig.get_path("scripts")).resolve()
        same = Path(path).resolve().parent == scripts
        return OURS if same and path.lower().endswith(".exe") else COMPILED
    return OURS if _MODULES[name] in head else SCRIPT


def _check_one(program: Program, typed: str, place: Place) -> Iterator[Finding]:
    where = f"{program.name} {place.label}: {program.path}"
    answer = place.run(typed, patience_s=PATIENCE_S)
    if answer.status is None:
        yield problem(
            f"{where} does not end when called without arguments "
            f"(waited {answer.seconds:.0f} s)",
            mending.ours_first(place),
        )
        return
    if answer.status != 0:
        yield _failed(where, answer, place)
        return
    yield from _check_usage(program, where, answer, place)
    if program.kind == SCRIPT:
        yield from wrappers.check(program.path, program.head, place.label)


def _check_usage(
    program: Program, where: str, answer: Answer, place: Place
) -> Iterator[Finding]:
    said = answer.stdout + answer.stderr
    action = _ACTIONS[program.name]
    if action not in said and "usage" in said.lower():
        yield problem(
            f"{where} is another program: its usage text has no {action}",
            mending.ours_first(place),
        )
    elif action not in said:
        yield warning(f"{where} prints no usage text that names {action}")
    elif answer.seconds > SLOW_S:
        yield warning(
            f"{where} takes {answer.seconds:.0f} s for a bare call, of which each job "
            "makes two",
            "install pyunet on a local disk, not on a network drive",
        )
    elif program.kind == COMPILED:
        yield warning(
            f"{where} is a compiled Caffe, which knows no GPU of today",
            mending.ours_first(place),
        )
    else:
        kind = "a wrapper" if program.kind == SCRIPT else "of pyunet"
        yield ok(f"{where}, {kind}, answers in {answer.seconds:.2f} s")


def _check_pair(found: dict[str, Program | None], place: Place) -> Iterator[Finding]:
    unet, trainer = found["caffe_unet"], found["caffe"]
    if unet is None or trainer is None:
        return
    if unet.kind == OURS and trainer.kind == COMPILED:
        yield problem(
            f"caffe {place.label}: {trainer.path} is not of pyunet as caffe_unet is; "
            "finetuning would start the other Caffe",
            mending.ours_first(place),
        )
    elif unet.kind == trainer.kind == OURS and unet.folder != trainer.folder:
        yield warning(
            f"caffe_unet and caffe {place.label} are of two installations, "
            f"{unet.folder} and {trainer.folder}",
            mending.ours_first(place),
        )


def _check_silence(program: Program, typed: str, place: Place) -> Iterator[Finding]:
    """Start a training that must fail at once; its stdout must stay empty."""
    words = ("train", "-solver", "pyunet-doctor-no-such-file.prototxt")
    answer = place.run(typed, *words, patience_s=PATIENCE_S)
    first = answer.stdout.strip().split("\n")[0]
    if first:
        yield problem(
            f"caffe train {place.label} prints {first!r} on its stdout; the plugin "
            "takes that for a process number, and finetuning ends "
            "(NumberFormatException)",
            f"let {shlex.quote(program.path)} print that on stderr: echo ... >&2",
        )
    elif answer.status is None:
        yield problem(
            f"caffe train {place.label} does not end although its solver file is not "
            "there",
            mending.ours_first(place),
        )
    else:
        yield ok(f"caffe train {place.label} leaves stdout empty")


def _failed(where: str, answer: Answer, place: Place) -> Finding:
    """Say why a bare call failed."""
    said = answer.last_line or "without a word"
    return problem(
        f"{where} ends with exit status {answer.status}: {said}",
        mending.bare_call_failed(answer.stderr, place),
    )
