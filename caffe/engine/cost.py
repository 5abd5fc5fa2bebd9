"""What a net costs: parameters, multiply-adds, memory of its activations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caffe.engine.net import Net


@dataclass(frozen=True)
class LayerCost:
    """What one layer costs.

    Attributes
    ----------
    name, type : str
    parameters : int
        Numbers in its blobs; shared blobs count where they are met first.
    multiply_adds : int
        Products with weights in one forward pass.
    """

    name: str
    type: str
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Cost:
    """What a net costs at one shape of its inputs.

    Attributes
    ----------
    layers : list of LayerCost
        In the order of the net.
    activation_bytes : int
        Most bytes that a forward pass in phase TEST takes beside the parameters.
    """

    layers: list[LayerCost]
    activation_bytes: int

    @property
    def parameters(self) -> int:
        """Numbers that training finds (and statistics it keeps)."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Products with weights in one forward pass of the batch."""
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def gflops(self) -> float:
        """Floating-point operations, in 10^9: two a multiply-add."""
        return 2e-9 * self.multiply_adds


def cost(net: Net) -> Cost:
    """Count what a net costs at the present shapes of its blobs.

    Multiply-adds are the products with weights, padding included. Work on each value
    alone (activations, pooling, sums, scaling, biases) is left out, as usual. No value
    is looked at, and nothing is allocated.

    Parameters
    ----------
    net : caffe.Net

    Returns
    -------
    Cost

    Examples
    --------
    >>> import caffe
    >>> from caffe import layers as L
    >>> n = caffe.NetSpec()
    >>> n.data = L.Input(input_param={"shape": {"dim": [1, 3, 8, 8]}})
    >>> n.conv = L.Convolution(n.data, num_output=4, kernel_size=3)
    >>> found = cost(caffe.Net(n.to_proto(), caffe.TEST))
    >>> found.parameters, found.multiply_adds  # 4*3*3*3 + 4, and 4*3*3*3 * 6*6
    (112, 3888)
    """
    counted: set[int] = set()
    layers = []
    for node in net._wiring.nodes:
        new = [blob for blob in node.blobs if id(blob.data_memory) not in counted]
        counted.update(id(blob.data_memory) for blob in new)
        products = node.op.multiply_adds(
            [net.blobs[name].shape for name in node.bottom],
            [net.blobs[name].shape for name in node.top],
            [blob.shape for blob in node.blobs],
        )
        numbers = sum(math.prod(blob.shape) for blob in new)
        layers.append(LayerCost(node.name, node.type, numbers, products))
    return Cost(layers, net.activation_bytes())
