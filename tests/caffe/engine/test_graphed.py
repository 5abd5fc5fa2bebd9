"""A net whose steps are replayed gives the numbers of one whose are not."""

import h5py
import numpy as np
import pytest
import torch

import caffe
from caffe.engine import common
from caffe.engine.cuda_graphs import REHEARSALS, CudaRecorder
from tests.support.recording import Again, Tape

DATA = """
layer { name: "data" type: "HDF5Data" top: "image" top: "label"
  hdf5_data_param { source: "list.txt" batch_size: 2 } }
layer { name: "field" type: "CreateDeformation" bottom: "image" top: "field"
  create_deformation_param { ny: 12 nx: 12
    random_rotate_from { v: 0 } random_rotate_to { v: 90 } } }
layer { name: "tile" type: "ApplyDeformation" bottom: "image" bottom: "field"
  top: "tile" }
layer { name: "classes" type: "ApplyDeformation" bottom: "label" bottom: "field"
  top: "classes" apply_deformation_param { interpolation: "nearest" } }
layer { name: "grey" type: "ValueAugmentation" bottom: "tile" top: "grey" }
"""
BODY = """
layer { name: "conv" type: "Convolution" bottom: "grey" top: "conv"
  param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 4 kernel_size: 3 pad: 1
    weight_filler { type: "msra" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "up" type: "Deconvolution" bottom: "pool" top: "up"
  convolution_param { num_output: 4 kernel_size: 2 stride: 2
    weight_filler { type: "msra" } } }
layer { name: "both" type: "Concat" bottom: "up" bottom: "conv" top: "both" }
layer { name: "score" type: "Convolution" bottom: "both" top: "score"
  convolution_param { num_output: 3 kernel_size: 1
    weight_filler { type: "msra" } } }
"""
UP = 'layer { name: "up"'
DROPOUT = 'layer { name: "drop" type: "Dropout" bottom: "pool" top: "pool" }'
WITH_DROPOUT = BODY.replace(UP, f"{DROPOUT} {UP}")
LOSS = """
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "classes"
  top: "loss" }
"""
INPUT = """
layer { name: "grey" type: "Input" top: "grey"
  input_param { shape { dim: [1, 1, 12, 12] } } }
"""
SOLVER = """
net: "net.prototxt" type: "SGD" base_lr: 0.02 momentum: 0.9 weight_decay: 0.01
lr_policy: "step" gamma: 0.5 stepsize: 2 max_iter: 100 random_seed: 5
"""


@pytest.fixture(autouse=True)
def quiet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    with h5py.File("train.h5", "w") as file:
        file["image"] = rng.random((6, 1, 14, 14), np.float32)
        file["label"] = rng.integers(0, 3, (6, 1, 14, 14)).astype(np.float32)
    (tmp_path / "list.txt").write_text("train.h5")


def write(text, solver=SOLVER):
    with open("net.prototxt", "w") as file:
        file.write(text)
    with open("solver.prototxt", "w") as file:
        file.write(solver)


def replaying(net, recorder):
    """Let the net replay on the CPU, with what stands in for CUDA graphs."""
    net._runner._fused.graphs.recorder = lambda device: recorder
    return recorder


def train(recorder=None, steps=8):
    """Losses of the steps, the weights behind them, the next random number."""
    solver = caffe.get_solver("solver.prototxt")
    solver.net.keep_blobs = False
    if recorder is not None:
        replaying(solver.net, recorder)
    losses = []
    for _ in range(steps):
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
    weights = [item.blob.values().copy() for item in solver.net.learnable]
    return losses, weights, common.streams().rng.integers(2**31)


def assert_same(one, other):
    losses, weights, following = one
    assert losses == other[0]
    for a, b in zip(weights, other[1], strict=True):
        np.testing.assert_array_equal(a, b)
    assert following == other[2]


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_training_is_the_same_with_new_data_and_another_rate_each_time(precision):
    write(DATA + BODY + LOSS)
    caffe.set_precision(precision)
    try:
        tape = Tape()
        assert_same(train(tape), train())
    finally:
        caffe.set_precision("float32")
    assert tape.calls[:REHEARSALS] == ["rehearse"] * REHEARSALS
    assert tape.calls[REHEARSALS:] == ["capture", *["replay"] * (8 - REHEARSALS)]


def test_dropout_goes_on_in_its_stream():
    write(DATA + WITH_DROPOUT + LOSS)
    stream = common.streams().generator(torch.device("cpu"))
    again = Again([stream])
    assert_same(train(again), train())
    assert "replay" in again.calls


def test_gradients_that_are_added_up_are_those_of_every_forward():
    write(DATA + BODY + LOSS, SOLVER + "iter_size: 2")
    tape = Tape()
    assert_same(train(tape), train())
    assert "replay" in tape.calls


def test_weights_that_python_holds_are_read_where_they_are():
    write(DATA + BODY + LOSS)
    found = []
    for tape in (Tape(), None):
        solver = caffe.get_solver("solver.prototxt")
        solver.net.keep_blobs = False
        if tape:
            replaying(solver.net, tape)
        weight = solver.net.params["conv"][0].data
        for step in range(7):
            weight *= 1 + 0.1 * step
            solver.step(1)
        found.append(weight.copy())
    np.testing.assert_array_equal(*found)


def test_a_label_that_is_no_class_is_refused_in_a_replay_too():
    write(DATA + BODY + LOSS)
    solver = caffe.get_solver("solver.prototxt")
    solver.net.keep_blobs = False
    tape = replaying(solver.net, Tape())
    solver.step(REHEARSALS + 2)
    assert "replay" in tape.calls
    loss = solver.net._wiring.nodes[-1]
    with pytest.raises(
        caffe.CheckError, match="bottom 1 holds label 3: expected 0 to 2"
    ):
        loss.op.look_ahead(torch.tensor([0.0, 3.0]), (2, 3, 1, 1))


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_forwards_are_the_same_for_tiles_of_two_sizes_and_other_weights(precision):
    write(INPUT + BODY)
    nets = [caffe.Net("net.prototxt", caffe.TEST) for _ in range(2)]
    nets[1].share_with(nets[0])
    tape = replaying(nets[0], Tape())
    rng = np.random.default_rng(0)
    caffe.set_precision(precision)
    try:
        for step in range(12):
            size = (1, 1, 12, 12) if step % 2 else (2, 1, 8, 10)
            tile = rng.random(size, np.float32)
            if step == 10:
                nets[0].params["score"][0].data[...] *= 2
            scores = []
            for net in nets:
                net.blobs["grey"].reshape(*size)
                net.reshape()
                net.blobs["grey"].data[...] = tile
                scores.append(net.forward()["score"].copy())
            np.testing.assert_array_equal(*scores)
    finally:
        caffe.set_precision("float32")
    assert tape.calls.count("capture") >= 2
    assert "replay" in tape.calls


def test_blobs_in_between_are_computed_again_when_they_are_read():
    write(INPUT + BODY)
    net = caffe.Net("net.prototxt", caffe.TEST)
    replaying(net, Tape())
    for value in range(REHEARSALS + 2):
        net.blobs["grey"].data[...] = value
        net.forward()
    want = net.blobs["pool"].data.copy()
    net.cuda_graphs = False
    net.forward()
    np.testing.assert_array_equal(net.blobs["pool"].data, want)


def test_a_net_that_asks_the_host_runs_as_it_is_and_says_so_once(capfd):
    counts = 'layer { name: "iou" type: "IoU" top: "i" bottom: "score" bottom: "%s" }'
    write(DATA + BODY + LOSS + counts % "classes")
    tape = Tape()
    got = train(tape)
    lines = capfd.readouterr().err.splitlines()
    told = [line for line in lines if "without a CUDA graph" in line]
    assert len(told) == 1
    assert told[0].endswith(
        "a step runs without a CUDA graph: layer 'iou' (IoU) may ask the host"
    )
    assert tape.calls == []
    assert_same(got, train())


def test_graphs_can_be_left_out_and_a_cpu_has_none():
    write(DATA + BODY + LOSS)
    solver = caffe.get_solver("solver.prototxt")
    solver.net.keep_blobs = False
    assert solver.net.cuda_graphs
    assert solver.net._runner._fused.graphs.of("a step", torch.device("cpu")) is None
    tape = replaying(solver.net, Tape())
    solver.net.cuda_graphs = False
    solver.step(REHEARSALS + 2)
    assert tape.calls == []


@pytest.mark.gpu
class TestOnAGPU:
    @pytest.fixture(autouse=True)
    def on_gpu(self):
        caffe.set_device(0)
        caffe.set_mode_gpu()
        deterministic = torch.backends.cudnn.deterministic
        torch.backends.cudnn.deterministic = True
        yield
        torch.backends.cudnn.deterministic = deterministic
        caffe.set_precision("float32")
        caffe.set_mode_cpu()

    @pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
    def test_a_training_is_the_same_with_and_without_graphs(self, precision, capfd):
        write(DATA + WITH_DROPOUT + LOSS)
        caffe.set_precision(precision)
        found = []
        for graphs in (True, False):
            solver = caffe.get_solver("solver.prototxt")
            solver.net.keep_blobs = False
            solver.net.cuda_graphs = graphs
            solver.step(10)
            weights = [item.blob.values().copy() for item in solver.net.learnable]
            found.append(weights)
        for a, b in zip(*found, strict=True):
            np.testing.assert_array_equal(a, b)
        assert "without a CUDA graph" not in capfd.readouterr().err

    def test_forwards_are_the_same_with_and_without_graphs(self):
        write(INPUT + BODY)
        net = caffe.Net("net.prototxt", caffe.TEST)
        rng = np.random.default_rng(0)
        for _ in range(8):
            net.blobs["grey"].data[...] = rng.random((1, 1, 12, 12), np.float32)
            net.cuda_graphs = True
            graphed = net.forward()["score"].copy()
            net.cuda_graphs = False
            np.testing.assert_array_equal(net.forward()["score"], graphed)
        recorder = net._runner._fused.graphs.recorder(common.device())
        assert isinstance(recorder, CudaRecorder)
