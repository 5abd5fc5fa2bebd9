"""Filters of odd shapes give what float64 gives, in both executors and each precision.

One channel, one pixel, strides beyond the kernel, padding beyond the image, as many
groups as channels: a library's kernels are written and tested for other shapes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from torch.nn import functional

import caffe
from caffe import glog
from caffe.proto import caffe_pb2

# of the terms that are added up; some kernels keep the sums, of up to 64 places of a
# window, in bfloat16
ALLOWED = {"float32": 1e-5, "bf16": 5e-2}
MOST = 3_000_000  # multiplications of one shape


@dataclass(frozen=True)
class Case:
    """One layer and the shape of its bottom."""

    kind: str
    method: str
    number: int
    channels: int
    outputs: int
    group: int
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]
    rectified: bool

    @property
    def extent(self):
        pairs = zip(self.kernel, self.dilation, strict=True)
        return tuple(d * (k - 1) + 1 for k, d in pairs)

    @property
    def output(self):
        rows = zip(self.size, self.extent, self.stride, self.pad, strict=True)
        if self.kind == "Deconvolution":
            return tuple(s * (n - 1) + e - 2 * p for n, e, s, p in rows)
        if self.kind == "Convolution":
            return tuple((n + 2 * p - e) // s + 1 for n, e, s, p in rows)
        counts = []
        for n, k, s, p in rows:
            count = -(-(n + 2 * p - k) // s) + 1
            beyond = any(self.pad) and (count - 1) * s >= n + p
            counts.append(count - beyond)
        return tuple(counts)

    @property
    def possible(self):
        work = self.number * prod(self.kernel) * max(prod(self.output), 1)
        work *= self.channels * self.outputs // self.group
        if min(self.output) < 1 or work > MOST:
            return False
        if self.kind != "Pooling":
            return True
        pixels = self.number * self.channels * prod(self.size)
        if pixels * prod(self.output) > 7 * MOST:  # the exact gradient would be slow
            return False
        rows = zip(
            self.size, self.kernel, self.stride, self.pad, self.output, strict=True
        )
        # the last window has pixels, as the maximum of none is -FLT_MAX
        return all(p < k and (c - 1) * s - p < n for n, k, s, p, c in rows)

    @property
    def oddities(self):
        """What is odd about it."""
        found = {
            "one channel": self.channels == 1,
            "one pixel": prod(self.size) == 1,
            "stride beyond the kernel": any(
                s > e for s, e in zip(self.stride, self.extent, strict=True)
            ),
            "padding beyond the image": any(
                p > n for p, n in zip(self.pad, self.size, strict=True)
            ),
            "windows in the padding": any(
                p >= e for p, e in zip(self.pad, self.extent, strict=True)
            ),
            "a group for each channel": self.group == self.channels > 1,
        }
        return [name for name, true in found.items() if true]

    def layer(self):
        """Text of the layer, from blob p to y."""
        lists = {"kernel_size": self.kernel, "stride": self.stride, "pad": self.pad}
        if self.kind == "Pooling":
            options = f"pool: {self.method} "
        else:
            options = f"num_output: {self.outputs} group: {self.group} "
            lists["dilation"] = self.dilation
        for name, values in lists.items():
            options += " ".join(f"{name}: {value}" for value in values) + " "
        name = "pooling_param" if self.kind == "Pooling" else "convolution_param"
        return f'name: "odd" type: "{self.kind}" {name} {{ {options} }}'


def draw(seed: int) -> Case:
    """Draw one case; most are odd in more than one way."""
    rng = np.random.default_rng(seed)
    while True:
        case = draw_once(rng)
        if case.possible:
            return case


def draw_once(rng: np.random.Generator) -> Case:
    axes = int(rng.choice([1, 2, 2, 2, 2, 3]))

    def each(chance, least, most, otherwise):
        if rng.random() >= chance:
            return (otherwise,) * axes
        return tuple(int(n) for n in rng.integers(least, most + 1, axes))

    kind = str(rng.choice(["Convolution", "Convolution", "Deconvolution", "Pooling"]))
    group = int(rng.choice([1, 1, 1, 2, 3, 8]))
    inside, outside = (int(n) for n in rng.choice([1, 1, 1, 2, 3, 5, 16], 2))
    large = rng.random() < 0.05
    if kind == "Pooling":
        group, outside = 1, inside
    return Case(
        kind=kind,
        method=str(rng.choice(["MAX", "AVE"])),
        number=int(rng.choice([16, 32] if large else [1, 1, 2, 3])),
        channels=group * inside,
        outputs=group * outside,
        group=group,
        size=(32,) * axes if large else each(0.85, 1, 7, 1),
        kernel=each(0.8, 1, 4, int(rng.choice([1, 3]))),
        stride=each(0.7, 1, 5, 1),
        pad=each(0.6, 0, 4, 0),
        dilation=(1,) * axes if kind == "Pooling" else each(0.3, 1, 3, 1),
        rectified=bool(rng.random() < 0.5),
    )


def make_net(case: Case, phase: int) -> caffe.Net:
    """The layer between two that multiply by 1, so that bf16 reaches and leaves it."""
    shapes = {"x": (case.number, case.channels, *case.size)}
    if phase == caffe.TRAIN:
        shapes["g"] = (case.number, case.outputs, *case.output)
    lines = []
    for name, shape in shapes.items():
        dims = " ".join(f"dim: {n}" for n in shape)
        lines.append(f'name: "{name}" type: "Input" top: "{name}"')
        lines[-1] += f" input_param {{ shape {{ {dims} }} }}"
    lines.append(same("first", "x", "p", case.channels))
    lines.append(case.layer() + ' bottom: "p" top: "y"')
    if case.rectified and phase == caffe.TEST:
        lines.append('name: "r" type: "ReLU" bottom: "y" top: "y"')
    lines.append(same("last", "y", "h", case.outputs))
    if phase == caffe.TRAIN:
        lines += [
            'name: "e" type: "Eltwise" bottom: "h" bottom: "g" top: "e"'
            " eltwise_param { operation: PROD }",
            'name: "l" type: "Reduction" bottom: "e" top: "l" loss_weight: 1',
        ]
    param = caffe_pb2.NetParameter(force_backward=phase == caffe.TRAIN)
    for line in lines:
        text_format.Parse(line, param.layer.add())
    return caffe.Net(param, phase)


def same(name: str, bottom: str, top: str, channels: int) -> str:
    return (
        f'name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{top}" '
        f"convolution_param {{ num_output: {channels} group: {channels} kernel_size: 1 "
        'bias_term: false weight_filler { type: "constant" value: 1 } }'
    )


def numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Normal numbers that bfloat16 holds exactly."""
    drawn = torch.from_numpy(rng.standard_normal(shape, np.float32))
    return drawn.bfloat16().float().numpy()


def operands(case: Case, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([seed, 1])
    found = {
        "x": numbers(rng, (case.number, case.channels, *case.size)),
        "g": numbers(rng, (case.number, case.outputs, *case.output)),
    }
    if case.kind != "Pooling":
        rows, columns = case.outputs, case.channels
        if case.kind == "Deconvolution":
            rows, columns = columns, rows
        found["w"] = numbers(rng, (rows, columns // case.group, *case.kernel))
        found["b"] = numbers(rng, (case.outputs,))
    return found


def exact(case: Case, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Top and gradients in float64, row-major."""
    leaves = {
        name: torch.from_numpy(value).double().requires_grad_()
        for name, value in given.items()
    }
    g = leaves.pop("g").detach()
    y = pooled(case, leaves["x"]) if case.kind == "Pooling" else filtered(case, leaves)
    grads = torch.autograd.grad(y, list(leaves.values()), g)
    made = {f"d{n}": t.numpy() for n, t in zip(leaves, grads, strict=True)}
    return {"y": y.detach().numpy(), **made}


def filtered(case: Case, leaves: dict[str, torch.Tensor]) -> torch.Tensor:
    name = "conv_transpose" if case.kind == "Deconvolution" else "conv"
    call = getattr(functional, f"{name}{len(case.size)}d")
    y: torch.Tensor = call(
        leaves["x"],
        leaves["w"],
        leaves["b"],
        stride=case.stride,
        padding=case.pad,
        dilation=case.dilation,
        groups=case.group,
    )
    return y


def pooled(case: Case, x: torch.Tensor) -> torch.Tensor:
    """Caffe's pooling, window by window."""
    axes = len(case.size)
    tops = []
    for place in product(*map(range, case.output)):
        rows = zip(place, case.stride, case.pad, case.kernel, case.size, strict=True)
        box, area = [slice(None), slice(None)], 1
        for i, stride, pad, kernel, size in rows:
            start = i * stride - pad
            end = min(start + kernel, size + pad)
            area *= end - start
            box.append(slice(max(start, 0), min(end, size)))
        window = x[tuple(box)].flatten(2)
        if case.method == "AVE":
            tops.append(window.sum(-1) / area)
        else:
            first = window.detach().numpy().argmax(-1)  # the first of equal ones
            index = torch.from_numpy(first)[..., None]
            tops.append(window.gather(-1, index)[..., 0])
    y = torch.stack(tops, -1).unflatten(-1, case.output)
    assert y.dim() == 2 + axes
    return y


def sizes_of_terms(
    case: Case, given: dict[str, np.ndarray], want: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """How large the terms are that each number is the sum of."""
    if case.kind == "Pooling":
        # a maximum is no sum, and its gradient goes where the maximum is
        summed = exact(case, given | {"g": np.abs(given["g"])})
        return {"y": np.abs(want["y"]) + 1, "dx": summed["dx"]}
    return exact(case, {name: np.abs(value) for name, value in given.items()})


def wrong(case: Case, seed: int) -> list[str]:
    """What is not as in float64, in each executor and precision."""
    given = operands(case, seed)
    want = exact(case, given)
    terms = sizes_of_terms(case, given, want)
    nets = {phase: make_net(case, phase) for phase in (caffe.TRAIN, caffe.TEST)}
    for net in nets.values():
        for blob, name in zip(net.params.get("odd", ()), ("w", "b"), strict=False):
            blob.fill(torch.from_numpy(given[name]))
        for name in net.inputs:
            net.blobs[name].data[...] = given[name]
    found = []
    for precision, allowed in ALLOWED.items():
        caffe.set_precision(precision)
        for executor, got in answers(nets):
            for name, value in got.items():
                wanted = want[name]
                if case.rectified and executor.endswith("TEST"):
                    wanted = np.maximum(wanted, 0)
                # a 3-D average on a CPU has a gradient of Caffe's own
                if name == "dx" and case.kind == "Pooling" and own_gradient(case):
                    continue
                if not (np.abs(value - wanted) <= allowed * terms[name] + 1e-9).all():
                    found.append(f"{name} ({precision}, {executor})")
    return found


def own_gradient(case: Case) -> bool:
    return case.method == "AVE" and len(case.size) == 3 and any(case.pad)


def answers(nets):
    """Top and gradients, by executor."""
    train, test = nets[caffe.TRAIN], nets[caffe.TEST]
    train.clear_param_diffs()
    train.forward_backward()
    yield "fused TRAIN", gradients(train)
    train.clear_param_diffs()
    train.forward()
    train.backward()
    yield "inspecting TRAIN", gradients(train)
    yield "fused TEST", {"y": test.forward()["h"]}
    yield "inspecting TEST", {"y": test.forward(start="first")["h"]}


def gradients(net):
    made = {"y": net.blobs["h"].data, "dx": net.blobs["x"].diff}
    for blob, name in zip(net.params.get("odd", ()), ("dw", "db"), strict=False):
        made[name] = blob.diff
    return {name: value.copy() for name, value in made.items()}


@pytest.fixture(autouse=True)
def quiet():
    glog.mute(2)
    yield
    glog.mute(0)


def check(seeds):
    found = {}
    for seed in seeds:
        case = draw(seed)
        if failures := wrong(case, seed):
            found[seed] = (case, failures)
    assert not found, "\n".join(f"{seed}: {what}" for seed, what in found.items())


def test_what_is_drawn_is_odd_in_every_way():
    cases = [draw(seed) for seed in range(400)]
    ways = Counter(way for case in cases for way in (*case.oddities, case.kind))
    assert len(ways) == 6 + 3
    assert min(ways.values()) >= 15


@pytest.mark.parametrize("part", range(4))
def test_odd_shapes_are_filtered_as_in_float64(part):
    check(range(25 * part, 25 * (part + 1)))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(100))
def test_ten_thousand_odd_shapes_are_filtered_as_in_float64(part):
    check(range(100 * part, 100 * (part + 1)))
