"""Random nets agree with layers in plain numpy on Caffe's memory, however they run."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2
from tests.support import plain_caffe
from tests.support.random_nets import Drawn, draw_net, with_splits

NETS = 40
WAYS = ["whole", "one by one", "a step", "a step that frees"]


def check_net(seed: int, way: str) -> None:
    """Compare values and gradients of all blobs, before and after a reshape."""
    drawn = draw_net(seed)
    param = text_format.Parse(drawn.prototxt(), caffe_pb2.NetParameter())
    caffe.set_random_seed(seed)
    net = caffe.Net(param, caffe.TRAIN if "step" in way else caffe.TEST)
    net.keep_blobs = way != "a step that frees"
    want = plain_caffe.Net(with_splits(drawn.layers), force=drawn.force)
    assert list(net.blobs) == list(want.blobs)
    rng = np.random.default_rng(seed)
    for layer in drawn.layers:
        for name, blob in zip(
            layer.params, net.params.get(layer.name, []), strict=True
        ):
            if layer.type == "BatchNorm":
                blob.data[...] = rng.uniform(0.5, 2, blob.shape)
            want.params[name] = blob.data.astype(float)
    for batch in drawn.batches:
        for name in net.inputs:
            shape = (batch, *net.blobs[name].shape[1:])
            net.blobs[name].reshape(*shape)
            want.blobs[name].reshape(shape)
        net.reshape()
        for name in net.inputs:
            values = rng.normal(size=net.blobs[name].shape)
            net.blobs[name].data[...] = values
            want.blobs[name].data[...] = values
        run(net, way)
        for name, value in want.params.items():
            want.param_diffs[name] = np.zeros_like(value)
        want.forward()
        want.backward()
        compare(net, want, drawn, f"net {seed}, {way}, batch {batch}")


def run(net: caffe.Net, way: str) -> None:
    """Forward and backward by one of the executors."""
    net.clear_param_diffs()
    if "step" in way:
        net.forward_backward()
        return
    net.forward(start=net._layer_names[0] if way == "one by one" else None)
    net.backward()


def compare(net: caffe.Net, want: plain_caffe.Net, drawn: Drawn, where: str) -> None:
    seen = net.outputs if "frees" in where else list(net.blobs)
    for name, blob in want.blobs.items():
        if name not in seen:
            continue
        near(net.blobs[name].values(), blob.data, f"{where}: {name}")
        if not drawn.accident and "frees" not in where:
            near(net.blobs[name].gradients(), blob.diff, f"{where}: gradient of {name}")
    for layer in drawn.layers:
        if layer.type == "BatchNorm":
            for name, blob in zip(layer.params, net.params[layer.name], strict=True):
                near(blob.data, want.params[name], f"{where}: {layer.name}")
    if drawn.accident:
        return
    for layer in drawn.layers:
        for name, blob in zip(
            layer.params, net.params.get(layer.name, []), strict=True
        ):
            near(blob.gradients(), want.param_diffs[name], f"{where}: {layer.name}")


def near(got: np.ndarray, want: np.ndarray, where: str) -> None:
    assert got.shape == want.shape, where
    off = np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-2)
    assert off <= 1e-4, f"{where} is off by {off:.1e}"


@pytest.mark.parametrize("way", WAYS)
def test_values_and_gradients_are_those_of_the_layers_one_by_one(way):
    for seed in range(NETS):
        check_net(seed, way)


def test_the_nets_have_what_they_are_drawn_for():
    nets = [draw_net(seed) for seed in range(NETS)]
    kinds = {layer.type for net in nets for layer in net.layers}
    assert kinds == {
        *plain_caffe.FORWARD,
        *plain_caffe.BACKWARD,
        *plain_caffe.SHAPES,
        "Input",
    }
    in_place = [
        layer for net in nets for layer in net.layers if layer.top == layer.bottom
    ]
    assert len(in_place) > NETS / 2
    assert 0 < sum(net.accident for net in nets) < NETS / 3
    assert 0 < sum(net.batches[0] > net.batches[1] for net in nets) < NETS
    names = [tuple(x.params) for net in nets for x in net.layers if x.params]
    assert len(set(names)) < len(names)
    texts = "".join(net.prototxt() for net in nets)
    for word in ("phase: TRAIN", "phase: TEST", "lr_mult: 1.0", "lr_mult: 2.0"):
        assert word in texts
    rates = [x.rates for net in nets for x in net.layers if x.type == "InnerProduct"]
    assert [0.0, 2.0] in rates
    assert [1.0, 0.0] in rates
    assert [0.0, 0.0] in rates
