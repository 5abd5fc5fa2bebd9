"""Whole nets of Caffe's forks, with weights and inputs that follow from names."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np

import caffe
from tests.support.forks import REFERENCE
from tests.support.stored import load_arrays

NETS = REFERENCE / "nets"
TOLERANCE = 1e-4
_HEADS = (  # layers of scores and boxes, which shall be of a likely size
    (re.compile(r"mbox|indoor|^conv(19|20)$"), 0.5),
    (re.compile(r"rpn_(cls|bbox)|detector/(bbox|cls)/"), 0.01),
)


def filled_net(folder: Path) -> caffe.Net:
    """Build the net of a folder, with its weights and inputs."""
    path = folder / "deploy.prototxt"
    net = caffe.Net(str(path), caffe.TEST)
    types = {layer.name: layer.type for layer in caffe.read_net(str(path)).layer}
    for name, params in net.params.items():
        for i, param in enumerate(params):
            param.data[...] = _values(name, types[name], i, param.data.shape)
    case = load_arrays(folder / "case.npz")
    for blob in net.inputs:
        data = net.blobs[blob].data
        random = _random(f"{folder.name}/{blob}")
        drawn = random.uniform(-1, 1, data.shape)
        data[...] = case.get(f"in.{blob}", drawn)
    return net


def check_net_case(folder: Path) -> None:
    """Compare blobs of a whole net with those that a fork had.

    A blob is stored whole, thinned, or as its sum and that of absolute values.
    """
    net = filled_net(folder)
    net.forward()
    for key, want in load_arrays(folder / "case.npz").items():
        if key.startswith("in."):
            continue
        kind, _, rest = key.partition(".")
        blob, _, step = rest.partition("#every_")
        got = net.blobs[blob].data
        if kind == "sum":
            total = np.abs(got).sum(dtype=np.float64)
            assert abs(got.sum(dtype=np.float64) - want[0]) <= TOLERANCE * want[1], key
            assert abs(total - want[1]) <= TOLERANCE * want[1], key
            continue
        got = got.reshape(-1)[:: int(step)] if step else got
        assert got.shape == want.shape, key
        off = np.linalg.norm(np.float64(got) - want) / max(np.linalg.norm(want), 1e-6)
        assert off <= TOLERANCE, f"{key} is off by {off:.1e}"


def _random(words: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(words.encode()))


def _values(name: str, kind: str, i: int, shape: tuple[int, ...]) -> Any:
    random = _random(f"{name}/{i}")
    normal, uniform = random.standard_normal(shape), random.random(shape)
    scale, shift, mean, variance = 0.8 + 0.4 * uniform, 0.1 * normal, 0.1 * normal, 0.5
    of_type = {
        "BatchNorm": [mean, variance + uniform, np.ones(shape)],
        "Scale": [scale, shift],
        "BN": [scale, shift, mean, variance + uniform],
        "Normalize": [5 + 10 * uniform],
        "PReLU": [0.4 * uniform],
    }
    if kind in of_type:
        values = of_type[kind][i]
    elif i == 0:
        values = normal * np.sqrt(2 / np.prod(shape[1:]))
    else:
        values = shift
    for pattern, factor in _HEADS:
        if i == 0 and pattern.search(name):
            values = factor * values
    return values
