"""What shapes the further course of a training and is in no file of Caffe's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe.engine.net import Net

Arrays = dict[str, NDArray[Any]]


def of_nets(train: Net, tests: Sequence[Net]) -> Arrays:
    """Random streams, and the state of all layers of all nets."""
    return {
        f"{prefix}{name}": np.array(value)
        for prefix, net in _named(train, tests)
        for name, value in net.state_dict().items()
    }


def restore_nets(train: Net, tests: Sequence[Net], arrays: Arrays) -> None:
    """Take back what `of_nets` gave."""
    for prefix, net in _named(train, tests):
        net.load_state_dict(part(arrays, prefix))


def part(arrays: Arrays, prefix: str) -> Arrays:
    """Those whose names begin with a prefix, without it.

    Examples
    --------
    >>> part({"loss/value": 1, "train/row": 2}, "loss/")
    {'value': 1}
    """
    return {
        name.removeprefix(prefix): value
        for name, value in arrays.items()
        if name.startswith(prefix)
    }


def _named(train: Net, tests: Sequence[Net]) -> Iterator[tuple[str, Net]]:
    yield "train/", train
    for index, net in enumerate(tests):
        yield f"test{index}/", net
