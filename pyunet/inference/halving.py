"""Smaller tiles, where memory runs out."""

from __future__ import annotations

import math
from dataclasses import replace

from pyunet.inference.tiling import Plan, tile_count
from pyunet.memory import MOST_READ


def halved(plan: Plan) -> Plan | None:
    """Cut an image into tiles that need about half the memory.

    Parameters
    ----------
    plan : Plan

    Returns
    -------
    Plan or None
        With half the batch, or half the output along the longest axis that can be
        shorter; None where tiles would read more than four times what they answer.

    Examples
    --------
    >>> from pyunet.inference.tiling import fixed_tiles
    >>> from caffe import Axis
    >>> axis = Axis(factor=16, smallest=188, shrink=184, before=92)
    >>> plan = fixed_tiles((1000, 1000), (axis, axis), [1000])
    >>> while plan is not None:
    ...     print(plan.tile, plan.output)
    ...     plan = halved(plan)
    (1196, 1196) (1012, 1012)
    (684, 1196) (500, 1012)
    (684, 684) (500, 500)
    (444, 684) (260, 500)
    (444, 444) (260, 260)
    """
    if plan.batch > 1:
        return replace(plan, batch=plan.batch // 2)
    output = [min(pair) for pair in zip(plan.output, plan.image, strict=True)]
    for index in sorted(range(len(output)), key=lambda index: -output[index]):
        axis, length = plan.axes[index], plan.image[index]
        size = axis.input_for(-(-output[index] // 2))
        if size < plan.tile[index] and tile_count(axis, length, size):
            tile = (*plan.tile[:index], size, *plan.tile[index + 1 :])
            smaller = replace(plan, tile=tile)
            wasteful = math.prod(tile) > MOST_READ * math.prod(smaller.output)
            return None if wasteful else smaller
    return None
