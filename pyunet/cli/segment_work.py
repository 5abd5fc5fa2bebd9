"""How ``pyunet segment`` computes and writes the scores of one stack."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pyunet.data.images import ImageStack
    from pyunet.inference.averaging import Pass
    from pyunet.inference.engine import Model
    from pyunet.inference.inputs import Inputs
    from pyunet.inference.outputs import Outputs, Values
    from pyunet.inference.predict import Part
    from pyunet.inference.tiling import Plan

    Plans = Plan | dict[Pass, Plan]


@dataclass(frozen=True)
class Wanted:
    """What is averaged and what is written.

    Attributes
    ----------
    softmax : bool
        Whether probabilities are written.
    of : {"scores", "probabilities"}
        What is averaged.
    """

    softmax: bool
    of: Values

    def written(self, model: Model) -> Values:
        """Say what the numbers of the scores' file are."""
        probabilities = (
            self.softmax or self.of == "probabilities" or model.gives_probabilities
        )
        return "probabilities" if probabilities else "scores"


def make_plans(
    model: Model,
    stack: ImageStack,
    inputs: Inputs,
    memory: tuple[int, int],
    sizes: list[int] | None,
    passes: tuple[Pass, ...] | None,
) -> Plans:
    """Decide how the images of a stack, or their versions, are cut into tiles.

    Parameters
    ----------
    model : Model
    stack : ImageStack
    inputs : Inputs
        What the net sees of the stack.
    memory : (int, int)
        Bytes that may be taken, and those that the loaded program holds.
    sizes : list of int or None
        Output pixels of a tile.
    passes : tuple of Pass or None
        Versions to average over.

    Raises
    ------
    DataError
        No tile fits into the memory.
    """
    from pyunet.inference.predict import make_plan

    limit, held = memory
    parts = inputs.count if _by_parts(inputs, passes) else 0
    if held:
        held += _held_bytes(model, stack, inputs, parts)
    if passes is None:
        return make_plan(
            model, inputs.extent, memory=limit, held=held, tile_size=sizes, parts=parts
        )
    from pyunet.inference.averaging import plan_passes

    return plan_passes(
        model, inputs.extent, passes, memory=limit, held=held, tile_size=sizes
    )


def _by_parts(inputs: Inputs, passes: object) -> bool:
    """Say whether no image needs to be in memory whole."""
    return inputs.windows is not None and passes is None


def _held_bytes(model: Model, stack: ImageStack, inputs: Inputs, parts: int) -> int:
    """Count the images that were read, and one that is prepared ahead."""
    from pyunet.inference.engine import FLOAT_BYTES
    from pyunet.inference.mapped import is_mapped

    if parts:
        return 0 if is_mapped(stack.array) else stack.array.nbytes
    ahead = FLOAT_BYTES * model.channels * math.prod(inputs.extent)
    return stack.array.nbytes + (ahead if inputs.count > 1 else 0)


def write_stack(
    model: Model,
    stack: ImageStack,
    inputs: Inputs,
    plan: Plans,
    outputs: Outputs,
    wanted: Wanted,
) -> NDArray[np.unsignedinteger]:
    """Segment a stack into its files; give the labels, shape (N, Y, X).

    Raises
    ------
    DataError
        A file that cannot be written; what reading the images refuses.
    """
    from pyunet.inference.outputs import write_parts

    outputs.labels.parent.mkdir(parents=True, exist_ok=True)
    classes = int(model.net.blobs[model.output].shape[1])
    count, _, *extent = stack.array.shape
    with closing(_parts(model, stack, inputs, plan, wanted)) as parts:
        return write_parts(
            outputs,
            parts,
            (count, classes, extent[0], extent[1]),
            values=wanted.written(model),
            resolution=stack.resolution,
        )


def _parts(
    model: Model,
    stack: ImageStack,
    inputs: Inputs,
    plan: Plans,
    wanted: Wanted,
) -> Generator[Part]:
    """Give the scores of parts of slices, (K, Y, X) each."""
    from pyunet.inference.predict import Part, segment_parts

    if isinstance(plan, dict) or inputs.windows is None:
        height, width = stack.array.shape[-2:]
        whole = (slice(0, height), slice(0, width))
        for number, scores in enumerate(
            _scores(model, inputs, plan, wanted, stack.name)
        ):
            yield Part(number, whole, scores)
        return
    parts = segment_parts(
        model, inputs.windows(), plan, total=inputs.count, output=model.output,
        softmax=wanted.softmax and not model.gives_probabilities, label=stack.name,
    )  # fmt: skip
    with closing(parts):
        for part in parts:
            yield from part.planes() if is_volume(model) else [part]


def _scores(
    model: Model, inputs: Inputs, plan: Plans, wanted: Wanted, name: str
) -> Iterator[NDArray[np.float32]]:
    """Give the scores (K, Y, X) of one slice after the other."""
    for raw in _images_scores(model, inputs, plan, wanted, name):
        scores = inputs.restore(raw)
        yield from scores.swapaxes(0, 1) if is_volume(model) else [scores]


def _images_scores(
    model: Model, inputs: Inputs, plan: Plans, wanted: Wanted, name: str
) -> Iterator[NDArray[np.float32]]:
    """Give the scores (K, [Z,] Y, X) of one image after the other."""
    from pyunet.inference.predict import segment_arrays
    from pyunet.inference.threads import ahead

    raw = not model.gives_probabilities
    images = ahead(inputs.arrays(), depth=1) if inputs.count > 1 else inputs.arrays()
    if not isinstance(plan, dict):
        yield from segment_arrays(
            model, images, plan, total=inputs.count, output=model.output,
            softmax=raw and wanted.softmax, label=name,
        )  # fmt: skip
        return
    from scipy import special

    from pyunet.inference.averaging import average_arrays

    each = wanted.of == "probabilities" and raw
    for mean in average_arrays(
        model, images, plan, total=inputs.count, output=model.output,
        of="probabilities" if each else "scores", label=name,
    ):  # fmt: skip
        after = raw and wanted.softmax and not each
        yield special.softmax(mean, axis=0) if after else mean


def is_volume(model: Model) -> bool:
    """Tell whether a net takes volumes."""
    return len(model.axes) == 3
