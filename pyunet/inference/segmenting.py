"""From prepared images to the scores of their own pixels, within a memory limit.

Scores that need no second look go where they are wanted tile by tile. Scores that are
averaged, or read back at other pixels, are gathered first: in the memory where they
take at most half of it, in a temporary file otherwise.

Where memory runs out all the same, tiles are halved and the image is begun again; any
tiles give the same scores. That ends before tiles are little but border.
"""

from __future__ import annotations

import gc
import logging
import math
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from tqdm import tqdm

from pyunet.errors import DataError, OutOfMemoryError
from pyunet.inference.averaging import (
    SUM_BYTES,
    average_window,
    plan_passes,
    tile_total,
)
from pyunet.inference.engine import FLOAT_BYTES, VOLUME, Model
from pyunet.inference.halving import halved
from pyunet.inference.mapped import Scratch
from pyunet.inference.outputs import Values
from pyunet.inference.passes import Pass
from pyunet.inference.predict import Part, make_plan, segment_parts, softmax_of
from pyunet.inference.tiling import Plan, Window, format_shape
from pyunet.inference.windows import (
    BLOCK_PX,
    FloatArray,
    Inputs,
    blocks,
    changed,
    everywhere,
    of_array,
)
from pyunet.memory import (
    MOST_READ,
    available_bytes,
    is_out_of_memory,
    memory_limit,
    out_of_memory_text,
)

LOG = logging.getLogger(__name__)
Result = TypeVar("Result")
Plans = dict[Pass, Plan]


@dataclass(frozen=True)
class Segmenter:
    """Segments prepared images with a net.

    Attributes
    ----------
    model : Model
    memory : int
        Bytes that may be taken, those in `held` included.
    held : int, default 0
        Bytes that are taken already: by the program, the loaded net, the images.
    passes : tuple of Pass, optional
        Versions of an image to average over.
    softmax : bool, default False
        Give probabilities in place of scores.
    average_of : {"scores", "probabilities"}, default "scores"
        What is averaged.
    tile_size : sequence of int, optional
        Output pixels of a tile; default: what costs least within the memory.
    folder : Path, optional
        For temporary files; default: all is held in memory.
    """

    model: Model
    memory: int
    held: int = 0
    passes: tuple[Pass, ...] | None = None
    softmax: bool = False
    average_of: Values = "scores"
    tile_size: Sequence[int] | None = None
    folder: Path | None = None

    @classmethod
    def within(cls, model: Model, memory: str | None = None, **options: Any) -> Self:
        """Segment with a net within a limit of memory; see `memory_limit`."""
        limit, held = memory_limit(memory, on_gpu=model.on_gpu)
        return cls(model, limit, held, **options)

    def scores(self, inputs: Inputs, *, label: str = "segment") -> FloatArray:
        """Compute the scores of images, and hold them.

        Parameters
        ----------
        inputs : Inputs
        label : str
            What the progress bar is called.

        Returns
        -------
        ndarray of float32, shape (N, K, [Z,] Y, X)

        Raises
        ------
        DataError, OutOfMemoryError
            As `plan` and `Work.parts`.
        """
        shape = (inputs.count, self.classes, *inputs.own)
        result = FLOAT_BYTES * math.prod(shape)
        holding = self if self.model.on_gpu else replace(self, held=self.held + result)
        work, scores = holding.plan(inputs), np.empty(shape, np.float32)
        for part in work.image_parts(label):
            target: tuple[slice, ...] = (slice(None), *part.target)
            scores[part.image][target] = part.scores
        return scores

    def plan(self, inputs: Inputs) -> Work:
        """Decide how images are cut into tiles, and where their scores are gathered.

        Raises
        ------
        DataError
            No tile fits into the memory.
        """
        held = self.held
        if not self.model.on_gpu:
            held += inputs.held
        if self._is_streamed(inputs):
            plan = make_plan(
                self.model, inputs.extent, memory=self.memory, held=held,
                tile_size=self.tile_size, parts=inputs.count,
            )  # fmt: skip
            return Work(self, inputs, {Pass(): plan}, streamed=True)
        passes = self.passes or (Pass(),)
        gathered = self._gathered_bytes(inputs, passes)
        if self.folder is not None and gathered > self._room(held):
            return self._gathering(inputs, passes, held, self.folder)
        taken = held if self.model.on_gpu else held + gathered
        try:
            return self._gathering(inputs, passes, taken, None)
        except DataError:
            if self.folder is None:
                raise
            return self._gathering(inputs, passes, held, self.folder)

    def _gathering(
        self, inputs: Inputs, passes: Sequence[Pass], held: int, folder: Path | None
    ) -> Work:
        plans = plan_passes(
            self.model, inputs.extent, passes, memory=self.memory, held=held,
            tile_size=self.tile_size, parts=inputs.count,
        )  # fmt: skip
        return Work(self, inputs, plans, folder=folder)

    def _is_streamed(self, inputs: Inputs) -> bool:
        return self.passes is None and inputs.back is None

    def _room(self, held: int) -> int:
        """Give the bytes that whole images and their scores may take."""
        if self.model.on_gpu:  # whose memory is not where they are held
            return available_bytes() // 4
        return (self.memory - held) // 2

    def _gathered_bytes(self, inputs: Inputs, passes: Sequence[Pass]) -> int:
        """Count an image, its sums, and what rotating them takes."""
        each = SUM_BYTES * self.classes + FLOAT_BYTES * self.model.channels
        turned = FLOAT_BYTES * (2 * self.classes + self.model.channels)
        if not all(one.is_exact for one in passes):
            each += turned
        return each * math.prod(inputs.extent)

    @property
    def values(self) -> Values:
        """Say what the numbers are that come out."""
        probabilities = (
            self.softmax
            or self.average_of == "probabilities"
            or self.model.gives_probabilities
        )
        return "probabilities" if probabilities else "scores"

    @property
    def classes(self) -> int:
        """Number of the scores' channels."""
        return int(self.model.net.blobs[self.model.output].shape[1])


@dataclass
class Work:
    """Images on their way through a net.

    Attributes
    ----------
    segmenter : Segmenter
    inputs : Inputs
    plans : dict of Pass to Plan
        Changed where memory runs out.
    streamed : bool
        Whether scores are given tile by tile.
    folder : Path or None
        Where scores are gathered on the disk; None: in the memory.
    """

    segmenter: Segmenter
    inputs: Inputs
    plans: Plans
    streamed: bool = False
    folder: Path | None = None

    def parts(self, label: str = "segment") -> Generator[Part]:
        """Compute the scores of all images.

        Parameters
        ----------
        label : str
            What the progress bar is called.

        Yields
        ------
        Part
            Of slices, (K, Y, X) each, which it covers in any order. A part may be
            given once more, with the same scores, after memory ran out.

        Raises
        ------
        OutOfMemoryError
            There are no smaller tiles that are of use.
        DataError
            What reading the images refuses.
        """
        volume = len(self.inputs.own) == VOLUME
        with closing(self.image_parts(label)) as parts:
            for part in parts:
                if not volume:
                    yield part
                    continue
                first = part.image * self.inputs.own[0]
                for plane in part.planes():
                    yield replace(plane, image=first + plane.image)

    def image_parts(self, label: str = "segment") -> Generator[Part]:
        """Compute the scores as `parts`, but those of volumes (K, Z, Y, X)."""
        return self._streamed(label) if self.streamed else self._gathered(label)

    def _streamed(self, label: str) -> Generator[Part]:
        segmenter, model, inputs = self.segmenter, self.segmenter.model, self.inputs
        done = 0
        while True:
            parts = segment_parts(
                model, islice(inputs.windows(), done, None), self.plans[Pass()],
                total=inputs.count - done, label=label,
                softmax=segmenter.softmax and not model.gives_probabilities,
            )  # fmt: skip
            first = done
            try:
                with closing(parts):
                    for part in parts:
                        done = first + part.image
                        yield replace(part, image=done)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                reason = out_of_memory_text(error)
            else:
                return
            self._halve(reason)

    def _gathered(self, label: str) -> Generator[Part]:
        inputs, classes = self.inputs, self.segmenter.classes
        with tqdm(
            total=inputs.count * tile_total(self.plans), desc=label, unit="tile",
            disable=None,
        ) as progress:  # fmt: skip
            for number, window in enumerate(inputs.windows()):
                scores = inputs.restored(self._scores(window, progress.update), classes)
                for at in blocks(everywhere(inputs.own), BLOCK_PX // classes):
                    yield Part(number, at, scores(at))

    def _scores(self, window: Window, progress: Callable[[], object]) -> Window:
        """Compute the scores of an image at the net's pixels."""
        segmenter, model = self.segmenter, self.segmenter.model
        raw = not model.gives_probabilities
        each = segmenter.average_of == "probabilities" and raw
        extent = self.inputs.extent
        if self.folder is None and len(self.plans) > 1:  # read once, not in every pass
            window = of_array(window(everywhere(extent)))
        mean = self._with_less(
            lambda: average_window(
                model, window, extent, self.plans,
                of="probabilities" if each else "scores",
                scratch=Scratch(self.folder), progress=progress,
            )
        )  # fmt: skip
        if raw and segmenter.softmax and not each:
            return changed(mean, softmax_of)
        return mean

    def _with_less(self, work: Callable[[], Result]) -> Result:
        """Do something, with smaller tiles where memory runs out."""
        while True:
            try:
                return work()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                reason = out_of_memory_text(error)
            self._halve(reason)

    def _halve(self, reason: str) -> None:
        gc.collect()  # what the failed tile held
        smaller = {one: halved(plan) for one, plan in self.plans.items()}
        before = format_shape(next(iter(self.plans.values())).tile)
        plans = {one: plan for one, plan in smaller.items() if plan is not None}
        if len(plans) < len(smaller):
            raise OutOfMemoryError(
                f"{reason}; with tiles of {before}; smaller ones would read more than "
                f"{MOST_READ} times the pixels that they answer"
            )
        first = next(iter(plans.values()))
        LOG.warning(
            "%s: tiles of %s were too large, going on with %s",
            reason, before, _said(first),
        )  # fmt: skip
        self.plans = plans


def _said(plan: Plan) -> str:
    together = f", {plan.batch} together" if plan.batch > 1 else ""
    return f"tiles of {format_shape(plan.tile)}{together}"
