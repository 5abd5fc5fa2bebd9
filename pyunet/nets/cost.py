"""What a net costs: parameters, multiply-adds, memory of its activations.

Counted from the shapes of any pycaffe's net, by public names only. One multiply-add is
two floating-point operations: ``GFLOPs = 2e-9 * multiply-adds``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

FLOAT_BYTES = 4
Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerCost:
    """What one layer costs.

    Attributes
    ----------
    name, kind : str
        Its name and type.
    parameters : int
        Numbers in its blobs; shared blobs count where they are met first.
    multiply_adds : int
        Products with weights in one forward pass.
    """

    name: str
    kind: str
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Cost:
    """What a net costs, at one shape of its input.

    Attributes
    ----------
    layers : list of LayerCost
        In the order of the net.
    activation_bytes : int
        Of a forward pass: what the engine says, or all blobs together, float32.
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


def evaluate(net: Any) -> Cost:
    """Count what a net costs at the present shapes of its blobs.

    Multiply-adds are the products with weights of Convolution, Deconvolution,
    InnerProduct, RNN and LSTM, padding included. Work on each value alone
    (activations, pooling, sums, scaling, biases) is left out, as usual.

    Parameters
    ----------
    net : caffe.Net
        Of any pycaffe.

    Returns
    -------
    Cost

    Examples
    --------
    >>> import tempfile
    >>> import caffe
    >>> text = '''
    ... layer { name: "data" type: "Input" top: "data"
    ...   input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
    ... layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
    ...   convolution_param { num_output: 4 kernel_size: 3 } }'''
    >>> with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
    ...     _ = file.write(text)
    ...     file.flush()
    ...     cost = evaluate(caffe.Net(file.name, caffe.TEST))
    >>> cost.parameters, cost.multiply_adds  # 4*3*3*3 + 4, and 4*3*3*3 * 6*6
    (112, 3888)
    """
    met: set[int] = set()
    layers = []
    for name, layer in net.layer_dict.items():
        blobs = list(net.params[name]) if name in net.params else []
        new = [blob for blob in blobs if blob.data.ctypes.data not in met]
        met.update(blob.data.ctypes.data for blob in new)
        products = _multiply_adds(
            layer.type,
            [_shape(blob) for blob in blobs],
            [_shape(net.blobs[bottom]) for bottom in net.bottom_names[name]],
            [_shape(net.blobs[top]) for top in net.top_names[name]],
        )
        numbers = sum(math.prod(_shape(blob)) for blob in new)
        layers.append(LayerCost(name, layer.type, numbers, products))
    return Cost(layers, _activation_bytes(net))


def _shape(blob: Any) -> Shape:
    return tuple(int(extent) for extent in blob.shape)


def _activation_bytes(net: Any) -> int:
    ask = getattr(net, "activation_bytes", None)
    if ask is not None:
        return int(ask())
    return FLOAT_BYTES * sum(math.prod(_shape(blob)) for blob in net.blobs.values())


def _multiply_adds(
    kind: str,
    weights: Sequence[Shape],
    bottoms: Sequence[Shape],
    tops: Sequence[Shape],
) -> int:
    if not weights:
        return 0
    first = math.prod(weights[0])
    if kind in ("Convolution", "Deconvolution"):
        # Everything but the channels is a place where the filters are put.
        channels = 1 - len(weights[0])
        placed = tops if kind == "Convolution" else bottoms
        return first * sum(
            math.prod(shape) // shape[channels] for shape in placed if all(shape)
        )
    if kind == "InnerProduct":
        # rows * inputs * outputs, of rows * inputs and rows * outputs
        return math.isqrt(math.prod(bottoms[0]) * math.prod(tops[0]) * first)
    if kind in ("RNN", "LSTM"):
        steps, batch = bottoms[0][:2]
        # Of a static input, which all steps share, the weights are blob 2.
        static = [2] if len(weights) == (4 if kind == "LSTM" else 6) else []
        return batch * sum(
            math.prod(shape) * (1 if number in static else steps)
            for number, shape in enumerate(weights)
            if len(shape) == 2
        )
    return 0
