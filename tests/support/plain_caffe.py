"""A few of Caffe's layers in plain numpy, with its memory: an oracle for whole nets.

Blobs are slices of flat arrays that other blobs may share and that only grow; layers
run one by one, forward and backward, and read what stands in that memory then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass
class Layer:
    """A layer: numbers of its options, parameters by name."""

    type: str
    name: str
    bottom: list[str]
    top: list[str]
    options: dict[str, Any] = field(default_factory=dict)
    loss_weight: float = 0.0
    params: list[str] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)  # learning rates of its parameters
    kept: dict[str, Array] = field(
        default_factory=dict
    )  # by a forward, for its backward


class Memory:
    """Numbers that only grow."""

    def __init__(self) -> None:
        self.numbers = np.zeros(1)

    def resize(self, count: int) -> None:
        if count > len(self.numbers):
            self.numbers = np.zeros(count)


class Blob:
    """A shape, and two pieces of memory."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = ()
        self._data, self._diff = Memory(), Memory()

    def reshape(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)
        self._data.resize(self.count)
        self._diff.resize(self.count)

    def share(self, other: Blob, *, diff: bool) -> None:
        self._data = other._data
        if diff:
            self._diff = other._diff

    @property
    def count(self) -> int:
        return int(np.prod(self.shape))

    @property
    def data(self) -> Array:
        return self._data.numbers[: self.count].reshape(self.shape)

    @property
    def diff(self) -> Array:
        return self._diff.numbers[: self.count].reshape(self.shape)


class Net:
    """Layers, each blob with one reader but for those of a Split."""

    def __init__(self, layers: Sequence[Layer], *, force: bool) -> None:
        self.layers = list(layers)
        self.blobs: dict[str, Blob] = {}
        self.params: dict[str, Array] = {}
        self.param_diffs: dict[str, Array] = {}
        for layer in self.layers:
            for name in layer.top:
                self.blobs.setdefault(name, Blob())
            self._reshape(layer)
            if layer.loss_weight:
                self.blobs[layer.top[0]].diff[...] = layer.loss_weight
        self._needs = self._needed(force=force)

    def _needed(self, *, force: bool) -> list[bool]:
        """Whether each layer has a backward: it learns, and a loss depends on it."""
        learns: dict[str, bool] = {}
        needs = []
        for layer in self.layers:
            need = any(layer.rates) or any(learns[name] for name in layer.bottom)
            needs.append(need)
            learns.update(dict.fromkeys(layer.top, need))
        under: set[str] = set()
        for i in reversed(range(len(self.layers))):
            layer = self.layers[i]
            counts = layer.loss_weight != 0 or not under.isdisjoint(layer.top)
            needs[i] = needs[i] and counts
            if counts:
                under.update(layer.bottom)
        self._learns = learns
        self._force = force
        return [force or need for need in needs]

    def _of(self, names: Sequence[str]) -> list[Blob]:
        return [self.blobs[name] for name in names]

    def _reshape(self, layer: Layer) -> None:
        if layer.type == "Input":
            if not self.blobs[layer.top[0]].shape:
                self.blobs[layer.top[0]].reshape(layer.options["shape"])
            return
        bottom, top = self._of(layer.bottom), self._of(layer.top)
        shapes = SHAPES.get(layer.type, _same)(layer, [b.shape for b in bottom])
        for blob, shape in zip(top, shapes, strict=True):
            blob.reshape(shape)
        single = (layer.type, len(top)) == ("Slice", 1) or (
            (layer.type, len(bottom)) == ("Concat", 1)
        )
        if layer.type in {"Reshape", "Flatten", "Split"} or single:
            for blob in top:
                blob.share(bottom[0], diff=layer.type != "Split")

    def forward(self) -> None:
        """Run all layers."""
        for layer in self.layers:
            self._reshape(layer)
            bottom, top = self._of(layer.bottom), self._of(layer.top)
            if layer.type in FORWARD:
                params = [self.params[name] for name in layer.params]
                for blob, value in zip(
                    top, FORWARD[layer.type](layer, bottom, params), strict=True
                ):
                    blob.data[...] = value

    def backward(self) -> None:
        """Run all backwards; add to the parameters' gradients."""
        for layer, needs in zip(self.layers[::-1], self._needs[::-1], strict=True):
            if not needs or layer.type not in BACKWARD:
                continue
            params = [self.params[name] for name in layer.params]
            bottom, top = self._of(layer.bottom), self._of(layer.top)
            grads, of_params = BACKWARD[layer.type](layer, top, bottom, params)
            for name, blob, grad in zip(layer.bottom, bottom, grads, strict=True):
                if self._force or self._learns[name]:
                    blob.diff[...] = grad
            for name, rate, grad in zip(
                layer.params, layer.rates, of_params, strict=True
            ):
                if self._force or rate:
                    self.param_diffs[name] += grad


def _same(layer: Layer, shapes: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    return [shapes[0]] * len(layer.top)


def _joined(layer: Layer, shapes: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    return [(shapes[0][0], sum(s[1] for s in shapes), *shapes[0][2:])]


def _cut(layer: Layer, shapes: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    (n, c, *rest), pieces = shapes[0], len(layer.top)
    return [(n, c // pieces, *rest)] * pieces


SHAPES: dict[str, Callable[[Layer, Any], list[tuple[int, ...]]]] = {
    "InnerProduct": lambda layer, s: [(s[0][0], layer.options["num_output"])],
    "Convolution": lambda layer, s: [(s[0][0], layer.options["num_output"], s[0][2])],
    "Reshape": lambda layer, s: [(s[0][0], *layer.options["rest"])],
    "Flatten": lambda layer, s: [(s[0][0], int(np.prod(s[0][1:])))],
    "Concat": _joined,
    "Slice": _cut,
    "Reduction": lambda layer, s: [s[0][: layer.options["axis"]]],
    "EuclideanLoss": lambda layer, s: [()],
    "Silence": lambda layer, s: [],
}


def _rows(values: Array) -> Array:
    return values.reshape(len(values), -1)


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _windows(values: Array, kernel: int) -> Array:
    """Of (N, C, W): what stands under a kernel around each place, (N, C, W, kernel)."""
    padded = np.pad(values, [(0, 0), (0, 0), (kernel // 2, kernel // 2)])
    return np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=2)


def _filtered(layer: Layer, b: list[Blob], p: list[Array]) -> list[Array]:
    windows = _windows(b[0].data, layer.options["kernel"])
    return [np.einsum("ncwk,ock->now", windows, p[0]) + p[1][:, None]]


EPS = 0.1


def _across(values: Array, x: Array) -> Array:
    """One number a channel, against x."""
    return values.reshape(-1, *[1] * (x.ndim - 2))


def _normalized(layer: Layer, b: list[Blob], p: list[Array]) -> list[Array]:
    x = b[0].data
    mean, variance, weight = p
    if layer.options["stored"]:
        scale = 0 if weight == 0 else 1 / weight
        now = mean * scale, variance * scale
    else:
        axes = (0, *range(2, x.ndim))
        now = x.mean(axes), x.var(axes)
        samples = x.size // x.shape[1]
        mean[...] = 0.5 * mean + now[0]
        variance[...] = 0.5 * variance + now[1] * samples / max(samples - 1, 1)
        weight[...] = 0.5 * weight + 1
    layer.kept["deviation"] = _across(np.sqrt(now[1] + EPS), x)
    layer.kept["top"] = (x - _across(now[0], x)) / layer.kept["deviation"]
    return [layer.kept["top"]]


Forward = Callable[[Layer, list[Blob], list[Array]], list[Any]]
FORWARD: dict[str, Forward] = {
    "Power": lambda layer, b, p: [
        (layer.options["shift"] + layer.options["scale"] * b[0].data)
        ** layer.options["power"]
    ],
    "ReLU": lambda layer, b, p: [
        np.where(b[0].data > 0, 1, layer.options["negative_slope"]) * b[0].data
    ],
    "Sigmoid": lambda layer, b, p: [_sigmoid(b[0].data)],
    "TanH": lambda layer, b, p: [np.tanh(b[0].data)],
    "InnerProduct": lambda layer, b, p: [_rows(b[0].data) @ p[0].T + p[1]],
    "Convolution": _filtered,
    "BatchNorm": _normalized,
    "Eltwise": lambda layer, b, p: [sum(x.data for x in b)],
    "Concat": lambda layer, b, p: [np.concatenate([x.data for x in b], 1)],
    "Slice": lambda layer, b, p: [
        part.copy() for part in np.split(b[0].data, len(layer.top), 1)
    ],
    "Reduction": lambda layer, b, p: [
        b[0].data.reshape(*b[0].shape[: layer.options["axis"]], -1).sum(-1)
    ],
    "EuclideanLoss": lambda layer, b, p: [
        ((b[0].data - b[1].data) ** 2).sum() / len(b[0].data) / 2
    ],
}


def _power(layer: Layer, top: Array, x: Array) -> Array:
    power, scale = layer.options["power"], layer.options["scale"]
    base = layer.options["shift"] + scale * x
    return np.asarray(top * power * scale * base ** (power - 1))


def _product(
    layer: Layer, t: list[Blob], b: list[Blob], p: list[Array]
) -> tuple[list[Array], list[Array]]:
    grad = t[0].diff
    below = (grad @ p[0]).reshape(b[0].shape)
    return [below], [grad.T @ _rows(b[0].data), grad.sum(0)]


def _convolution(
    layer: Layer, t: list[Blob], b: list[Blob], p: list[Array]
) -> tuple[list[Array], list[Array]]:
    grad, kernel = t[0].diff, layer.options["kernel"]
    below = np.einsum("nowk,ock->ncw", _windows(grad, kernel), p[0][..., ::-1])
    of_weights = np.einsum("now,ncwk->ock", grad, _windows(b[0].data, kernel))
    return [below], [of_weights, grad.sum((0, 2))]


def _normalization(
    layer: Layer, t: list[Blob], b: list[Blob], p: list[Array]
) -> tuple[list[Array], list[Array]]:
    grad, top = t[0].diff, layer.kept["top"]
    if not layer.options["stored"]:
        axes = (0, *range(2, grad.ndim))
        grad = grad - _across(grad.mean(axes), grad)
        grad = grad - top * _across((t[0].diff * top).mean(axes), grad)
    return [grad / layer.kept["deviation"]], [np.zeros_like(value) for value in p]


def _euclidean(
    layer: Layer, t: list[Blob], b: list[Blob], p: list[Array]
) -> tuple[list[Array], list[Array]]:
    grad = t[0].diff * (b[0].data - b[1].data) / len(b[0].data)
    return [grad, -grad], []


def _reduction(
    layer: Layer, t: list[Blob], b: list[Blob], p: list[Array]
) -> tuple[list[Array], list[Array]]:
    more = (1,) * (len(b[0].shape) - layer.options["axis"])
    return [np.broadcast_to(t[0].diff.reshape(*t[0].shape, *more), b[0].shape)], []


def _concat(
    layer: Layer, t: list[Blob], b: list[Blob], p: list[Array]
) -> tuple[list[Array], list[Array]]:
    ends = np.cumsum([x.shape[1] for x in b])[:-1]
    return [part.copy() for part in np.split(t[0].diff, ends, 1)], []


Gradients = tuple[list[Array], list[Array]]
BACKWARD: dict[str, Callable[[Layer, list[Blob], list[Blob], list[Array]], Gradients]]
BACKWARD = {
    "Power": lambda layer, t, b, p: ([_power(layer, t[0].diff, b[0].data)], []),
    "ReLU": lambda layer, t, b, p: (
        [t[0].diff * np.where(b[0].data > 0, 1, layer.options["negative_slope"])],
        [],
    ),
    "Sigmoid": lambda layer, t, b, p: (
        [t[0].diff * t[0].data * (1 - t[0].data)],
        [],
    ),
    "TanH": lambda layer, t, b, p: ([t[0].diff * (1 - t[0].data ** 2)], []),
    "InnerProduct": _product,
    "Convolution": _convolution,
    "BatchNorm": _normalization,
    "Eltwise": lambda layer, t, b, p: ([t[0].diff.copy() for _ in b], []),
    "Split": lambda layer, t, b, p: (
        [np.sum([top.diff for top in t], axis=0)],
        [],
    ),
    "Concat": _concat,
    "Slice": lambda layer, t, b, p: (
        [np.concatenate([top.diff for top in t], 1)],
        [],
    ),
    "Reduction": _reduction,
    "EuclideanLoss": _euclidean,
    "Silence": lambda layer, t, b, p: ([np.zeros(x.shape) for x in b], []),
}
