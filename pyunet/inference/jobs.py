"""Segment files into files: what ``pyunet segment`` does."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyunet.data.images import ImageStack
from pyunet.errors import DataError
from pyunet.files import followed
from pyunet.inference.engine import VOLUME, choose_computation
from pyunet.inference.mapped import is_mapped, open_stack
from pyunet.inference.outputs import Outputs, Values, write_parts
from pyunet.memory import available_bytes, used_bytes

if TYPE_CHECKING:
    from pyunet.data.labels import Kind
    from pyunet.inference.object_files import Found, ObjectFinder
    from pyunet.inference.segmenting import Segmenter, Work
    from pyunet.inference.trained import Trained
    from pyunet.inference.windows import Inputs


@dataclass(frozen=True)
class Truth:
    """Hand labels of an image, for a picture that compares.

    Attributes
    ----------
    path : Path
    kind, inside
        As for `pyunet.data.labels.read_labels`.
    """

    path: Path
    kind: Kind = "auto"
    inside: int | None = None

    def read(self, stack: ImageStack, slices: slice) -> tuple[NDArray[np.generic], str]:
        """Read hand labels as every verb does; they may be of the chosen slices only.

        Returns
        -------
        labels : ndarray of int, shape (N, Y, X)
            Classes, 0 is background or membrane; where there is one besides it, cells.
        sentence : str
            How they were understood.

        Raises
        ------
        DataError
            Labels of another size than the images, or that nobody can understand.
        """
        from pyunet.data.labels import read_labels  # slow to import

        labels = read_labels(self.path, kind=self.kind, inside=self.inside)
        several = labels.classes.max(initial=0) > 1
        truth = labels.classes if several else labels.instances
        chosen = truth if len(truth) == len(stack.array) else truth[slices]
        expected = (len(stack.array), *stack.array.shape[2:])
        if chosen.shape != expected:
            raise DataError(
                f"{self.path}: labels of {chosen.shape} slices, rows and columns; the "
                f"images have {expected}"
            )
        return chosen, labels.sentence


@dataclass(frozen=True)
class Segmented:
    """What was done with one image or stack.

    Attributes
    ----------
    outputs : Outputs
    shape : tuple of int
        (N, C, Y, X) of the stack.
    work : Work
        With the tiles that were taken.
    seconds : float
    truth : str
        How hand labels were understood; empty: there are none.
    objects : Found or None
    """

    outputs: Outputs
    shape: tuple[int, ...]
    work: Work
    seconds: float
    truth: str = ""
    objects: Found | None = None


@dataclass(frozen=True)
class Job:
    """Images, a net, and how they are segmented.

    Attributes
    ----------
    images : sequence of Path
        Files, and folders that are one stack each.
    out : Path
        Folder of the results.
    model, weights, gpu
        As for `pyunet.inference.trained.load_trained`.
    precision, backend
        As for `pyunet.inference.engine.choose_computation`.
    memory : str or None
        As for `pyunet.memory.memory_limit`.
    slices : slice
        Of each stack.
    element_size_um : sequence of float or None
        Of a pixel, (z)yx, which goes before what a file says.
    tile_size : sequence of int or None
        Output pixels of a tile.
    average : str or None
        As for `parse_passes`; None: as the model's list says.
    average_of, softmax
        As for `Segmenter`.
    truth : Truth or None
    objects : ObjectFinder or None
        Whether objects are told apart.
    """

    images: Sequence[Path]
    out: Path
    model: str
    weights: Path | None = None
    gpu: int | None = None
    precision: str = "float32"
    backend: str = "torch"
    memory: str | None = None
    slices: slice = field(default_factory=lambda: slice(None))
    element_size_um: Sequence[float] | None = None
    tile_size: Sequence[int] | None = None
    average: str | None = None
    average_of: Values = "scores"
    softmax: bool = False
    truth: Truth | None = None
    objects: ObjectFinder | None = None

    def run(self) -> Iterator[Segmented]:
        """Segment all images, one after the other; the first error ends it.

        Raises
        ------
        DataError
            Files that cannot be read or written, a result that would overwrite
            another file, what the model refuses.
        OutOfMemoryError
            Not even small tiles fit.
        """
        places = self._places()
        segmenter, trained = self._load()
        for path, outputs in places:
            yield self._segment(path, outputs, segmenter, trained)

    def _places(self) -> list[tuple[Path, Outputs]]:
        """Name all outputs before any work is done; refuse to overwrite anything."""
        out = self.out
        if (out.exists() or out.is_symlink()) and not out.is_dir():
            raise DataError(f"{out}: is no folder; --out wants one, or a new name")
        places: dict[str, tuple[Path, Outputs]] = {}
        for path in self.images:
            if not path.exists():
                raise DataError(f"{path}: no such file or folder")
            name = path.stem if path.is_file() else followed(path).name
            if name in places:
                raise DataError(
                    f"{path}: would overwrite the results of {places[name][0]}; give "
                    "them different names or segment them into different folders"
                )
            places[name] = (path, Outputs.of(out, name))
        self._check_inputs_stay([outputs for _, outputs in places.values()])
        return list(places.values())

    def _check_inputs_stay(self, outputs: list[Outputs]) -> None:
        truth = self.truth.path if self.truth else None
        inputs = [path for path in (*self.images, self.weights, truth) if path]
        inside = [file for path in inputs if path.is_dir() for file in path.iterdir()]
        read = {followed(path) for path in (*inputs, *inside)}
        for one in outputs:
            clash = [path for path in one.written() if followed(path) in read]
            if clash:
                raise DataError(
                    f"{clash[0]}: is an input and would be overwritten; take another "
                    "--out"
                )

    def _load(self) -> tuple[Segmenter, Trained]:
        from pyunet.inference.passes import parse_passes

        passes = None if self.average is None else parse_passes(self.average)
        choose_computation(precision=self.precision, backend=self.backend)
        with ThreadPoolExecutor(1) as pool:  # slow to import, and used after the net
            pool.submit(import_module, "pyunet.inference.pictures")
            from pyunet.inference.segmenting import Segmenter
            from pyunet.inference.trained import load_trained

            trained = load_trained(self.model, self.weights, gpu=self.gpu)
        if self.average is None and trained.average:
            passes = parse_passes(trained.average)
        segmenter = Segmenter.within(
            trained.model, self.memory, passes=passes, softmax=self.softmax,
            average_of=self.average_of, tile_size=self.tile_size, folder=self.out,
        )  # fmt: skip
        return segmenter, trained

    def _segment(
        self, path: Path, outputs: Outputs, segmenter: Segmenter, trained: Trained
    ) -> Segmented:
        started = time.monotonic()
        stack = self._cut(open_stack(path, self.out), path)
        truth, sentence = None, ""
        if self.truth:
            truth, sentence = self.truth.read(stack, self.slices)
        limit, held = _of_process(segmenter)
        inputs = self._prepare(stack, path, trained, limit - held)
        if not segmenter.model.on_gpu and not is_mapped(stack.array):
            segmenter = replace(segmenter, held=segmenter.held + stack.array.nbytes)
        work = segmenter.plan(inputs)
        if self.objects:
            self.objects.check(stack, images=inputs.count, limit=limit, held=held)
        labels = _write_scores(work, stack, outputs)
        _draw(outputs, stack, labels, truth)
        objects = None
        if self.objects:
            volumes = inputs.count if len(inputs.own) == VOLUME else 0
            objects = self.objects.write(
                labels, stack, trained, outputs, volumes=volumes
            )
        seconds = time.monotonic() - started
        return Segmented(outputs, stack.array.shape, work, seconds, sentence, objects)

    def _cut(self, stack: ImageStack, path: Path) -> ImageStack:
        """Keep the chosen slices of a stack."""
        array, slices = stack.array[self.slices], self.slices
        if len(array) == 0:
            raise DataError(
                f"{path}: has {len(stack.array)} slices, none of them is in --slices "
                f"{slices.start or 0}:{'' if slices.stop is None else slices.stop}"
            )
        return replace(stack, array=array)

    def _prepare(
        self, stack: ImageStack, path: Path, trained: Trained, free: int
    ) -> Inputs:
        """Prepare the stack of a file: pixel size and grey values as the net's."""
        from pyunet.inference.calibration import find_element_size, frame_count

        trained.check_channels(stack)
        frames = frame_count(path) if trained.several_volumes else 1
        if frames > 1 and self.slices != slice(None):
            raise DataError(
                f"{path}: --slices goes with one volume, this file has {frames} frames"
            )
        net_um = trained.pixel_size_um
        size = net_um and find_element_size(
            stack.resolution, net_um, given=self.element_size_um, name=str(path)
        )
        return trained.prepare(stack, size, frames=frames, free=free)


def _of_process(segmenter: Segmenter) -> tuple[int, int]:
    """Give the limit of the process: on a GPU that of a tile is another one."""
    if segmenter.model.on_gpu:
        return used_bytes() + available_bytes(), used_bytes()
    return segmenter.memory, segmenter.held


def _write_scores(
    work: Work, stack: ImageStack, outputs: Outputs
) -> NDArray[np.unsignedinteger[Any]]:
    """Segment a stack into its files; give the labels, shape (N, Y, X)."""
    outputs.labels.parent.mkdir(parents=True, exist_ok=True)
    count, _, height, width = stack.array.shape
    with closing(work.parts(stack.name)) as parts:
        return write_parts(
            outputs,
            parts,
            (count, work.segmenter.classes, height, width),
            values=work.segmenter.values,
            resolution=stack.resolution,
        )


def _draw(
    outputs: Outputs,
    stack: ImageStack,
    labels: NDArray[np.unsignedinteger[Any]],
    truth: NDArray[np.generic] | None,
) -> None:
    from pyunet.inference.pictures import comparison_png, overlay_png

    overlay_png(outputs.overlay, stack.array, labels)
    if truth is not None:
        comparison_png(outputs.comparison, stack.array, truth, labels)
