"""How ``pyunet segment`` plans and writes the scores of one stack."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pyunet.data.images import ImageStack
    from pyunet.inference.engine import Model
    from pyunet.inference.inputs import Inputs
    from pyunet.inference.outputs import Outputs
    from pyunet.inference.passes import Pass
    from pyunet.inference.segmenting import Wanted, Work


def make_plans(
    model: Model,
    stack: ImageStack,
    inputs: Inputs,
    memory: tuple[int, int],
    sizes: list[int] | None,
    passes: tuple[Pass, ...] | None,
    wanted: Wanted,
    outputs: Outputs,
) -> Work:
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
    wanted : Wanted
    outputs : Outputs
        Beside which temporary files lie.

    Raises
    ------
    DataError
        No tile fits into the memory.
    """
    from pyunet.inference.mapped import is_mapped
    from pyunet.inference.segmenting import Segmenter

    limit, held = memory
    if not model.on_gpu and not is_mapped(stack.array):
        held += stack.array.nbytes
    segmenter = Segmenter(
        model, limit, held, passes, wanted, sizes, outputs.labels.parent
    )
    return segmenter.plan(inputs)


def write_stack(
    work: Work, stack: ImageStack, outputs: Outputs
) -> NDArray[np.unsignedinteger]:
    """Segment a stack into its files; give the labels, shape (N, Y, X).

    Raises
    ------
    DataError
        A file that cannot be written; what reading the images refuses.
    OutOfMemoryError
        Not even small tiles fit.
    """
    from pyunet.inference.outputs import write_parts

    outputs.labels.parent.mkdir(parents=True, exist_ok=True)
    segmenter = work.segmenter
    count, _, height, width = stack.array.shape
    with closing(work.parts(stack.name)) as parts:
        return write_parts(
            outputs,
            parts,
            (count, segmenter.classes, height, width),
            values=segmenter.wanted.given(segmenter.model),
            resolution=stack.resolution,
        )
