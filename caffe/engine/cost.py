"""What a net costs: the parameters and multiply-adds of each layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerCost:
    """What one layer costs.

    Attributes
    ----------
    name, type : str
    parameters : int
        Numbers in its blobs; shared blobs count where they are met first.
    multiply_adds : int
        Products with weights in one forward pass, at the present shapes. Work on each
        value alone (activations, pooling, sums, scaling) is not counted.
    """

    name: str
    type: str
    parameters: int
    multiply_adds: int


def layer_costs(net: Any) -> list[LayerCost]:
    """Count what each layer of a net costs at the present shapes of its blobs.

    Parameters
    ----------
    net : caffe.Net

    Returns
    -------
    list of LayerCost
        In the order of the net.
    """
    met: set[int] = set()
    found = []
    for name, layer in net.layer_dict.items():
        weights = net.params.get(name, [])
        new = [blob for blob in weights if id(blob.data_memory) not in met]
        met.update(id(blob.data_memory) for blob in new)
        products = multiply_adds(
            layer.type,
            [tuple(blob.shape) for blob in weights],
            [tuple(net.blobs[bottom].shape) for bottom in net.bottom_names[name]],
            [tuple(net.blobs[top].shape) for top in net.top_names[name]],
        )
        numbers = sum(math.prod(blob.shape) for blob in new)
        found.append(LayerCost(name, layer.type, numbers, products))
    return found


def multiply_adds(
    kind: str,
    weights: Sequence[Shape],
    bottoms: Sequence[Shape],
    tops: Sequence[Shape],
) -> int:
    """Count the products with weights in one forward pass of a layer.

    Parameters
    ----------
    kind : str
        The layer's type.
    weights, bottoms, tops : sequence of tuple of int
        Shapes.

    Examples
    --------
    64 filters of 3 x 3 on one channel, placed 570 x 570 times:

    >>> shapes = [(1, 1, 572, 572)], [(1, 64, 570, 570)]
    >>> multiply_adds("Convolution", [(64, 1, 3, 3), (64,)], *shapes)
    187142400
    """
    if not weights:
        return 0
    kernel = math.prod(weights[0])
    if kind in ("Convolution", "Deconvolution"):
        # Everything but the channels is a place where the filters are put.
        channels = 1 - len(weights[0])
        placed = tops if kind == "Convolution" else bottoms
        return kernel * sum(
            math.prod(shape) // shape[channels] for shape in placed if all(shape)
        )
    if kind == "InnerProduct":
        # rows * inputs * outputs, of rows * inputs and rows * outputs
        return math.isqrt(math.prod(bottoms[0]) * math.prod(tops[0]) * kernel)
    if kind in ("RNN", "LSTM"):
        steps, batch = bottoms[0][:2]
        static = [2] if len(weights) == (4 if kind == "LSTM" else 6) else []
        return batch * sum(
            math.prod(shape) * (1 if number in static else steps)
            for number, shape in enumerate(weights)
            if len(shape) == 2
        )
    return 0
