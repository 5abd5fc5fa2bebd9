"""The schema works with the oldest and the newest protobuf package that are served."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
UNREACHABLE = ("connection", "name resolution", "timed out", "ProxyError", "SSLError")

SCRIPT = """
import sys
from pathlib import Path

import google.protobuf

from caffe.errors import PrototxtError
from caffe.proto import binary, caffe_pb2, files, stored, text

folder, major = Path(sys.argv[1]), sys.argv[2]
assert google.protobuf.__version__.startswith(major), google.protobuf.__version__
for name in ("v0", "v1", "v1_data"):
    wanted = (folder / f"{name}.upgraded.prototxt").read_text()
    net = files.read_net(folder / f"{name}.prototxt")
    assert text.to_text(net) == wanted, name
    assert text.parse_text(wanted, caffe_pb2.NetParameter()) == net
    assert caffe_pb2.NetParameter.FromString(net.SerializeToString()) == net
net = files.read_net_binary(folder / "v1.caffemodel")
assert len(net.layer) == 15
assert len(net.layer[2].blobs[0].data) == 36
with stored.opened_weights(folder / "v1.caffemodel") as layers:
    for layer, whole in zip(layers, net.layer):
        for blob, message in zip(layer.blobs, whole.blobs):
            assert blob.part(0, blob.count).tolist() == list(message.data)
vector = caffe_pb2.BlobProtoVector(blobs=[{"shape": {"dim": [2, 1]}}])
ones = stored.Numbers(2, lambda: [1.0, 1.0])
raw = b"".join(stored.serialise(vector, {1: None}, [(ones, None)]))
vector.blobs[0].data.extend([1, 1])
assert raw == vector.SerializeToString()
assert files.read_solver(folder / "solver_old.prototxt").type == "AdaGrad"
pool = b"\\n\\x01p\\x12\\x07Pooling" + bytes.fromhex("ca070418032002")
net = binary.parse_binary(b"\\xa2\\x06" + bytes([len(pool)]) + pool)
assert list(net.layer[0].pooling_param.kernel_size) == [3]
assert list(net.layer[0].pooling_param.stride) == [2]
try:
    text.parse_text("layer { nam: 1 }", caffe_pb2.NetParameter(), name="f")
except PrototxtError as error:
    wanted = "f:1:9: no field 'nam' in LayerParameter; did you mean name?"
    assert str(error) == wanted, error
else:
    sys.exit("an unknown field was accepted")
"""


@pytest.fixture(
    scope="module", params=[("protobuf==4.25.*", "4.25."), ("protobuf", "")]
)
def installed(request, tmp_path_factory):
    """Install a protobuf package into a folder; return folder and version."""
    requirement, version = request.param
    target = tmp_path_factory.mktemp("protobuf")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--retries=1", "--timeout=20"]
    command += ["--no-warn-conflicts", "--upgrade", f"--target={target}", requirement]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if any(sign.lower() in result.stderr.lower() for sign in UNREACHABLE):
        pytest.skip("the package index cannot be reached")
    assert result.returncode == 0, result.stderr
    return target, version


@pytest.mark.network
@pytest.mark.parametrize("implementation", ["upb", "python"])
def test_nets_are_read_upgraded_and_printed_with_protobuf(installed, implementation):
    target, version = installed
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(target), str(ROOT)]),
        "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation,
    }
    folder = str(ROOT / "tests" / "reference" / "upgrade")
    command = [sys.executable, "-c", SCRIPT, folder, version]
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
