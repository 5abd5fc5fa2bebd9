import io
import struct
import sys
import zipfile

import numpy as np
import pytest
import torch

from caffe.errors import CaffeError, FileError
from caffe.export import (
    fill,
    read_safetensors,
    read_state_dict,
    state_dict,
    write_safetensors,
    write_state_dict,
)
from tests.support.exported import net_of, scores, small_net

MIXED = """name: "mixed"
layer { name: "x" type: "Input" top: "x"
  input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }
layer { name: "bn" type: "BatchNorm" bottom: "x" top: "bn" }
layer { name: "scale" type: "Scale" bottom: "bn" top: "scale"
  scale_param { bias_term: true } }
layer { name: "prelu" type: "PReLU" bottom: "scale" top: "prelu"
  prelu_param { channel_shared: true } }
layer { name: "ip" type: "InnerProduct" bottom: "prelu" top: "ip"
  inner_product_param { num_output: 5 transpose: true } }"""


def mixed():
    net = net_of(MIXED)
    net.params["bn"][0].data[...] = [1, 2, 3]
    net.params["bn"][1].data[...] = [4, 5, 6]
    net.params["bn"][2].data[...] = 2
    return net


def test_weights_bear_the_names_of_caffes_layers():
    found = state_dict(small_net("unet_demo"))
    assert found["conv_d0a-b.weight"].shape == (1, 1, 3, 3)
    assert found["conv_d0a-b.bias"].shape == (1,)


def test_statistics_are_divided_by_their_weight():
    found = state_dict(mixed())
    np.testing.assert_allclose(found["bn.running_mean"], [0.5, 1, 1.5])
    np.testing.assert_allclose(found["bn.running_var"], [2, 2.5, 3])


def test_statistics_without_weight_are_zero():
    net = mixed()
    net.params["bn"][2].data[...] = 0
    assert not state_dict(net)["bn.running_var"].any()


def test_a_pt_file_goes_into_torchs_modules_and_back(tmp_path):
    net, other = mixed(), net_of(MIXED)
    write_state_dict(net, tmp_path / "w.pt")
    found = torch.load(tmp_path / "w.pt", weights_only=True)
    assert found["ip.weight"].shape == (5, 48)  # as nn.Linear has it
    assert fill(other, read_state_dict(tmp_path / "w.pt")) == []
    np.testing.assert_allclose(scores(other), scores(net), atol=1e-6)


def itself():
    found = {}
    found["state_dict"] = found
    return found


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: {"w": torch.empty(2, 3, device="meta")}, "'w' lies on the device 'm"),
        (lambda: {"w": torch.eye(3).to_sparse()}, "'w' is stored as torch.sparse_coo"),
        (lambda: {"w": torch.zeros(2, dtype=torch.complex64)}, "'w' has complex numb"),
        (lambda: {"w": torch.zeros(1).expand(1 << 40)}, "'w' has shape .*more than is"),
        (itself, "holds no tensors by name"),
        (lambda: {"a\nb": torch.empty(1, device="meta")}, r"tensor 'a\\nb'"),
    ],
)
def test_tensors_without_plain_numbers_are_refused_by_name(tmp_path, make, text):
    torch.save(make(), tmp_path / "w.pt")
    with pytest.raises(FileError, match=rf"w\.pt: .*{text}"):
        read_state_dict(tmp_path / "w.pt")


def test_a_zip_file_of_several_disks_is_no_state_dict(tmp_path):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as file:
        file.writestr("a", b"")
    end = memory.getvalue()[-22:]
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, 0, 7)
    (tmp_path / "w.pt").write_bytes(memory.getvalue()[:-22] + locator + end)
    with pytest.raises(FileError, match="is no state_dict"):
        read_state_dict(tmp_path / "w.pt")


@pytest.mark.parametrize("length", [0, 7, 8, 9, 40])
def test_a_damaged_safetensors_file_is_one_line(tmp_path, length):
    write_safetensors(mixed(), tmp_path / "w.safetensors")
    path = tmp_path / "x.safetensors"
    path.write_bytes((tmp_path / "w.safetensors").read_bytes()[:length])
    with pytest.raises(FileError, match=r"x\.safetensors: .*$") as caught:
        read_safetensors(path)
    assert "\n" not in str(caught.value)


def test_a_safetensors_file_holds_weights_and_net(tmp_path):
    net = mixed()
    write_safetensors(net, tmp_path / "w.safetensors")
    arrays, text = read_safetensors(tmp_path / "w.safetensors")
    other = net_of(text)
    fill(other, arrays)
    assert other.name == "mixed"
    np.testing.assert_allclose(scores(other), scores(net), atol=1e-6)


def test_layers_that_torch_does_not_know_keep_their_blobs_by_number():
    net = net_of(
        """layer { name: "x" type: "Input" top: "x" top: "cont"
             input_param { shape { dim: 3 dim: 2 dim: 4 } shape { dim: 3 dim: 2 } } }
           layer { name: "l" type: "LSTM" bottom: "x" bottom: "cont" top: "y"
             recurrent_param { num_output: 2 } }"""
    )
    arrays = state_dict(net)
    assert sorted(arrays) == ["l.0", "l.1", "l.2"]
    net.params["l"][0].data[...] = 0
    fill(net, arrays)
    np.testing.assert_array_equal(net.params["l"][0].data, arrays["l.0"])


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    path, wanted = tmp_path / "w.safetensors", r'pip install "pyunet\[zoo\]"'
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(CaffeError, match=wanted):
        read_safetensors(path)
    with pytest.raises(CaffeError, match=wanted):
        write_safetensors(mixed(), path)
