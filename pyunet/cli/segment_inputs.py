"""What ``pyunet segment`` reads: the net, the images, the hand labels."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pyunet.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pyunet.data.images import ImageStack
    from pyunet.inference.engine import Model
    from pyunet.inference.inputs import Inputs
    from pyunet.modeldef import ModelDefinition

VOLUME = 3


def load(args: argparse.Namespace) -> tuple[Model, ModelDefinition | None]:
    """Load the net of ``--model``, and its definition if it has one.

    Raises
    ------
    DataError
        What the loaders refuse; ``--element-size-um`` without a definition.
    """
    from pyunet.inference.engine import load_model
    from pyunet.zoo import find_model, is_definition

    path = find_model(args.model)
    if is_definition(path):
        from pyunet.inference.definitions import load_definition

        return load_definition(path, args.weights, gpu=args.gpu)
    if args.element_size_um is not None:
        raise DataError(
            "--element-size-um: goes with a .modeldef.h5, which says at what size its "
            f"net sees images; {path} is none"
        )
    return load_model(path, args.weights, gpu=args.gpu), None


def prepare(
    args: argparse.Namespace,
    stack: ImageStack,
    path: Path,
    model: Model,
    definition: ModelDefinition | None,
) -> Inputs:
    """Prepare the stack of a file as its net wants it.

    Raises
    ------
    DataError
        Other channels than the net's; ``--slices`` of a file with several volumes;
        what a definition's conversion refuses.
    """
    from pyunet.inference.inputs import definition_inputs, plain_inputs

    channels = stack.array.shape[1]
    if channels != model.channels:
        raise DataError(
            f"{path}: has {channels} channel(s); the net {model.deploy} takes "
            f"{model.channels} (blob '{model.source}')"
        )
    if definition is None:
        return plain_inputs(stack, len(model.axes))
    from pyunet.inference.calibration import find_element_size, frame_count

    frames = frame_count(path) if len(model.axes) == VOLUME else 1
    if frames > 1 and args.slices:
        raise DataError(
            f"{path}: --slices goes with one volume, this file has {frames} frames"
        )
    size = find_element_size(
        stack.resolution,
        definition.element_size_um,
        given=args.element_size_um,
        name=str(path),
    )
    return definition_inputs(stack, definition, size, frames=frames)


def cut(stack: ImageStack, slices: slice, path: Path) -> ImageStack:
    """Keep the chosen slices of a stack.

    Raises
    ------
    DataError
        There is none among them.
    """
    array = stack.array[slices]
    if len(array) == 0:
        raise DataError(
            f"{path}: has {len(stack.array)} slices, none of them is in --slices "
            f"{slices.start or 0}:{'' if slices.stop is None else slices.stop}"
        )
    return replace(stack, array=array)


def read_truth(
    args: argparse.Namespace, stack: ImageStack, slices: slice
) -> NDArray[np.generic] | None:
    """Read hand labels as every verb does; they may be of the chosen slices only.

    Returns
    -------
    ndarray of int, shape (N, Y, X), or None
        Classes, 0 is background or membrane; where there is one besides it, cells.

    Raises
    ------
    DataError
        Labels of another size than the images, or that nobody can understand.
    """
    if args.truth is None:
        return None
    from pyunet.data.labels import read_labels

    labels = read_labels(args.truth, kind=args.labels_are, inside=args.inside)
    several = labels.classes.max(initial=0) > 1
    truth = labels.classes if several else labels.instances
    chosen = truth if len(truth) == len(stack.array) else truth[slices]
    found, wanted = chosen.shape, (len(stack.array), *stack.array.shape[2:])
    if found != wanted:
        raise DataError(
            f"{args.truth}: labels of {found} slices, rows and columns; the images "
            f"have {wanted}"
        )
    print(f"truth {labels.sentence}")
    return chosen
