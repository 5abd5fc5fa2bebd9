"""Precisions are asked for by name, and mean the same in both executors."""

import numpy as np
import pytest

import caffe
from tests.support.nets import write_images

NET = """
layer { name: "in" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 1 dim: 24 dim: 24 } } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a"
  convolution_param { num_output: 16 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "a_relu" type: "ReLU" bottom: "a" top: "a" }
layer { name: "pool" type: "Pooling" bottom: "a" top: "p"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "b" type: "Convolution" bottom: "p" top: "b"
  convolution_param { num_output: 16 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "b_relu" type: "ReLU" bottom: "b" top: "b" }
layer { name: "up" type: "Deconvolution" bottom: "b" top: "u"
  convolution_param { num_output: 8 kernel_size: 2 stride: 2
    weight_filler { type: "msra" } } }
layer { name: "join" type: "Concat" bottom: "u" bottom: "a" top: "c" }
layer { name: "score" type: "Convolution" bottom: "c" top: "score"
  convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "msra" } } }
"""


@pytest.fixture(autouse=True)
def float32_afterwards():
    yield
    caffe.set_precision("float32")


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "deploy.prototxt"
    path.write_text(NET)
    caffe.set_random_seed(2)
    made = caffe.Net(str(path), caffe.TEST)
    made.blobs["data"].data[...] = np.random.default_rng(0).random((1, 1, 24, 24))
    return made


def whole(net):
    """Scores of the executor of whole forwards."""
    return net.forward()["score"].copy()


def layerwise(net):
    """Scores of the executor that goes layer by layer."""
    return net.forward(start="a")["score"].copy()


def relative(got, want):
    return np.linalg.norm(got - want) / np.linalg.norm(want)


def test_bf16_is_close_to_float32_but_not_the_same(net):
    exact = whole(net)
    caffe.set_precision("bf16")
    assert caffe.precision() == "bf16"
    assert 1e-5 < relative(whole(net), exact) < 2e-2


def test_bf16_means_the_same_in_both_executors(net):
    caffe.set_precision("bf16")
    assert relative(whole(net), layerwise(net)) < 1e-3


def test_blobs_are_float32_in_every_precision_and_scores_are_not_rounded(net):
    caffe.set_precision("bf16")
    scores = whole(net)
    assert scores.dtype == net.blobs["a"].data.dtype == np.float32
    rounded = (net.blobs["a"].data.view(np.uint32) & 0xFFFF) == 0
    assert rounded.all()
    assert (scores.view(np.uint32) & 0xFFFF).any()


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("run", [whole, layerwise])
def test_what_is_written_through_an_old_view_counts_at_the_next_forward(
    net, run, precision
):
    caffe.set_precision(precision)
    before = run(net)
    view = net.params["b"][0].data
    assert relative(run(net), before) < 1e-6
    view *= 3
    assert relative(run(net), before) > 0.1
    view /= 3
    assert relative(run(net), before) < 1e-5


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_other_weights_from_a_file_count_at_the_next_forward(net, tmp_path, precision):
    caffe.set_precision(precision)
    path = str(tmp_path / "w.caffemodel")
    before = whole(net)
    net.save(path)
    other = caffe.Net(str(tmp_path / "deploy.prototxt"), caffe.TEST)
    other.blobs["data"].data[...] = net.blobs["data"].data
    assert relative(whole(other), before) > 0.1
    other.copy_from(path)
    assert relative(whole(other), before) < 1e-6


def test_a_training_in_bf16_learns_and_keeps_float32_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "tiles.h5", (24, 24), (18, 18))
    (tmp_path / "tiles.txt").write_text("tiles.h5\n")
    net = NET.replace(
        NET[: NET.index('layer { name: "a"')],
        'layer { name: "data" type: "HDF5Data" top: "data" top: "labels" '
        'hdf5_data_param { source: "tiles.txt" batch_size: 1 } }\n',
    )
    (tmp_path / "train.prototxt").write_text(
        net + 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" '
        'bottom: "labels" top: "loss" }'
    )
    (tmp_path / "solver.prototxt").write_text(
        'net: "train.prototxt" base_lr: 0.05 momentum: 0.9 lr_policy: "fixed" '
        "random_seed: 1 max_iter: 20"
    )
    losses = {}
    for precision in ("float32", "bf16"):
        caffe.set_precision(precision)
        solver = caffe.get_solver("solver.prototxt")
        solver.step(1)
        first = float(solver.net.blobs["loss"].data)
        solver.step(19)
        losses[precision] = float(solver.net.blobs["loss"].data)
        assert losses[precision] < first
        weights = solver.net.params["b"][0].data
        assert (weights.view(np.uint32) & 0xFFFF).any()
    assert losses["bf16"] == pytest.approx(losses["float32"], rel=0.05)


def test_tf32_on_a_cpu_is_refused(net):
    caffe.set_precision("tf32")
    with pytest.raises(caffe.DeviceError, match="needs an NVIDIA GPU"):
        net.forward()


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(caffe.CheckError, match="expected one of float32, bf16, tf32"):
        caffe.set_precision("fp16")
    with pytest.raises(caffe.CheckError, match="torch, onnxruntime, openvino"):
        caffe.set_backend("tensorrt")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_backend_gives_the_same_scores_and_blobs_on_demand(net, backend):
    pytest.importorskip(backend)
    want, inside = whole(net), net.blobs["c"].data.copy()
    try:
        caffe.set_backend(backend)
        assert caffe.backend() == backend
        net.blobs["data"].data[...] *= 1
        assert relative(whole(net), want) < 1e-5
        fresh = net.blobs["b"].data.copy()
        assert fresh.any()
        assert relative(net.blobs["c"].data, inside) < 1e-5
        net.params["b"][0].data[...] *= 3
        assert relative(whole(net), want) > 0.1
    finally:
        caffe.set_backend("torch")
