"""The bottoms that DetectionOutput and MultiBoxLoss share."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from caffe.engine.layer import Shape
from caffe.engine.layers.shared import text
from caffe.errors import CheckError


def check_predictions(
    bottom_shapes: Sequence[Shape], boxes_each: int, classes: int
) -> None:
    """Refuse offsets and scores that are not one set for each prior.

    Raises
    ------
    CheckError
        Naming the shapes.
    """
    offsets, scores, priors = bottom_shapes[:3]
    if len(priors) < 3 or priors[1] != 2 or prod(priors[2:]) % 4 or priors[0] != 1:
        raise CheckError(
            f"bottom 2 (priors) is {text(priors)}: expected (1, 2, 4 P), as PriorBox "
            "makes it"
        )
    count = prod(priors[2:]) // 4
    for i, (shape, each) in enumerate(((offsets, 4 * boxes_each), (scores, classes))):
        if not shape or prod(shape[1:]) != count * each or shape[0] != offsets[0]:
            raise CheckError(
                f"bottom {i} is {text(shape)}: expected {count * each} values for each "
                f"of {offsets[0] if offsets else 'N'} images, {each} for each of the "
                f"{count} priors"
            )
