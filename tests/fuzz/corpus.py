"""Small sound files that fuzzing starts from, made on the spot."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import caffe
from caffe.proto import caffe_pb2
from caffe.proto.blobs import to_proto
from caffe.proto.text import parse_text

TESTS = Path(__file__).parents[1]
NET = """
name: "small"
layer { name: "in" type: "Input" top: "x"
  input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 3 kernel_size: 2 } }
layer { name: "a/b" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 2 } }
"""
_TEXTS = (
    "reference/upgrade/v0.prototxt",
    "reference/upgrade/v1.prototxt",
    "reference/upgrade/v1_data.prototxt",
    "models/mnist_siamese.prototxt",
)
SOLVER = f"""# a comment
base_lr: 1e-2 lr_policy: 'step' gamma: .1 stepvalue: [1, 2] test_iter: 1
net_param {{ {NET} }} snapshot_prefix: "s" solver_type: ADAM weights: "a,\\142\\x63"
"""


@cache
def small_net() -> Any:
    """Net that the trained weights of the corpus belong to."""
    return caffe.Net(parse_text(NET, caffe_pb2.NetParameter()), caffe.TEST)


def prototxts() -> dict[str, bytes]:
    """Files of this kind by name."""
    found = {Path(name).name: (TESTS / name).read_bytes() for name in _TEXTS}
    found["net"] = NET.encode()
    found["input"] = b'input: "x" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4'
    return found


def _weights() -> list[Any]:
    return [to_proto(np.ones((3, 2, 2, 2), "f4")), to_proto(np.zeros(3, "f4"))]


def caffemodels() -> dict[str, bytes]:
    """Files of this kind by name."""
    today = small_net().to_proto(write_diff=True)
    v1 = caffe_pb2.NetParameter(name="v1")
    layer = v1.layers.add(name="conv", type=caffe_pb2.V1LayerParameter.CONVOLUTION)
    layer.convolution_param.num_output = 3
    layer.blobs.extend(_weights())
    v0 = caffe_pb2.NetParameter(name="v0", input=["x"], input_dim=[1, 2, 4, 4])
    oldest = v0.layers.add(bottom=["x"], top=["c"]).layer
    oldest.name, oldest.type, oldest.num_output, oldest.kernelsize = (
        "conv",
        "conv",
        3,
        2,
    )
    blob = oldest.blobs.add(num=3, channels=2, height=2, width=2)
    blob.double_data.extend([0.5] * 24)
    oldest.blobs.add(num=1, channels=1, height=1, width=3).data.extend([1] * 3)
    pooled = caffe_pb2.NetParameter()
    pooled.layer.add(name="p", type="Pooling").pooling_param.kernel_size.append(2)
    crop = caffe_pb2.NetParameter()
    crop.layers.add(name="c", type=caffe_pb2.V1LayerParameter.CROP, bottom=["a", "b"])
    nets = {"v2": today, "v1": v1, "v0": v0, "pooling": pooled, "odd-crop": crop}
    return {name: net.SerializeToString() for name, net in nets.items()}


def solverstates() -> dict[str, bytes]:
    """Files of this kind by name."""
    state = caffe_pb2.SolverState(
        iter=7, current_step=1, learned_net="a.caffemodel", history=_weights()
    )
    return {"state": state.SerializeToString()}


def binaryprotos() -> dict[str, bytes]:
    """Files of this kind by name."""
    old = caffe_pb2.BlobProto(num=1, channels=1, height=2, width=2, data=[1, 2, 3, 4])
    double = caffe_pb2.BlobProto(shape={"dim": [2]}, double_data=[0.5, 1e300])
    made = {"new": _weights()[0], "old": old, "double": double}
    return {name: blob.SerializeToString() for name, blob in made.items()}


def hdf5_image(fill: Callable[[Any], object], libver: str = "earliest") -> bytes:
    """Bytes of the HDF5 file that `fill` writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.h5")
        with h5py.File(path, "w", libver=libver) as file:
            fill(file)
        return path.read_bytes()


def fill_weights(file: Any) -> None:
    """Write this kind of content into an HDF5 file."""
    for node in small_net().layer_dict.items():
        group = file.require_group(f"data/{node[0]}")
        for index, blob in enumerate(node[1].blobs):
            group[str(index)] = blob.data


def fill_state(file: Any) -> None:
    """Write this kind of content into an HDF5 file."""
    file["iter"] = np.array([7], "i4")
    file["current_step"] = np.array([1], "i4")
    file["learned_net"] = np.bytes_("a.caffemodel")
    file["history/0"] = np.ones((3, 2), "f4")
    file["history/1"] = np.ones(3, "f8")


def fill_rows(file: Any) -> None:
    """Write this kind of content into an HDF5 file."""
    file.create_dataset(
        "data", data=np.ones((4, 2, 3), "f4"), chunks=(2, 2, 3), compression="gzip"
    )
    file["label"] = np.arange(4, dtype="u1")


def fill_odd(file: Any) -> None:
    """Write this kind of content into an HDF5 file."""
    file["data"] = np.array([b"text", b"more"])
    file["label"] = np.zeros(2, [("x", "f4"), ("y", "i2")])
    file["soft"] = h5py.SoftLink("/soft")
    file["out"] = h5py.ExternalLink("other.h5", "/data")
    file.create_dataset("huge", shape=(1 << 40, 2), chunks=(1, 2), dtype="f4")
