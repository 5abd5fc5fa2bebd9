"""What a net's exporters read of it: layers, their options and numbers."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe.engine.torch_code.layer import Layer as Layer
from caffe.engine.torch_code.layer import Shape as Shape
from caffe.errors import CheckError

# what the modules written call other things by
_TAKEN = {"F", "mean", "nn", "places", "self", "squares", "torch", "values"}


@dataclass(frozen=True)
class Description:
    """A net as exporters see it.

    Attributes
    ----------
    name : str
    layers : tuple of Layer
        In order, without Split layers that the text does not have.
    inputs, outputs : dict of str to tuple of int
        Blobs and their shapes.
    shared : tuple of ((layer, blob number), (layer, blob number))
        Weights that are another layer's, and whose.
    """

    name: str
    layers: tuple[Layer, ...]
    inputs: dict[str, Shape]
    outputs: dict[str, Shape]
    shared: tuple[tuple[tuple[str, int], tuple[str, int]], ...]


def describe(net: Any) -> Description:
    """Read a net.

    Parameters
    ----------
    net : caffe.Net
        In phase TEST.

    Returns
    -------
    Description

    Raises
    ------
    CheckError
        Two layers of one name, of which one has weights.
    """
    sources: dict[str, str] = {}
    layers: list[Layer] = []
    for node in net._wiring.nodes:
        bottoms = tuple(sources.get(name, name) for name in node.bottom)
        if _is_added(node):
            sources.update(dict.fromkeys(node.top, bottoms[0]))
            continue
        layers.append(
            Layer(
                name=node.name,
                type=node.type,
                param=node.param,
                op=node.op,
                bottoms=bottoms,
                tops=tuple(node.top),
                shapes=tuple(net.blobs[name].shape for name in node.bottom),
                top_shapes=tuple(net.blobs[name].shape for name in node.top),
                blobs=tuple(_values(blob) for blob in node.blobs),
            )
        )
    _check_names(layers)
    outputs = {name: net.blobs[name].shape for name in net.outputs}
    inputs = {name: net.blobs[name].shape for name in net.inputs}
    return Description(net.name, tuple(layers), inputs, outputs, _shared(layers))


def _is_added(node: Any) -> bool:
    """Tell the Split layers that a net gets from those that its text has."""
    return node.type == "Split" and all(
        top == f"{node.name}_{index}" for index, top in enumerate(node.top)
    )


def _values(blob: Any) -> NDArray[np.float32]:
    return np.array(blob.data, np.float32, order="C").reshape(blob.shape)


def _check_names(layers: Iterable[Layer]) -> None:
    seen: set[str] = set()
    for layer in layers:
        if layer.blobs and layer.name in seen:
            raise CheckError(
                f"layer name '{layer.name}' is used twice: weights go by the names of "
                "layers, expected each once"
            )
        seen.add(layer.name)


def _shared(
    layers: Iterable[Layer],
) -> tuple[tuple[tuple[str, int], tuple[str, int]], ...]:
    owners: dict[str, tuple[str, int]] = {}
    found = []
    for layer in layers:
        for index, spec in enumerate(layer.param.param[: len(layer.blobs)]):
            if spec.name in owners:
                found.append(((layer.name, index), owners[spec.name]))
            elif spec.name:
                owners[spec.name] = (layer.name, index)
    return tuple(found)


def identifiers(names: Sequence[str]) -> dict[str, str]:
    """Give every name a Python name of its own.

    Examples
    --------
    >>> identifiers(["d0b", "conv1/7x7", "1", "class", "a-b", "a_b"])
    {'d0b': 'd0b', 'conv1/7x7': 'conv1_7x7', '1': 'x1', 'class': 'class_', 'a-b': \
'a_b', 'a_b': 'a_b_'}
    """
    found: dict[str, str] = {}
    taken = {*_TAKEN, *keyword.kwlist, *dir(builtins)}
    for name in dict.fromkeys(names):
        word = re.sub(r"\W", "_", name, flags=re.ASCII)
        if not word or word[0].isdecimal():
            word = f"x{word}"
        while word in taken:
            word += "_"
        taken.add(word)
        found[name] = word
    return found
