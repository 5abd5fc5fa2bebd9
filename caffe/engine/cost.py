"""What a net costs: parameters, multiply-adds, memory of its activations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caffe.engine.blob import Blob
from caffe.engine.node import naming
from caffe.errors import CheckError

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


def cost(net: Net, shapes: Mapping[str, Sequence[int]] | None = None) -> Cost:
    """Count what a net costs, at the present shapes of its blobs or at others.

    Multiply-adds are the products with weights, padding included. Work on each value
    alone (activations, pooling, sums, scaling, biases) is left out, as usual. No value
    is looked at, nothing is allocated, and the net stays as it is.

    Parameters
    ----------
    net : caffe.Net
    shapes : mapping of str to sequence of int, optional
        Shapes of inputs, from which those of all other blobs follow.

    Returns
    -------
    Cost

    Raises
    ------
    CheckError
        If a layer does not take bottoms of these shapes.

    Examples
    --------
    >>> import caffe
    >>> from caffe import layers as L
    >>> n = caffe.NetSpec()
    >>> n.data = L.Input(input_param={"shape": {"dim": [1, 3, 8, 8]}})
    >>> n.conv = L.Convolution(n.data, num_output=4, kernel_size=3)
    >>> net = caffe.Net(n.to_proto(), caffe.TEST)
    >>> cost(net).parameters, cost(net).multiply_adds  # 4*3*3*3 + 4, 4*3*3*3 * 6*6
    (112, 3888)
    >>> cost(net, {"data": (1, 3, 4, 4)}).multiply_adds  # 4*3*3*3 * 2*2
    432
    """
    blobs: Mapping[str, Blob] = net.blobs
    if shapes is not None:
        blobs = _reshaped(net, shapes)
    counted: set[int] = set()
    layers = []
    for node in net._wiring.nodes:
        new = [blob for blob in node.blobs if id(blob.data_memory) not in counted]
        counted.update(id(blob.data_memory) for blob in new)
        products = node.op.multiply_adds(
            [blobs[name].shape for name in node.bottom],
            [blobs[name].shape for name in node.top],
            [blob.shape for blob in node.blobs],
        )
        numbers = sum(math.prod(blob.shape) for blob in new)
        layers.append(LayerCost(node.name, node.type, numbers, products))
    taken = {name: blob.shape for name, blob in blobs.items()}
    return Cost(layers, net._runner.activation_bytes(taken))


def _reshaped(net: Net, shapes: Mapping[str, Sequence[int]]) -> dict[str, Blob]:
    """Give blobs, without values, of the shapes that follow from those of inputs."""
    unknown = sorted(set(shapes) - set(net.inputs))
    if unknown:
        raise CheckError(f"shapes has {unknown}: expected inputs of {net.inputs}")
    blobs = {name: Blob(blob.shape) for name, blob in net.blobs.items()}
    for name, shape in shapes.items():
        blobs[name].reshape(*shape)
    for node in net._wiring.nodes:
        if not node.op.filled_by_user:
            with naming(node.name, node.type):
                node.reshape_tops(blobs)
    return blobs
