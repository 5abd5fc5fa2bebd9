"""Small nets with weights, for exporters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2
from caffe.proto.files import read_net
from tests.support.nets import narrow

ROOT = Path(__file__).parents[2]
PROTOTXT = ROOT / "prototxt"
FLAT = (
    "2d_cell_net_v0",
    "phseg_v5",
    "phseg_v5new6",
    "phseg_v7",
    "unet_demo",
    "unet_isbi2012_narrow",
    "unet_vessels",
)


def small_net(name: str, tile: tuple[int, ...] = (188, 188)) -> caffe.Net:
    """A net of prototxt/, a sixteenth as wide, with weights and an image."""
    message = narrow(read_net(PROTOTXT / name / "deploy.prototxt"), 16)
    message.layer[0].input_param.shape[0].dim[2:] = tile
    return filled(caffe.Net(message, caffe.TEST))


def net_of(text: str) -> caffe.Net:
    """A net of a text, with weights and inputs."""
    message = text_format.Parse(text, caffe_pb2.NetParameter())
    return filled(caffe.Net(message, caffe.TEST))


def filled(net: caffe.Net) -> caffe.Net:
    rng = np.random.default_rng(0)
    for blobs in net.params.values():
        for blob in blobs:
            spread = 1.4 * max(1, blob.data[0].size) ** -0.5 if blob.data.ndim else 1
            blob.data[...] = rng.normal(0, spread, blob.data.shape)
    for name in net.inputs:
        net.blobs[name].data[...] = rng.random(net.blobs[name].data.shape)
    return net


def scores(net: caffe.Net) -> np.ndarray:
    """What a net of one output answers."""
    (answer,) = net.forward().values()
    return answer.copy()


def assert_same(got: np.ndarray, want: np.ndarray) -> None:
    """Scores to 1e-4, and every label."""
    np.testing.assert_allclose(got, want, atol=1e-4)
    assert (got.argmax(1) == want.argmax(1)).all()
