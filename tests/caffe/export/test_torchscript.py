import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from caffe.export import write_torchscript
from tests.support.exported import assert_same, net_of, scores, small_net


def loaded(path: Path) -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.load(path)


@pytest.mark.parametrize("name", ["unet_demo", "2d_cell_net_v0", "phseg_v5"])
def test_scores_and_labels_are_the_same_at_another_size(tmp_path, name):
    net = small_net(name)
    assert write_torchscript(net, tmp_path / "net.pt")
    net.blobs["data"].reshape(2, 1, 204, 188)
    net.reshape()
    image = np.random.default_rng(5).random((2, 1, 204, 188), np.float32)
    net.blobs["data"].data[...] = image
    with torch.no_grad():
        got = loaded(tmp_path / "net.pt")(torch.from_numpy(image)).numpy()
    assert_same(got, scores(net))


def test_a_concat_that_cuts_takes_any_size(tmp_path):
    net = net_of(
        """layer { name: "x" type: "Input" top: "x"
             input_param { shape { dim: 1 dim: 1 dim: 9 dim: 9 } } }
           layer { name: "c" type: "Convolution" bottom: "x" top: "c"
             convolution_param { num_output: 1 kernel_size: 3 } }
           layer { name: "y" type: "Concat" bottom: "c" bottom: "x" top: "y" }"""
    )
    assert write_torchscript(net, tmp_path / "net.pt")
    image = torch.rand(1, 1, 12, 20)
    with torch.no_grad():
        got = loaded(tmp_path / "net.pt")(image)
    torch.testing.assert_close(got[:, 1:], image[:, :, 1:-1, 1:-1])


def test_a_layer_that_fixes_the_size_is_told(tmp_path):
    net = net_of(
        """layer { name: "x" type: "Input" top: "x"
             input_param { shape { dim: 1 dim: 1 dim: 9 dim: 9 } } }
           layer { name: "y" type: "Pooling" bottom: "x" top: "y"
             pooling_param { kernel_size: 2 stride: 3 } }"""
    )
    assert not write_torchscript(net, tmp_path / "net.pt")
    x = torch.from_numpy(net.blobs["x"].data.copy())
    np.testing.assert_allclose(loaded(tmp_path / "net.pt")(x).numpy(), scores(net))
