"""Which tile sizes a net accepts, and which of its output pixels can be trusted.

A fully convolutional net maps a tile of ``n`` pixels to one of ``m`` pixels. Here its
layers are walked, axis by axis, by the rule of each layer class (`Operator.span_rule`);
nothing is built or run. Three facts come out for every axis (`Axis`):

- the sizes at which every pooling and every strided convolution divides exactly:
  ``smallest + factor * k``, k = 0, 1, ...;
- how many pixels the output is smaller than the input (``shrink``);
- which outputs saw nothing but pixels of the tile. A net without padding has only
  such ones. In a net that pads with zeros ("same" convolutions), or whose transposed
  convolutions overlap, those near the tile's edge are left out, and tiles overlap by
  that much more; so every tiling gives the same scores there as well.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from caffe.engine import graph
from caffe.engine.catalogue import layer_class
from caffe.engine.spans import Axis, Span, SpanRule
from caffe.errors import CheckError
from caffe.proto import caffe_pb2, files

if TYPE_CHECKING:
    from caffe.engine.net import Net

LARGEST_SEARCHED = 8192
_LEADING = 2  # axes of samples and channels, before the spatial ones


@dataclass(frozen=True)
class _Layer:
    """A layer along one axis: its rule, or why it has none."""

    bottoms: list[str]
    tops: list[str]
    rule: SpanRule | None
    reason: CheckError | None = None


class Geometry:
    """What tiles a net takes; made by `geometry`.

    Attributes
    ----------
    source, output : str
        The blobs that take the image and give the scores.
    axes : tuple of Axis
        Valid tile sizes, for (Y, X) or (Z, Y, X).
    """

    def __init__(self, net: Any, source: str, output: str, axes: int) -> None:
        self.source, self.output = source, output
        self._layers = [
            [_along(param, _LEADING + axis, _LEADING + axes) for param in net.layer]
            for axis in range(axes)
        ]
        self._extents: dict[tuple[int, int], dict[str, int]] = {}
        self.axes = tuple(self._find(axis) for axis in range(axes))

    def extents(self, axis: int, size: int) -> dict[str, int]:
        """Give the pixels of every blob along one axis.

        Parameters
        ----------
        axis : int
            Spatial axis, from 0.
        size : int
            Pixels of the image there; a valid size.

        Returns
        -------
        dict of str to int
            Of the image, and of the blobs that come from it by layers that keep
            positions.
        """
        if (axis, size) not in self._extents:
            spans, _ = self._walk(axis, size) or ({}, {})
            self._extents[axis, size] = {n: span.size for n, span in spans.items()}
        return self._extents[axis, size]

    def multiply_adds(self, net: Net, tile: Sequence[int]) -> int:
        """Count the multiply-adds of one tile.

        As `caffe.cost` does, but so fast that thousands of tiles can be compared: only
        layers with weights are looked at, by the extents of their blobs.

        Parameters
        ----------
        net : caffe.Net
            With this geometry.
        tile : sequence of int
            Pixels along each spatial axis; valid sizes.
        """
        along = [self.extents(axis, size) for axis, size in enumerate(tile)]
        blobs = net.blobs

        def shape(name: str) -> tuple[int, ...]:
            present = blobs[name].shape
            if name not in along[0]:  # of a layer that mixes positions
                return present
            return (1, *present[1:_LEADING], *(sizes[name] for sizes in along))

        return sum(
            node.op.multiply_adds(
                [shape(name) for name in node.bottom],
                [shape(name) for name in node.top],
                [blob.shape for blob in node.blobs],
            )
            for node in net._wiring.nodes
            if node.blobs
        )

    def _find(self, axis: int) -> Axis:
        for size in range(1, LARGEST_SEARCHED + 1):
            walked = self._walk(axis, size)
            if walked is None:
                continue
            spans, lost = walked
            span = self._output(spans, lost)
            if span.begin < span.end:
                factor = math.lcm(*(span.scale.numerator for span in spans.values()))
                return Axis(
                    factor,
                    size,
                    size - (span.end - span.begin),
                    (size - span.size) // 2 + span.begin,
                    span.begin,
                )
        raise CheckError(
            f"no input size up to {LARGEST_SEARCHED} pixels divides exactly in every "
            "layer and gives a score that sees no padding"
        )

    def _output(
        self, spans: Mapping[str, Span], lost: Mapping[str, CheckError]
    ) -> Span:
        if self.output in lost:
            raise lost[self.output]
        if self.output not in spans:
            raise CheckError(
                f"blob '{self.output}' does not depend on blob '{self.source}'"
            )
        span = spans[self.output]
        if span.scale != 1:
            raise CheckError(
                f"blob '{self.output}' has one pixel for {float(span.scale):g} pixels "
                f"of '{self.source}': expected a net with a score for every pixel"
            )
        return span

    def _walk(
        self, axis: int, size: int
    ) -> tuple[dict[str, Span], dict[str, CheckError]] | None:
        """Find all spans along one axis, and the blobs that have none, with the reason.

        None where a size does not divide exactly.
        """
        spans = {self.source: Span(size, 0, size, Fraction(1))}
        lost: dict[str, CheckError] = {}
        for layer in self._layers[axis]:
            reasons = [lost[name] for name in layer.bottoms if name in lost]
            bottoms = [spans[name] for name in layer.bottoms if name in spans]
            if not (layer.tops and (reasons or bottoms)):
                continue
            if layer.reason is not None:
                reasons.append(layer.reason)
            if reasons or layer.rule is None:
                lost.update(dict.fromkeys(layer.tops, reasons[0]))
                continue
            top = layer.rule(bottoms)
            if top is None or top.size < 1:
                return None
            spans.update(dict.fromkeys(layer.tops, top))
        return spans, lost


def _along(param: Any, axis: int, ndim: int) -> _Layer:
    bottoms, tops = list(param.bottom), list(param.top)
    try:
        return _Layer(
            bottoms, tops, layer_class(param.type, param).span_rule(param, axis, ndim)
        )
    except CheckError as error:
        reason = CheckError(f"layer '{param.name}' ({param.type}): {error}")
        return _Layer(bottoms, tops, None, reason)


def geometry(
    net: Any,
    source: str | None = None,
    output: str | None = None,
    *,
    axes: int | None = None,
) -> Geometry:
    """Find the tile sizes that a net takes in phase TEST, from its layers alone.

    Parameters
    ----------
    net : path, NetParameter or caffe.Net
        A text in any syntax of Caffe; a message in today's.
    source, output : str, optional
        The blobs that take the image and give the scores; default: the first input and
        the first output.
    axes : int, optional
        Spatial axes, 2 or 3; default: those of the Input layer of `source`.

    Returns
    -------
    Geometry

    Raises
    ------
    CheckError
        A layer that mixes all positions; an output that is not at the resolution of
        the input; no valid size up to 8192 pixels.

    Examples
    --------
    >>> from caffe import layers as L, NetSpec
    >>> n = NetSpec()
    >>> n.data = L.Input(input_param={"shape": {"dim": [1, 1, 8, 8]}})
    >>> n.a = L.Convolution(n.data, kernel_size=3, num_output=4)
    >>> n.b = L.Pooling(n.a, kernel_size=2, stride=2)
    >>> up = dict(kernel_size=2, stride=2, num_output=4)
    >>> n.score = L.Deconvolution(n.b, convolution_param=up)
    >>> geometry(n.to_proto()).axes[0]
    Axis(factor=2, smallest=4, shrink=2, before=1, first=0)
    """
    message = _message(net)
    inputs, outputs = _ends(message)
    if not (source or inputs) or not (output or outputs):
        raise CheckError(f"the net has inputs {inputs} and outputs {outputs}")
    source = source or inputs[0]
    if axes is None and hasattr(net, "blobs"):
        axes = len(net.blobs[source].shape) - _LEADING
    elif axes is None:
        axes = _spatial_axes(message, source)
    return Geometry(message, source, output or outputs[0], axes)


def _message(net: Any) -> Any:
    """Give the layers that the net has in phase TEST."""
    if isinstance(net, (str, os.PathLike)):
        net = files.read_net(net)
    elif not isinstance(net, caffe_pb2.NetParameter):
        return net._param
    state = caffe_pb2.NetParameter()
    state.CopyFrom(net)
    state.state.phase = caffe_pb2.TEST
    return graph.filter_net(state, tell=False)


def _ends(message: Any) -> tuple[list[str], list[str]]:
    """Give the blobs that the user fills, and those that no layer takes."""
    made: dict[str, bool] = {}
    inputs: dict[str, None] = {}
    for layer in message.layer:
        for name in layer.bottom:
            if name not in made:
                inputs[name] = None
            made[name] = False
        made.update(dict.fromkeys(layer.top, True))
        if layer_class(layer.type, layer).filled_by_user:
            inputs.update(dict.fromkeys(layer.top))
    return list(inputs), sorted(name for name, free in made.items() if free)


def _spatial_axes(message: Any, source: str) -> int:
    for layer in message.layer:
        if source in layer.top and layer_class(layer.type, layer).filled_by_user:
            shapes = layer.input_param.shape
            index = list(layer.top).index(source) if len(shapes) > 1 else 0
            if shapes:
                return max(0, len(shapes[index].dim) - _LEADING)
    raise CheckError(
        f"no Input layer says how many axes blob '{source}' has: give axes"
    )
