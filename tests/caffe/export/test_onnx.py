"""ONNX models of Caffe's nets, run by the real ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import caffe
from caffe.errors import CaffeError, CheckError, FileError
from caffe.export import NoCounterpartError, to_onnx
from caffe.export.onnx import files, translate
from caffe.proto import caffe_pb2
from caffe.proto.files import read_net
from tests.support.exports import (
    WITHOUT_ONNX,
    assert_near,
    in_phase_test,
    reference_net,
)
from tests.support.layers import FORWARD
from tests.support.nets import narrow

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

ROOT = Path(__file__).resolve().parents[3]
NETS = sorted(
    path.parent.name
    for path in ROOT.glob("prototxt/*/deploy.prototxt")
    if not (path.parent / "make.py").exists()  # no U-Net: tests/prototxt
)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "2")


def net_of(text: str, **shapes: tuple[int, ...]) -> caffe.Net:
    """Net of phase TEST with these inputs before the layers of the text."""
    param = caffe_pb2.NetParameter(name="net")
    for name, shape in shapes.items():
        layer = param.layer.add(name=f"in_{name}", type="Input", top=[name])
        layer.input_param.shape.add(dim=shape)
    text_format.Merge(text, param)
    return caffe.Net(param, caffe.TEST)


def layer(type_name: str, options: str = "", bottom: str = "x", top: str = "y") -> str:
    names = " ".join(f'bottom: "{b}"' for b in bottom.split())
    names += " ".join(f' top: "{t}"' for t in top.split())
    return f'layer {{ name: "l_{top}" type: "{type_name}" {names} {options} }}\n'


def run(model: Any, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs by name; the model has been checked."""
    onnx.checker.check_model(model, full_check=True)
    return run_bytes(model.SerializeToString(), feeds)


def run_bytes(model: bytes | str, feeds: dict[str, np.ndarray]) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    wanted = {i.name: feeds[i.name] for i in session.get_inputs()}
    return dict(zip(names, session.run(names, wanted), strict=True))


def fill(net: caffe.Net, seed: int = 0) -> dict[str, np.ndarray]:
    """Random numbers into inputs and parameters; give the inputs."""
    rng = np.random.default_rng(seed)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = rng.normal(0, 0.5, blob.shape)
    for name in net.inputs:
        net.blobs[name].data[...] = rng.normal(0, 1, net.blobs[name].shape)
    return {name: net.blobs[name].data.copy() for name in net.inputs}


def check(
    net: caffe.Net,
    feeds: dict[str, np.ndarray] | None = None,
    *,
    dynamic: Any = (),
    opset: int = 17,
    tolerance: float = 1e-5,
) -> None:
    """The model answers as the net does, whose layers the references bind."""
    if feeds is None:
        feeds = fill(net)
    else:
        for name, value in feeds.items():
            net.blobs[name].data[...] = value
    net.reshape()
    model = translate(net._wiring, dynamic=dynamic, opset=opset).graph.model("net")
    got = run(model, feeds)
    for name, want in net.forward().items():
        if name not in net.inputs:
            assert got[name].shape == want.shape
            np.testing.assert_allclose(got[name], want, tolerance, tolerance)


class TestReferences:
    """Every layer against numbers that the original Caffe computed."""

    @pytest.mark.reference
    @pytest.mark.parametrize("dynamic", [(), ("batch", "spatial")])
    @pytest.mark.parametrize("name", in_phase_test())
    def test_agrees_with_the_original_caffe(self, name, dynamic):
        net, case, kind = reference_net(name)
        if kind in WITHOUT_ONNX:
            with pytest.raises(NoCounterpartError, match=rf"under_test.*\({kind}\)"):
                translate(net._wiring)
            return
        model = translate(net._wiring, dynamic=dynamic).graph.model(name)
        got = run(model, {n: case[f"in.{n}"].astype(np.float32) for n in net.inputs})
        for blob in net.outputs:
            assert_near(got[blob], case[f"out.{blob}"], FORWARD)


class TestUNets:
    @pytest.mark.parametrize("name", NETS)
    def test_give_the_same_scores_and_labels_at_sizes_of_later(self, name, tmp_path):
        param = read_net(ROOT / "prototxt" / name / "deploy.prototxt")
        net = _small(param)
        path = tmp_path / "net.onnx"
        assert to_onnx(net, path) == ("batch", "spatial")
        onnx.checker.check_model(path, full_check=True)
        rng = np.random.default_rng(0)
        (data,) = net.inputs
        shape = net.blobs[data].shape
        larger = (2, shape[1], *(n + 16 for n in shape[2:]))
        for size in (shape, larger)[: 2 if len(shape) == 4 else 1]:
            x = rng.random(size, np.float32)
            net.blobs[data].reshape(*size)
            net.blobs[data].data[...] = x
            (want,) = (value.copy() for value in net.forward().values())
            (got,) = run_bytes(str(path), {data: x}).values()
            np.testing.assert_allclose(got, want, atol=1e-4 * abs(want).max())
            first, second = np.sort(want, axis=1)[:, :-3:-1].swapaxes(0, 1)
            clear = first - second > 1e-4 * abs(want).max()
            assert clear.mean() > 0.99
            np.testing.assert_array_equal(got.argmax(1)[clear], want.argmax(1)[clear])


def _small(param: Any) -> caffe.Net:
    """Net of at most 8 channels at its input, on a small tile."""
    caffe.set_random_seed(1)
    widths = [n.convolution_param.num_output for n in param.layer]
    net = caffe.Net(narrow(param, 8) if max(widths[:3]) > 16 else param, caffe.TEST)
    (data,) = net.inputs
    shape = net.blobs[data].shape
    if len(shape) == 4:
        sizes = (n - 16 * ((n - 188) // 16) for n in shape[2:])
        net.blobs[data].reshape(*shape[:2], *sizes)
    net.reshape()
    return net


class TestFiles:
    RELU = layer("ReLU")

    def test_names_are_those_of_blobs_and_layers(self, tmp_path):
        net = net_of(
            layer("Convolution", "convolution_param { num_output: 2 kernel_size: 3 }")
            + layer("ReLU", "", "y", "y")
            + layer("Softmax", "", "y", "z"),
            x=(1, 1, 8, 8),
        )
        to_onnx(net, tmp_path / "net.onnx")
        model = onnx.load(tmp_path / "net.onnx")
        assert [n.op_type for n in model.graph.node] == ["Conv", "Relu", "Softmax"]
        assert [n.name for n in model.graph.node] == ["l_y", "l_y_", "l_z"]
        assert [list(n.output) for n in model.graph.node][1:] == [["y"], ["z"]]
        assert model.producer_name == "pyunet"
        (data,) = model.graph.input
        dims = data.type.tensor_type.shape.dim
        assert [d.dim_param or d.dim_value for d in dims] == [
            "batch", 1, "height", "width"
        ]  # fmt: skip
        assert {i.name for i in model.graph.initializer} == {"l_y.0", "l_y.1"}

    def test_prototxt_with_weights_gives_the_model_of_the_net(self, tmp_path):
        text = layer("InnerProduct", "inner_product_param { num_output: 3 }")
        net = net_of(text, x=(2, 4))
        feeds = fill(net)
        net.save(tmp_path / "net.caffemodel")
        (tmp_path / "net.prototxt").write_text(str(net._param))
        to_onnx(
            tmp_path / "net.prototxt",
            tmp_path / "net.onnx",
            weights=tmp_path / "net.caffemodel",
        )
        got = run_bytes(str(tmp_path / "net.onnx"), feeds)["y"]
        np.testing.assert_allclose(got, net.forward()["y"], 1e-5, 1e-6)

    def test_weights_of_many_bytes_stand_in_a_file_of_their_own(
        self, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(files, "_LIMIT", 1000)
        text = layer("InnerProduct", "inner_product_param { num_output: 300 }")
        net = net_of(text, x=(2, 40))
        feeds = fill(net)
        to_onnx(net, tmp_path / "net.onnx")
        names = sorted(path.name for path in tmp_path.iterdir())
        assert names == ["net.onnx", "net.onnx.data"]
        assert (tmp_path / "net.onnx").stat().st_size < 1000
        got = run_bytes(str(tmp_path / "net.onnx"), feeds)["y"]
        np.testing.assert_allclose(got, net.forward()["y"], 1e-5, 1e-5)

    def test_nothing_is_left_where_it_cannot_be_written(self, tmp_path):
        net = net_of(self.RELU, x=(1, 2))
        (tmp_path / "net.onnx").mkdir()
        with pytest.raises(FileError, match=r"net\.onnx: cannot be written"):
            to_onnx(net, tmp_path / "net.onnx")
        assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
        with pytest.raises(FileError, match="No such file"):
            to_onnx(net, tmp_path / "missing" / "net.onnx")

    def test_missing_package_is_named_with_its_extra(self, tmp_path, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "onnx", None)
        with pytest.raises(CaffeError, match=r'pip install "pyunet\[zoo\]"'):
            to_onnx(net_of(self.RELU, x=(1, 2)), tmp_path / "net.onnx")

    def test_wrong_arguments_are_refused(self, tmp_path):
        path = tmp_path / "net.onnx"
        net = net_of(self.RELU, x=(1, 2))
        with pytest.raises(CheckError, match="weights are given, and a net"):
            to_onnx(net, path, weights="a.caffemodel")
        with pytest.raises(CheckError, match="opset is 12: expected 13 to 21"):
            to_onnx(net, path, opset=12)
        with pytest.raises(
            CheckError, match="dynamic holds 'time': expected some of 'batch'"
        ):
            to_onnx(net, path, dynamic=["time"])
        training = caffe.Net(net._param, caffe.TRAIN)
        with pytest.raises(CheckError, match="of phase TRAIN"):
            to_onnx(training, path)
        with pytest.raises(CheckError, match="computes nothing"):
            to_onnx(net_of("", x=(1, 2)), path)

    def test_layer_without_counterpart_is_named(self, tmp_path):
        net = net_of(
            layer(
                "HDF5Output", 'hdf5_output_param { file_name: "a" dset_name: "b" }'
            ).replace('top: "y"', "")
            + layer("ReLU"),
            x=(1, 2),
        )
        with pytest.raises(NoCounterpartError, match=r"layer 'l_y' \(HDF5Output\)"):
            to_onnx(net, tmp_path / "net.onnx")

    @pytest.mark.parametrize("opset", [13, 18, 21])
    def test_other_versions_of_the_operators_are_as_good(self, opset):
        text = (
            layer("MVN", "", "x", "a")
            + layer("Convolution", _window(4, 3), "a", "b")
            + layer("Pooling", "pooling_param { kernel_size: 3 stride: 2 }", "b", "c")
            + layer("LRN", "", "c", "d")
            + layer("Reduction", "reduction_param { axis: 1 }", "d", "e")
        )
        check(net_of(text, x=(2, 3, 12, 13)), opset=opset, tolerance=1e-4)


def _window(outputs: int, kernel: int, more: str = "") -> str:
    options = f"num_output: {outputs} kernel_size: {kernel} {more}"
    return f"convolution_param {{ {options} }}"


class TestMemory:
    """Blobs that are one memory, as in Caffe."""

    def test_layer_in_place_behind_a_reshape_changes_what_it_shares(self):
        text = (
            layer("Split", "", "x", "a b")
            + layer("Flatten", "", "a", "c")
            + layer("Threshold", "", "c", "c")
            + layer("Power", "power_param { scale: 2 }", "b", "y")
        )
        net = net_of(layer("Power", "", "w", "x") + text, w=(1, 2, 3, 1))
        check(net)
        assert net.blobs["y"].data.max() == 2

    def test_one_value_may_be_several_outputs_and_an_input(self):
        net = net_of(
            layer("Split", "", "x", "a b")
            + layer("Dropout", "", "w", "c")
            + layer("Sigmoid", "", "v", "d")
            + layer("Split", "", "d", "e f"),
            x=(2, 3), w=(1, 2), v=(1, 4), u=(1, 1),
        )  # fmt: skip
        assert net.outputs == ["a", "b", "c", "e", "f", "u"]
        check(net)

    def test_input_may_be_overwritten(self):
        net = net_of(layer("ReLU", "", "x", "x"), x=(2, 3))
        translation = translate(net._wiring)
        feeds = fill(net)
        got = run(translation.graph.model("net"), feeds)
        name = translation.outputs["x"].name
        assert name != "x"
        np.testing.assert_array_equal(got[name], feeds["x"].clip(0))

    def test_parameters_and_constants_are_outputs_too(self):
        net = net_of(
            'layer { name: "p" type: "Parameter" top: "p" '
            "parameter_param { shape { dim: 2 dim: 3 } } }"
            'layer { name: "d" type: "DummyData" top: "d" dummy_data_param { '
            'shape { dim: 4 } data_filler { type: "constant" value: 7 } } }'
            + layer("Eltwise", "", "x p", "y"),
            x=(2, 3),
        )
        check(net)

    def test_random_data_has_no_counterpart(self):
        net = net_of(
            'layer { name: "d" type: "DummyData" top: "d" dummy_data_param { '
            'shape { dim: 4 } data_filler { type: "gaussian" } } }'
        )
        with pytest.raises(NoCounterpartError, match=r"'d' \(DummyData\).*random"):
            translate(net._wiring)


@st.composite
def poolings(draw: Any) -> tuple[str, tuple[int, ...]]:
    """Options of a pooling, and a shape."""
    axes = draw(st.integers(1, 3))
    kernel = draw(st.integers(1, 4))
    pad = draw(st.integers(0, kernel - 1))
    stride = draw(st.integers(1, 4))
    size = st.integers(3, 9)
    pool = draw(st.sampled_from(["MAX", "AVE", "STOCHASTIC"]))
    pad = 0 if pool == "STOCHASTIC" else pad
    mode = draw(st.sampled_from(["CEIL", "FLOOR"]))
    options = f"pool: {pool} kernel_size: {kernel} stride: {stride} pad: {pad}"
    shape = (2, 3, *(draw(size) for _ in range(axes)))
    return f"pooling_param {{ {options} round_mode: {mode} }}", shape


class TestPooling:
    @settings(max_examples=60)
    @given(poolings(), st.booleans())
    def test_windows_are_caffes(self, case, dynamic):
        options, shape = case
        tops = "y m" if "MAX" in options else "y"
        try:
            net = net_of(layer("Pooling", options, "x", tops), x=shape)
        except CheckError:
            assume(False)
        feeds = {"x": np.random.default_rng(0).random(shape, np.float32) - 0.3}
        try:
            check(net, feeds, dynamic=("batch", "spatial") if dynamic else ())
        except NoCounterpartError as error:
            assert "empty" in str(error)  # noqa: PT017

    @pytest.mark.parametrize("method", ["MAX", "AVE", "STOCHASTIC"])
    @pytest.mark.parametrize("axis", [1, 2])
    def test_of_the_whole_channel(self, method, axis):
        options = f"pool: {method} global_pooling: true axis: {axis}"
        text = layer("Pooling", f"pooling_param {{ {options} }}")
        check(net_of(text, x=(2, 3, 4, 5, 6)))

    @pytest.mark.parametrize("options", ["kernel_size: 2", "kernel_size: 3 stride: 2"])
    @pytest.mark.parametrize("method", ["MAX", "AVE"])
    def test_dynamic_model_answers_at_other_sizes(self, method, options):
        text = layer("Pooling", f"pooling_param {{ pool: {method} {options} }}")
        net = net_of(text, x=(1, 2, 9, 9))
        translation = translate(net._wiring, dynamic=("batch", "spatial"))
        model = translation.graph.model("net")
        for size in (7, 8, 10, 11):
            x = np.random.default_rng(size).random((3, 2, size, size + 1), np.float32)
            net.blobs["x"].reshape(*x.shape)
            net.blobs["x"].data[...] = x
            np.testing.assert_allclose(
                run(model, {"x": x})["y"], net.forward()["y"], 1e-6
            )


CASES = {
    "conv over the last axis only": (
        "Convolution", _window(3, 1, "axis: 2").replace("kernel_size: 1", ""),
        [(2, 3, 4)],
    ),
    "conv of several bottoms": ("Convolution", _window(3, 2), [(2, 3, 4), (2, 3, 4)]),
    "deconv with dilation and group": (
        "Deconvolution", _window(4, 3, "dilation: 2 stride: 2 pad: 1 group: 2"),
        [(2, 2, 5, 6)],
    ),
    "im2col of a later axis": ("Im2col", _window(0, 2, "axis: 2"), [(2, 3, 4, 5)]),
    "inner product of one axis": (
        "InnerProduct", "inner_product_param { num_output: 3 axis: -1 }", [(2, 3, 4)],
    ),
    "inner product of everything": (
        "InnerProduct", "inner_product_param { num_output: 3 axis: 0 }", [(2, 3, 4)],
    ),
    "power that is constant": (
        "Power", "power_param { power: 0 shift: 3 }", [(2, 3)],
    ),
    "power that is a shift": ("Power", "power_param { shift: 3 }", [(2, 3)]),
    "lrn with k": ("LRN", "lrn_param { k: 2 alpha: 0.5 }", [(1, 7, 4, 5)]),
    "batch norm of one channel": ("BatchNorm", "", [(5,)]),
    "batch norm by its batch": (
        "BatchNorm", "batch_norm_param { use_global_stats: false }", [(3, 2, 4, 5)],
    ),
    "mvn without space": ("MVN", "", [(2, 3)]),
    "mvn of the mean only": ("MVN", "mvn_param { normalize_variance: false }",
                             [(2, 3, 4)]),
    "scale of all behind": ("Scale", "scale_param { axis: 1 num_axes: -1 }",
                            [(2, 3, 4)]),
    "scale by one number": (
        "Scale", "scale_param { num_axes: 0 bias_term: true }", [(2, 3, 4)],
    ),
    "scale by a bottom, with bias": (
        "Scale", "scale_param { axis: 0 bias_term: true }", [(2, 3, 4), (2, 3)],
    ),
    "bias by a bottom": ("Bias", "", [(2, 3, 4), (3,)]),
    "bias by a bottom to the end": ("Bias", "", [(2, 3, 4), (3, 4)]),
    "argmax, two indices and their values": (
        "ArgMax", "argmax_param { out_max_val: true top_k: 2 }", [(2, 3, 4, 5)],
    ),
    "argmax": ("ArgMax", "", [(2, 3, 4, 5)]),
    "argmax with its value": ("ArgMax", "argmax_param { out_max_val: true }",
                              [(2, 3, 4, 5)]),
    "argmax, three values of an axis": (
        "ArgMax", "argmax_param { out_max_val: true top_k: 3 axis: 1 }", [(2, 4, 5)],
    ),
    "argmax, three indices of an axis": (
        "ArgMax", "argmax_param { top_k: 3 axis: -1 }", [(2, 4, 5)],
    ),
    "eltwise with factors": (
        "Eltwise", "eltwise_param { coeff: 2 coeff: -1 }", [(2, 3), (2, 3)],
    ),
    "concat of one": ("Concat", "", [(2, 3)]),
    "concat to the centre": ("Concat", "", [(2, 3, 4, 4), (2, 2, 8, 6)]),
    "crop from an axis": (
        "Crop", "crop_param { axis: 1 offset: 1 offset: 0 offset: 2 }",
        [(2, 5, 4, 6), (3, 2, 3, 3)],
    ),
    "crop of nothing": ("Crop", "", [(2, 5, 4, 6), (3, 2, 4, 6)]),
    "reshape with all forms": (
        "Reshape", "reshape_param { axis: 1 num_axes: 2 shape { dim: 0 dim: 2 dim: -1 "
        "} }", [(2, 3, 4, 5)],
    ),
    "reshape that inserts": (
        "Reshape", "reshape_param { axis: -1 num_axes: 0 shape { dim: 1 } }", [(2, 3)],
    ),
    "flatten in the middle": (
        "Flatten", "flatten_param { axis: 1 end_axis: 2 }", [(2, 3, 4, 5)],
    ),
    "spp of one level": ("SPP", "spp_param { pyramid_height: 1 }", [(2, 3, 4, 5)]),
    "spp of averages": (
        "SPP", "spp_param { pyramid_height: 2 pool: AVE }", [(2, 3, 6, 5)],
    ),
    "lstm with a static input": (
        "LSTM", "recurrent_param { num_output: 3 }", [(4, 2, 5), (4, 2), (2, 6)],
    ),
    "rnn of one step": (
        "RNN", "recurrent_param { num_output: 3 }", [(1, 2, 5), (1, 2)],
    ),
    "reindexed batch": ("BatchReindex", "", [(4, 3), (6,)]),
    "value transformation": (
        "ValueTransformation", "value_transformation_param { offset { v: 1 v: 2 } }",
        [(2, 2, 3)],
    ),
}  # fmt: skip


class TestLayers:
    @pytest.mark.parametrize("dynamic", [(), ("batch", "spatial")])
    @pytest.mark.parametrize("name", CASES)
    def test_answers_as_the_layer_does(self, name, dynamic):
        kind, options, shapes = CASES[name]
        bottoms = [f"b{i}" for i in range(len(shapes))]
        tops = " ".join(f"y{i}" for i in range(2)) if "several" in name else "y"
        net = net_of(
            layer(kind, options, " ".join(bottoms), tops),
            **dict(zip(bottoms, shapes, strict=True)),
        )
        feeds = fill(net)
        if kind == "BatchNorm":
            for blob in net.params["l_y"]:
                blob.data[...] = abs(blob.data) + 0.5
        if kind == "BatchReindex":
            feeds["b1"] = np.array([3, 0, 0, 2, 1, 1], np.float32)
        if kind in {"LSTM", "RNN"}:
            feeds["b1"] = (feeds["b1"] > 0).astype(np.float32)
        check(net, feeds, dynamic=dynamic)

    def test_lstm_takes_and_gives_its_hidden_states(self):
        options = "recurrent_param { num_output: 3 expose_hidden: true }"
        shapes = {"x": (4, 2, 5), "k": (4, 2), "h": (1, 2, 3), "c": (1, 2, 3)}
        check(net_of(layer("LSTM", options, "x k h c", "y g d"), **shapes))

    def test_one_step_of_an_lstm(self):
        shapes = {"c": (1, 2, 3), "g": (1, 2, 12), "k": (1, 2)}
        check(net_of(layer("LSTMUnit", "", "c g k", "d h"), **shapes))

    def test_pooling_fills_empty_windows_with_the_least_number(self):
        options = "pooling_param { kernel_size: 1 stride: 3 }"
        check(net_of(layer("Pooling", options), x=(1, 1, 5, 5)))
        net = net_of(layer("Pooling", options, "x", "y m"), x=(1, 1, 5, 5))
        with pytest.raises(NoCounterpartError, match="second top"):
            translate(net._wiring)

    @pytest.mark.parametrize("bias", ["true", "false"])
    def test_table_of_vectors(self, bias):
        options = f"num_output: 3 input_dim: 5 bias_term: {bias}"
        net = net_of(layer("Embed", f"embed_param {{ {options} }}"), x=(2, 2))
        fill(net)
        check(net, {"x": np.array([[0, 4], [2, 2]], np.float32)})

    def test_bottom_of_silence_is_no_output(self):
        text = layer("ReLU") + layer("Silence", "", "z").replace('top: "y"', "")
        check(net_of(text, x=(2, 3), z=(1,)))

    def test_siamese_branches_share_their_weights(self):
        options = 'param { name: "w" } inner_product_param { num_output: 2 }'
        text = layer("InnerProduct", options) + layer("InnerProduct", options, "z", "v")
        check(net_of(text, x=(2, 3), z=(4, 3)))

    def test_what_depends_on_values_ends_the_export_where_sizes_matter(self):
        text = layer("Filter", "", "x s", "y")
        check(net_of(text, x=(4, 3), s=(4, 1)))
        text += layer("InnerProduct", "inner_product_param { num_output: 2 axis: 0 }",
                      "y", "z")  # fmt: skip
        net = net_of(text, x=(4, 3), s=(4, 1))
        with pytest.raises(NoCounterpartError, match=r"'l_z'.*depends on the numbers"):
            translate(net._wiring)

    def test_average_over_empty_windows_has_no_counterpart(self):
        options = "pooling_param { pool: AVE kernel_size: 1 stride: 3 }"
        net = net_of(layer("Pooling", options), x=(1, 1, 5, 5))
        with pytest.raises(NoCounterpartError, match="empty"):
            translate(net._wiring)


class TestDynamicSizes:
    def test_crop_follows_the_sizes(self):
        text = (
            layer("Convolution", _window(2, 3), "x", "c")
            + layer("Crop", "crop_param { axis: 2 offset: 1 }", "x c", "d")
            + layer("Concat", "", "c d", "e")
            + layer("Concat", "", "e x", "y")
        )
        net = net_of(text, x=(1, 1, 8, 8))
        fill(net)
        translation = translate(net._wiring, dynamic=("batch", "spatial"))
        assert translation.dynamic == ("batch", "spatial")
        model = translation.graph.model("net")
        x = np.random.default_rng(0).random((3, 1, 13, 10), np.float32)
        net.blobs["x"].reshape(*x.shape)
        net.blobs["x"].data[...] = x
        got = run(model, {"x": x})["y"]
        np.testing.assert_allclose(got, net.forward()["y"], 1e-5, 1e-6)

    def test_layer_of_one_size_fixes_that_kind_of_axes(self):
        options = "inner_product_param { num_output: 2 }"
        net = net_of(layer("InnerProduct", options), x=(1, 3, 4, 4))
        fill(net)
        translation = translate(net._wiring, dynamic=("batch", "spatial"))
        assert translation.dynamic == ("batch",)
        x = np.random.default_rng(0).random((5, 3, 4, 4), np.float32)
        net.blobs["x"].reshape(*x.shape)
        net.blobs["x"].data[...] = x
        got = run(translation.graph.model("net"), {"x": x})["y"]
        np.testing.assert_allclose(got, net.forward()["y"], 1e-5, 1e-6)
