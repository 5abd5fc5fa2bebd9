"""Whole nets through ONNX Runtime and OpenVINO, against the fused executor."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from google.protobuf import text_format

import caffe
from caffe.engine.executors import exported
from caffe.engine.executors.exported import Exported
from caffe.errors import CaffeError, CheckError, OutOfMemoryError
from caffe.export import NoCounterpartError
from caffe.proto import caffe_pb2
from tests.support.exports import (
    WITHOUT_ONNX,
    assert_near,
    in_phase_test,
    reference_net,
)
from tests.support.layers import FORWARD

pytest.importorskip("onnx")
BACKENDS = ("onnxruntime", "openvino")

NET = """
name: "net"
layer { name: "data" type: "Input" top: "x"
  input_param { shape { dim: 1 dim: 2 dim: 12 dim: 14 } } }
layer { name: "shift" type: "DummyData" top: "shift"
  dummy_data_param { shape { dim: 4 } data_filler { type: "constant" value: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "a"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "relu" type: "ReLU" bottom: "a" top: "a" }
layer { name: "bias" type: "Bias" bottom: "a" bottom: "shift" top: "b" }
layer { name: "pool" type: "Pooling" bottom: "b" top: "c"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "up" type: "Deconvolution" bottom: "c" top: "d"
  convolution_param { num_output: 4 kernel_size: 2 stride: 2
    weight_filler { type: "msra" } } }
layer { name: "crop" type: "Crop" bottom: "b" bottom: "d" top: "e"
  crop_param { axis: 2 } }
layer { name: "join" type: "Concat" bottom: "d" bottom: "e" top: "f" }
layer { name: "prob" type: "Softmax" bottom: "f" top: "prob" }
layer { name: "best" type: "ArgMax" bottom: "f" top: "best" argmax_param { axis: 1 } }
"""


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "2")


@pytest.fixture(params=BACKENDS)
def backend(request):
    pytest.importorskip(request.param)
    return request.param


def net_of(text: str = NET, phase: int = caffe.TEST) -> caffe.Net:
    caffe.set_random_seed(1)
    net = caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), phase)
    rng = np.random.default_rng(0)
    for name in net.inputs:
        net.blobs[name].data[...] = rng.random(net.blobs[name].shape)
    return net


def assert_same(got: dict[str, torch.Tensor], net: caffe.Net, off: float = 1e-5):
    want = net.forward()
    assert got.keys() == want.keys()
    for name, value in want.items():
        assert got[name].shape == value.shape
        np.testing.assert_allclose(got[name].numpy(), value, off, off)


@pytest.fixture
def made(monkeypatch):
    """Precisions of the models that are made."""
    found: list[str] = []
    original = Exported._made

    def count(self, precision):
        found.append(precision)
        return original(self, precision)

    monkeypatch.setattr(Exported, "_made", count)
    return found


class TestForward:
    def test_outputs_are_those_of_the_fused_executor(self, backend):
        net = net_of()
        assert_same(Exported(net._wiring, backend).forward("float32"), net)

    def test_model_is_made_once(self, backend, made):
        net = net_of()
        executor = Exported(net._wiring, backend)
        for number in range(3):
            net.blobs["x"].data[...] = number
            assert_same(executor.forward("float32"), net)
        assert made == ["float32"]

    def test_earlier_outputs_keep_their_numbers(self, backend):
        net = net_of()
        executor = Exported(net._wiring, backend)
        first = executor.forward("float32")["prob"]
        before = first.clone()
        net.blobs["x"].data[...] = 0
        executor.forward("float32")
        assert torch.equal(first, before)

    def test_other_shapes_and_numbers_of_threads_make_another_model(
        self, backend, made, monkeypatch
    ):
        net = net_of()
        executor = Exported(net._wiring, backend)
        executor.forward("float32")
        net.blobs["x"].reshape(2, 2, 10, 12)
        net.blobs["x"].data[...] = 0.5
        got = executor.forward("float32")
        assert got["prob"].shape == (2, 8, 8, 10)
        assert_same(got, net)
        count = torch.get_num_threads() + 1
        monkeypatch.setattr(torch, "get_num_threads", lambda: count)
        executor.forward("float32")
        executor.forward("float32")
        assert len(made) == 3

    def test_constant_data_may_be_written_over(self, backend, made):
        net = net_of()
        executor = Exported(net._wiring, backend)
        executor.forward("float32")
        net.blobs["shift"].data[...] = [-3, -2, -1, 0]
        assert_same(executor.forward("float32"), net)
        assert len(made) == 1

    def test_numbers_without_axes_and_inputs_that_are_outputs(self, backend):
        net = net_of(
            'layer { name: "in" type: "Input" top: "x" top: "s" top: "z" input_param '
            "{ shape { dim: 2 dim: 3 } shape { } shape { dim: 2 } } }"
            'layer { name: "scale" type: "Scale" bottom: "x" bottom: "s" top: "y" }'
            'layer { name: "sum" type: "Reduction" bottom: "y" top: "sum" }'
        )
        assert net.outputs == ["sum", "z"]
        assert_same(Exported(net._wiring, backend).forward("float32"), net)

    def test_bottom_that_only_gives_its_size_may_be_an_input(self, backend):
        net = net_of(
            'layer { name: "in" type: "Input" top: "x" top: "r" input_param '
            "{ shape { dim: 1 dim: 1 dim: 4 } shape { dim: 1 dim: 1 dim: 2 } } }"
            'layer { name: "crop" type: "Crop" bottom: "x" bottom: "r" top: "y" }'
        )
        assert_same(Exported(net._wiring, backend).forward("float32"), net)


def test_items_that_are_chosen_by_numbers_come_from_onnxruntime():
    pytest.importorskip("onnxruntime")
    net = net_of(
        'layer { name: "in" type: "Input" top: "x" top: "s" input_param '
        "{ shape { dim: 4 dim: 3 } shape { dim: 4 } } }"
        'layer { name: "filter" type: "Filter" bottom: "x" bottom: "s" top: "y" }'
    )
    net.blobs["s"].data[...] = [0, 1, 0, 1]
    executor = Exported(net._wiring, "onnxruntime")
    got = executor.forward("float32")["y"]
    np.testing.assert_array_equal(got.numpy(), net.blobs["x"].data[1::2])


def test_shapes_that_only_openvino_knows_are_asked_of_it():
    pytest.importorskip("openvino")
    net = net_of()
    model = exported._model(net._wiring)
    library = exported._OpenVino("openvino")
    run = library.compiled(replace(model, shapes={}), "float32")
    got = run({"x": net.blobs["x"].data, "shift": net.blobs["shift"].data})
    want = net.forward()
    assert {name: value.shape for name, value in got.items()} == {
        name: value.shape for name, value in want.items()
    }


@pytest.mark.reference
@pytest.mark.parametrize("name", in_phase_test())
def test_openvino_agrees_with_the_original_caffe(name):
    pytest.importorskip("openvino")
    net, case, kind = reference_net(name)
    if kind in {*WITHOUT_ONNX, "Filter", "LSTM", "RNN"}:
        return
    got = Exported(net._wiring, "openvino").forward("float32")
    for blob in net.outputs:
        assert_near(got[blob].numpy(), case[f"out.{blob}"], FORWARD)


class TestPrecision:
    def test_bf16_is_near(self, made):
        pytest.importorskip("openvino")
        net = net_of()
        executor = Exported(net._wiring, "openvino")
        got = executor.forward("bf16")["prob"]
        assert got.dtype == torch.float32
        want = net.forward()["prob"]
        np.testing.assert_allclose(got.numpy(), want, atol=0.02)
        executor.forward("float32")
        assert made == ["bf16", "float32"]

    def test_precision_that_the_backend_lacks_is_refused(self):
        pytest.importorskip("onnxruntime")
        executor = Exported(net_of()._wiring, "onnxruntime")
        with pytest.raises(CheckError, match=r"'bf16': backend .* expected 'float32'"):
            executor.forward("bf16")

    def test_precision_of_gpus_is_refused(self):
        pytest.importorskip("openvino")
        executor = Exported(net_of()._wiring, "openvino")
        with pytest.raises(
            CheckError, match=r"'tf32': backend .* expected 'float32' or 'bf16'"
        ):
            executor.forward("tf32")


class TestWeights:
    def test_written_through_a_view_count_at_the_next_forward(self, backend, made):
        net = net_of()
        view = net.params["conv"][0].data
        executor = Exported(net._wiring, backend)
        for _ in range(2):
            assert_same(executor.forward("float32"), net)
            assert_same(executor.forward("float32"), net)
            view[0] *= 2
        assert_same(executor.forward("float32"), net)
        assert len(made) == 3

    def test_asking_for_a_view_makes_no_new_model(self, backend, made):
        net = net_of()
        executor = Exported(net._wiring, backend)
        executor.forward("float32")
        view = net.params["conv"][0].data
        executor.forward("float32")
        assert len(made) == 1
        view[...] = 1
        assert_same(executor.forward("float32"), net)
        assert len(made) == 2

    def test_changed_in_place_by_a_solver_count_at_the_next_forward(self, backend):
        net = net_of()
        executor = Exported(net._wiring, backend)
        executor.forward("float32")
        net.params["up"][1].tensor().detach().add_(1)
        assert_same(executor.forward("float32"), net)

    def test_of_another_file_count_at_the_next_forward(self, backend, tmp_path):
        net = net_of()
        net.save(tmp_path / "net.caffemodel")
        other = net_of(NET.replace("msra", "xavier"))
        executor = Exported(other._wiring, backend)
        executor.forward("float32")
        other.copy_from(tmp_path / "net.caffemodel")
        assert_same(executor.forward("float32"), net)

    def test_of_another_net_count_at_the_next_forward(self, backend):
        net, other = net_of(), net_of(NET.replace("msra", "xavier"))
        executor = Exported(other._wiring, backend)
        executor.forward("float32")
        other.share_with(net)
        assert_same(executor.forward("float32"), net)


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ('type: "Accuracy" bottom: "x" bottom: "s" top: "y"', NoCounterpartError),
            (
                'type: "BatchNorm" bottom: "x" top: "y" '
                "batch_norm_param { use_global_stats: false }",
                CheckError,
            ),
        ],
    )
    def test_layers_that_would_do_something_else_are_named(self, backend, text, wanted):
        net = net_of(
            'layer { name: "in" type: "Input" top: "x" top: "s" input_param '
            "{ shape { dim: 4 dim: 3 } shape { dim: 4 } } }"
            f'layer {{ name: "wrong" {text} }}'
        )
        with pytest.raises(wanted, match="layer 'wrong' "):
            Exported(net._wiring, backend)

    def test_recurrent_layer_that_remembers_is_named(self, backend):
        net = net_of(
            'layer { name: "in" type: "Input" top: "x" top: "s" input_param '
            "{ shape { dim: 4 dim: 2 dim: 3 } shape { dim: 4 dim: 2 } } }"
            'layer { name: "wrong" type: "LSTM" bottom: "x" bottom: "s" top: "y" '
            "recurrent_param { num_output: 2 } }"
        )
        with pytest.raises(
            CheckError, match=r"'wrong' \(LSTM\).*expected backend 'torch'"
        ):
            Exported(net._wiring, backend)

    def test_missing_package_is_named_with_its_extra(self, backend, monkeypatch):
        monkeypatch.setitem(sys.modules, backend, None)
        text = rf'package {backend} is missing: pip install "pyunet\[speed\]"'
        with pytest.raises(CaffeError, match=text):
            Exported(net_of()._wiring, backend)

    def test_unknown_backend_is_refused(self):
        with pytest.raises(
            CheckError, match="expected one of 'onnxruntime', 'openvino'"
        ):
            Exported(net_of()._wiring, "tensorrt")

    def test_model_beyond_two_gigabytes_is_refused(self, backend, monkeypatch):
        monkeypatch.setattr(exported, "_LIMIT", 100)
        with pytest.raises(CheckError, match="expected up to 2 GB"):
            Exported(net_of()._wiring, backend).forward("float32")

    def test_what_the_library_refuses_is_an_error_of_the_engine(self, backend):
        library = exported._ENGINES[backend](backend)
        with pytest.raises(CheckError, match=f"{backend} refuses the net"):
            library.compiled(exported._Model(b"none", [], {}, {}), "float32")

    def test_too_little_memory_is_told_apart(self, backend):
        library = exported._ENGINES[backend](backend)
        out = pytest.raises(OutOfMemoryError, match="out of memory")
        with out, library._refusals():
            raise RuntimeError("Failed to allocate memory")
        with pytest.raises(MemoryError), library._refusals():
            raise MemoryError
