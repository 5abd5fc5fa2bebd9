"""All families of checks, one after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pyunet_fiji.doctor import (
    folders,
    imagej,
    machine,
    mending,
    models,
    programs,
    remote,
    shells,
)
from pyunet_fiji.doctor.findings import PROBLEM, WARNING, Finding, warning
from pyunet_fiji.doctor.places import Place, desktop, ssh_here, terminal

FAMILIES = ("programs", "ssh", "machine", "folders", "model")


@dataclass(frozen=True)
class Request:
    """What to look at.

    Attributes
    ----------
    only : tuple of str
        Families of `FAMILIES`; empty for all.
    folder : str
        The process folder; empty for the current one, over SSH the home folder.
    model : Path, optional
        A model to check.
    weights : str, optional
        Weights to check with it; a path in the place that computes.
    channels : int
    gpu : str
    host : str, optional
        The other computer.
    """

    only: tuple[str, ...] = ()
    folder: str = ""
    model: Path | None = None
    weights: str | None = None
    channels: int = 1
    gpu: str = ""
    host: str | None = None


def examine(request: Request) -> Iterator[Finding]:
    """Check what the plugin will find.

    Yields
    ------
    Finding
        As soon as it is known.
    """
    path = imagej.prefs_file()
    prefs = imagej.read(path)
    typed = imagej.typed(prefs)
    if request.host is not None:
        yield from imagej.check(path, prefs)
        question = _question(request)
        yield from remote.check(
            request.host, typed, folder=request.folder, question=question
        )
        return
    families: dict[str, Callable[[], Iterator[Finding]]] = {
        "programs": lambda: _programs(path, prefs),
        "ssh": _ssh,
        "machine": machine.check,
        "folders": lambda: folders.check(Path(request.folder).absolute()),
        "model": lambda: _model(request, typed["caffe_unet"]),
    }
    for name in FAMILIES:
        if not request.only or name in request.only:
            yield from families[name]()


def _programs(path: Path, prefs: dict[str, str]) -> Iterator[Finding]:
    """Check what a Fiji on this computer finds."""
    yield from imagej.check(path, prefs)
    typed = imagej.typed(prefs)
    here = terminal()
    yield from _dialog(here, typed)
    yield from programs.check(here, _reached(here, typed), silent=True)
    place = None if _is_server() else desktop()
    if place is not None:
        for finding in programs.check(place, _reached(place, typed)):
            yield _weaker(finding)


def _reached(place: Place, typed: dict[str, str]) -> dict[str, str]:
    """Take the whole path of this installation, where PATH does not lead to one.

    The plugin then asks for `caffe_unet`, and takes `caffe` from the same folder.
    """
    ours = mending.scripts() / "caffe_unet"
    if typed != imagej.typed({}) or place.look("caffe_unet") or not ours.is_file():
        return typed
    return {name: str(ours.with_name(name)) for name in typed}


def _dialog(place: Place, typed: dict[str, str]) -> Iterator[Finding]:
    reached = _reached(place, typed)
    if reached != typed:
        yield warning(
            f"caffe_unet is not on the PATH {place.label}: the plugin asks for it",
            f"give the plugin's dialog the path {reached['caffe_unet']}",
        )


def _ssh() -> Iterator[Finding]:
    """Check what a Fiji finds that reaches this computer over SSH."""
    place = ssh_here()
    if place is None:
        return
    found = [*shells.check(place), *programs.check(place, imagej.typed({}))]
    for finding in found:
        yield finding if _is_server() else _weaker(finding)


def _is_server() -> bool:
    """Tell whether the user came here over SSH, as Fiji then will."""
    return "SSH_CONNECTION" in os.environ


def _weaker(finding: Finding) -> Finding:
    """Say of a problem that it is one for some users only."""
    if finding.level != PROBLEM:
        return finding
    return replace(finding, level=WARNING)


def _model(request: Request, caffe_unet: str) -> Iterator[Finding]:
    if request.model is None:
        return
    question = _question(request)
    if question is None:
        yield from models.check(request.model)
        return
    mistaken = list(models.exchanged(question))
    yield from mistaken
    if not mistaken:
        weights = Path(question.weights)
        yield from models.check(request.model, weights)
        yield from models.check_channels(question)
        yield from models.ask(question, caffe_unet, terminal())


def _question(request: Request) -> models.Question | None:
    if request.model is None or request.weights is None:
        return None
    return models.Question(
        request.model, request.weights, request.channels, request.gpu
    )
