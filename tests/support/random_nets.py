"""Random nets of layers that `plain_caffe` knows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tests.support.plain_caffe import EPS, Layer

READS_TOP = {"Sigmoid", "TanH"}  # in their backward
READS_BOTTOM = {"Power", "ReLU", "InnerProduct", "Convolution", "EuclideanLoss"}


@dataclass
class Drawn:
    """A net as it is written, without the splits that Caffe adds."""

    layers: list[Layer]
    force: bool
    batches: tuple[int, int]
    # a layer in place overwrites what an earlier backward reads: Caffe's gradients
    # are an accident of its memory
    accident: bool = False

    def prototxt(self) -> str:
        """Text of the net."""
        head = "force_backward: true\n" if self.force else ""
        return head + "\n".join(map(_text, self.layers))


@dataclass
class _Open:
    """A blob that a layer may read: its shape without the batch, its memory."""

    name: str
    rest: tuple[int, ...]
    memory: int
    readers: int = 0


@dataclass
class _Memory:
    read: bool = False  # by a backward, as it stands


class _Draw:
    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.layers: list[Layer] = []
        self.open: list[_Open] = []
        self.memories: list[_Memory] = []
        self.shared: dict[tuple[object, ...], tuple[list[str], list[float]]] = {}
        self.accident = False
        self.batches = (int(self.rng.integers(1, 5)), int(self.rng.integers(1, 5)))

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def add(
        self,
        kind: str,
        bottom: list[_Open],
        rests: list[tuple[int, ...]],
        *,
        alias: bool = False,
        **options: object,
    ) -> list[_Open]:
        """Enter a layer; tops are new memory, or that of bottom 0."""
        number = len(self.layers)
        tops = []
        for i, rest in enumerate(rests):
            if not alias:
                self.memories.append(_Memory())
            memory = bottom[0].memory if alias else len(self.memories) - 1
            tops.append(_Open(f"{kind[:3].lower()}{number}_{i}", rest, memory))
        for blob in bottom:
            blob.readers += 1
            self.memories[blob.memory].read |= kind in READS_BOTTOM
        for top in tops:
            self.memories[top.memory].read |= kind in READS_TOP
        names = [blob.name for blob in bottom], [blob.name for blob in tops]
        self.layers.append(Layer(kind, f"l{number}", *names, dict(options)))
        self.open += tops
        return tops

    def in_place(self, kind: str, blob: _Open, **options: object) -> None:
        """Enter a layer over a blob that nobody has read."""
        self.accident |= self.memories[blob.memory].read
        self.memories[blob.memory].read |= kind in READS_TOP or kind == "ReLU"
        number = len(self.layers)
        name = [blob.name]
        self.layers.append(Layer(kind, f"l{number}", name, list(name), dict(options)))

    def neuron(self, blob: _Open) -> None:
        kind = str(self.rng.choice(["ReLU", "Sigmoid", "TanH", "Power"]))
        options: dict[str, object] = {}
        if kind == "ReLU":
            options = {"negative_slope": float(self.rng.choice([0, 0.25]))}
        in_place = blob.readers == 0 and self.chance(0.5)
        if kind == "Power":
            power = 1 if in_place else int(self.rng.integers(1, 3))
            options = {"power": power, "scale": 0.5, "shift": 0.25}
        if in_place:
            self.in_place(kind, blob, **options)
        else:
            self.add(kind, [blob], [blob.rest], **options)

    def learn(self, key: tuple[object, ...]) -> None:
        """Give the last layer weights and biases, or those of one of the same key."""
        params = self.shared.get(key)
        if params is None or self.chance(0.3):
            names = [f"w{len(self.layers)}", f"b{len(self.layers)}"]
            params = names, [float(self.chance(0.8)), 2 * float(self.chance(0.8))]
            self.shared[key] = params
        self.layers[-1].params, self.layers[-1].rates = params

    def product(self, blob: _Open) -> None:
        outputs = int(self.rng.integers(2, 5))
        self.add("InnerProduct", [blob], [(outputs,)], num_output=outputs)
        self.learn((int(np.prod(blob.rest)), outputs))

    def convolution(self, blob: _Open) -> None:
        if len(blob.rest) < 2:
            self.product(blob)
            return
        channels, width = blob.rest
        outputs, kernel = int(self.rng.integers(1, 4)), int(self.rng.choice([1, 3]))
        options = {"num_output": outputs, "kernel": kernel}
        self.add("Convolution", [blob], [(outputs, width)], **options)
        self.learn((channels, outputs, kernel))

    def normalization(self, blob: _Open) -> None:
        """Enter a BatchNorm that says in one of two ways which statistics it takes."""
        options = {"stored": self.chance(0.5), "by_phase": self.chance(0.5)}
        if blob.readers == 0 and self.chance(0.5):
            self.in_place("BatchNorm", blob, **options)
        else:
            self.add("BatchNorm", [blob], [blob.rest], **options)
        number = len(self.layers)
        self.layers[-1].params = [f"{name}{number}" for name in ("m", "v", "f")]
        self.layers[-1].rates = [0.0, 0.0, 0.0]

    def join(self, kind: str, blob: _Open) -> None:
        fitting = [o for o in self.open if o.rest == blob.rest]
        others = [fitting[i] for i in self.rng.integers(len(fitting), size=2)]
        if kind == "Concat" and self.chance(0.5):
            others = []
        bottom, rest = [blob, *others[: 1 + self.chance(0.3)]], blob.rest
        if kind == "Concat":
            rest = (len(bottom) * rest[0], *rest[1:])
        self.add(kind, bottom, [rest], alias=len(bottom) == 1)

    def step(self) -> None:
        """Enter one layer."""
        blob = self.open[self.rng.integers(len(self.open))]
        kind = self.rng.choice(
            ["neuron"] * 4
            + ["InnerProduct", "Eltwise", "Split", "Reshape", "Flatten"]
            + ["Concat", "Slice", "Reduction", "BatchNorm", "Convolution"]
        )
        count = int(np.prod(blob.rest))
        ways = {
            "neuron": self.neuron,
            "InnerProduct": self.product,
            "Convolution": self.convolution,
            "BatchNorm": self.normalization,
        }
        if kind in ways:
            ways[kind](blob)
        elif kind in {"Eltwise", "Concat"}:
            self.join(kind, blob)
        elif kind == "Split":
            tops = int(self.rng.integers(1, 4))
            self.add(kind, [blob], [blob.rest] * tops, alias=True)
        elif kind == "Reshape":
            rest = (count, 1) if self.chance(0.5) else (1, count)
            self.add(kind, [blob], [rest], alias=True, rest=rest)
        elif kind == "Flatten":
            self.add(kind, [blob], [(count,)], alias=True)
        elif kind == "Slice":
            tops = 2 if blob.rest[0] % 2 == 0 and self.chance(0.7) else 1
            rest = (blob.rest[0] // tops, *blob.rest[1:])
            self.add(kind, [blob], [rest] * tops, alias=tops == 1)
        else:
            (top,) = self.add(kind, [blob], [()], axis=1)
            self.layers[-1].loss_weight = float(self.rng.choice([0, 0.5, 2]))
            self.open.remove(top)


def draw_net(seed: int) -> Drawn:
    """Net of a seed: 4 to 16 layers behind its inputs, and losses on what is left."""
    draw = _Draw(seed)
    for _ in range(int(draw.rng.integers(1, 3))):
        channels = int(draw.rng.choice([1, 2, 4]))
        rest = (channels, 2) if draw.chance(0.5) else (channels,)
        draw.add("Input", [], [rest], shape=(draw.batches[0], *rest))
    for _ in range(int(draw.rng.integers(4, 17))):
        draw.step()
    for blob in [o for o in draw.open if o.readers == 0]:
        if draw.chance(0.3):
            continue
        if draw.chance(0.2):
            draw.add("Silence", [blob], [])
            continue
        shape = (draw.batches[0], *blob.rest)
        (target,) = draw.add("Input", [], [blob.rest], shape=shape)
        draw.add("EuclideanLoss", [blob, target], [()])
        draw.layers[-1].loss_weight = float(draw.rng.choice([0, 1, 0.1, 2]))
    return Drawn(draw.layers, draw.chance(0.5), draw.batches, draw.accident)


def with_splits(layers: list[Layer]) -> list[Layer]:
    """Add a Split, of Caffe's names, behind what writes a blob of several readers."""
    writer: dict[str, int] = {}
    readers: dict[str, list[int]] = {}
    for i, layer in enumerate(layers):
        for name in layer.bottom:
            if name not in layer.top:
                readers.setdefault(name, []).extend([i])
        writer.update(dict.fromkeys(layer.top, i))
    names: dict[str, list[str]] = {}
    found: list[Layer] = []
    for i, layer in enumerate(layers):
        bottom = [
            names[name].pop(0) if name in names else name for name in layer.bottom
        ]
        found.append(replace(layer, bottom=bottom))
        for j, name in enumerate(layer.top):
            uses = len(readers.get(name, []))
            if writer[name] == i and uses > 1:
                stem = f"{name}_{layer.name}_{j}_split"
                names[name] = [f"{stem}_{k}" for k in range(uses)]
                found.append(Layer("Split", stem, [name], list(names[name])))
    return found


def _text(layer: Layer) -> str:
    words = [f'name: "{layer.name}" type: "{layer.type}"']
    words += [f'bottom: "{name}"' for name in layer.bottom]
    words += [f'top: "{name}"' for name in layer.top]
    words += [
        f'param {{ name: "{name}" lr_mult: {rate} }}'
        for name, rate in zip(layer.params, layer.rates, strict=True)
    ]
    if layer.loss_weight or layer.type == "EuclideanLoss":
        words.append(f"loss_weight: {layer.loss_weight}")
    options = layer.options
    if layer.type in _OPTIONS:
        words.append(_OPTIONS[layer.type](options))
    return "layer { " + " ".join(words) + " }"


def _dims(values: object) -> str:
    return " ".join(f"dim: {v}" for v in values)  # type: ignore[attr-defined]


_FILLERS = (
    'weight_filler { type: "gaussian" std: 0.5 } '
    'bias_filler { type: "gaussian" std: 0.5 } }'
)


def _statistics(options: dict[str, object]) -> str:
    stored = options["stored"]
    phase, said = f"phase: {'TEST' if stored else 'TRAIN'}", ""
    if not options["by_phase"]:
        phase, said = "", f"use_global_stats: {str(stored).lower()}"
    fields = f"eps: {EPS} moving_average_fraction: 0.5 {said}"
    return f"{phase} batch_norm_param {{ {fields} }}"


_OPTIONS = {
    "Input": lambda o: f"input_param {{ shape {{ {_dims(o['shape'])} }} }}",
    "Power": lambda o: (
        f"power_param {{ power: {o['power']} scale: {o['scale']} shift: {o['shift']} }}"
    ),
    "ReLU": lambda o: f"relu_param {{ negative_slope: {o['negative_slope']} }}",
    "InnerProduct": lambda o: (
        f"inner_product_param {{ num_output: {o['num_output']} {_FILLERS}"
    ),
    "Convolution": lambda o: (
        f"convolution_param {{ num_output: {o['num_output']} "
        f"kernel_size: {o['kernel']} pad: {int(o['kernel'] == 3)} {_FILLERS}"
    ),
    "BatchNorm": _statistics,
    "Reshape": lambda o: f"reshape_param {{ shape {{ dim: 0 {_dims(o['rest'])} }} }}",
    "Reduction": lambda o: "reduction_param { axis: 1 }",
}
