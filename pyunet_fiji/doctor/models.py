"""Whether a model and weights fit together, as the plugin asks and beyond.

The plugin's own question, ``caffe_unet check_model_and_weights_h5``, compares two names
at times and loads nothing (caffe_unet_cli.md, section 3.2). What then stays random is
looked for here in the files.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pyunet.boundary import reading
from pyunet.errors import DataError
from pyunet_fiji.doctor import mending
from pyunet_fiji.doctor.findings import PROBLEM, WARNING, Finding, ok, problem
from pyunet_fiji.doctor.places import Answer, Place

if TYPE_CHECKING:
    from pyunet_fiji.modeldef.findings import Finding as Defect

_FATAL = re.compile(r"F\d{4}|ERROR")
CHECK = "check_model_and_weights_h5"


@dataclass(frozen=True)
class Question:
    """What is asked of ``caffe_unet``.

    Attributes
    ----------
    model : Path
        The ``.modeldef.h5``.
    weights : str
        Path of the weights in the place that computes.
    channels : int
        Of the images; 3 for colour.
    gpu : str
        Value of ``-gpu``; empty for the CPU.
    """

    model: Path
    weights: str
    channels: int = 1
    gpu: str = ""

    def words(self, model: str) -> tuple[str, ...]:
        """Return the arguments that the plugin gives, with the model's path there."""
        words: tuple[str, ...] = (CHECK, "-model", model, "-weights", self.weights)
        words += ("-n_channels", str(self.channels))
        return (*words, "-gpu", self.gpu) if self.gpu else words


def check(model: Path, weights: Path | None = None) -> Iterator[Finding]:
    """Check a model, and weights with it, by what the files hold.

    Parameters
    ----------
    model : Path
    weights : Path, optional
    """
    from pyunet_fiji.modeldef.checks import check_modeldef
    from pyunet_fiji.modeldef.findings import Effect

    lighter = (Effect.NOTE, Effect.FINETUNING)
    try:
        found = check_modeldef(model, weights=weights)
    except DataError as error:
        yield problem(str(error), "correct the path, or copy the file again")
        return
    grave = [each for each in found if each.effect not in lighter]
    for level, group in (
        (PROBLEM, grave),
        (WARNING, [each for each in found if each not in grave]),
    ):
        for where, each, more in _first_of_each(group):
            file = "" if where == str(weights) else f"{model}: "
            what = (
                f"{file}{where}: {each.what} ({each.effect.value}); "
                f"expected {each.accepted}"
            )
            if more:
                what += f"; {more} more of these: pyunet modeldef check {model}"
                what += f" --weights {weights}" if weights else ""
            yield Finding(level, what)
    if not grave:
        pair = f"{model} and {weights}" if weights else str(model)
        yield ok(f"{pair}: nothing in the way of segmentation")


def exchanged(question: Question) -> Iterator[Finding]:
    """Find weights that were given as the model, or the model as weights."""
    for path, group, is_what, wanted in (
        (question.model, "data", "weights, no model", "the .modeldef.h5 file"),
        (Path(question.weights), "model_prototxt", "a model definition, no weights; "
         "the net would stay random", "the .caffemodel.h5 file"),
    ):  # fmt: skip
        if group in _members(path):
            yield problem(f"{path} is {is_what}", f"give {wanted}")


def check_channels(question: Question) -> Iterator[Finding]:
    """Check that weights are for images with that many channels.

    Those for fewer or more are loaded all the same (fiji_observed.md, correction 2).
    """
    import h5py

    layer = first_layer(question.model)
    try:
        with reading(question.weights), h5py.File(question.weights, "r") as file:
            kernels = file.get(f"data/{layer}/0")
            shape = tuple(getattr(kernels, "shape", None) or ())
    except DataError:  # another format, or said by `check`
        return
    if len(shape) > 1 and shape[1] != question.channels:
        yield problem(
            f"{question.weights} is for images of {shape[1]} channels; with "
            f"{question.channels} most of layer {layer} stays random, and results "
            "differ from run to run",
            f"turn the images into {shape[1]} channels, or finetune",
        )


def ask(question: Question, caffe_unet: str, place: Place) -> Iterator[Finding]:
    """Ask ``caffe_unet`` as the plugin does before each job."""
    if place.look(caffe_unet) is None:
        yield problem(
            f"{caffe_unet} is not there to be asked about {question.weights}",
            mending.program_missing(place, caffe_unet),
        )
        return
    model = str(question.model.absolute())
    answer = place.run(caffe_unet, *question.words(model))
    yield judged(answer, f"{question.model} and {question.weights}", caffe_unet)


def judged(answer: Answer, pair: str, caffe_unet: str) -> Finding:
    """Say what an answer means; the plugin looks for the same words (section 7)."""
    if answer.status == 0:
        return ok(f"{pair} fit together, says {caffe_unet}")
    if answer.status is None:
        return problem(f"{caffe_unet} {CHECK} does not end")
    said = _fatal(answer.stderr) or answer.last_line or "no reason"
    text = f"{pair}: {caffe_unet} {CHECK} refuses them: {said}"
    mend = "give the weights that belong to this model"
    if "out of memory" in answer.stderr:
        mend = "free the GPU (nvidia-smi shows who uses it), or choose another"
    elif "invalid device ordinal" in answer.stderr:
        mend = "choose a GPU that is there, or `none`, in the plugin's dialog"
    elif "unknown command line flag" in answer.stderr:
        mend = "this is not caffe_unet: correct its path in the plugin's dialog"
    return problem(text, mend)


def _members(path: Path) -> set[str]:
    """Return what the root of an HDF5 file holds; of another file nothing."""
    import h5py

    with contextlib.suppress(DataError), reading(path), h5py.File(path, "r") as file:
        return set(file)
    return set()


def _first_of_each(
    group: list[Defect],
) -> Iterator[tuple[str, Defect, int]]:
    """Yield the first defect of each kind, its place, and how many more there are."""
    for effect in dict.fromkeys(each.effect for each in group):
        same = [each for each in group if each.effect is effect]
        yield same[0].where, same[0], len(same) - 1


def first_layer(path: Path) -> str:
    """Return the name of the layer that sees the image; empty if that is not known."""
    from pyunet_fiji.modeldef import read_modeldef
    from pyunet_fiji.modeldef.nets import parse_net

    try:
        layers = parse_net(read_modeldef(path).model_prototxt).layer
    except DataError:  # said by `check`
        return ""
    kernels = (each.name for each in layers if each.type == "Convolution")
    return str(next(kernels, ""))


def _fatal(stderr: str) -> str:
    """Return what the first line of the log that ends it says, without its prefix."""
    for line in stderr.split("\n"):
        if _FATAL.match(line):
            return line.partition("] ")[2] or line
    return ""
