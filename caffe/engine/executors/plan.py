"""In which steps the fused executor runs the layers of a net."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from caffe.engine.node import Node


@dataclass
class Step:
    """One layer of the fused plan; names are those of the memory's first blob.

    Attributes
    ----------
    shared : bool
        Its memory has had another name before it, of a gradient that it has no part in.
    half : bool
        It runs on bfloat16 where that is asked for.
    slope : float or None
        Negative slope of the ReLU that follows, fused into this step.
    frees : list of str
        What is used here for the last time.
    """

    node: Node
    bottoms: list[str]
    tops: list[str]
    in_place: bool
    shared: bool
    half: bool
    slope: float | None = None
    frees: list[str] = field(default_factory=list)


def merged(steps: list[Step]) -> list[Step]:
    """Fuse in-place ReLUs into the layer before them."""
    merged: list[Step] = []
    for step in steps:
        op = step.node.op
        last = merged[-1] if merged else None
        if (
            last is not None
            and last.node.op.rectifies
            and last.slope is None
            and op.rectifier_slope is not None
            and step.in_place
            and last.tops == step.tops
            and not any((*last.node.loss_weights, *step.node.loss_weights))
        ):
            last.slope = op.rectifier_slope
        else:
            merged.append(replace(step))
    return merged


def with_last_uses(steps: list[Step]) -> list[Step]:
    """Enter what each step uses for the last time."""
    last_use: dict[str, Step] = {}
    for step in steps:
        step.frees = []
        last_use.update(dict.fromkeys((*step.bottoms, *step.tops), step))
    for name, step in last_use.items():
        step.frees.append(name)
    return steps
