"""What nets do as Caffe's do, beyond single layers; and where they do better."""

from __future__ import annotations

import re

import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe.engine.sources.images import read_list
from caffe.proto import caffe_pb2, files

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { %s } } }'


def net_of(text: str, phase: int = caffe.TEST) -> caffe.Net:
    return caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), phase)


def warnings(captured: str) -> list[str]:
    return [line for line in captured.splitlines() if re.match(r"W\d{8}", line)]


class TestPhaseOfALayer:
    DROPOUT = INPUT % "dim: 1000" + (
        'layer { name: "d" type: "Dropout" bottom: "x" top: "y" %s }'
    )
    NORMALISED = INPUT % "dim: 4 dim: 1" + (
        'layer { name: "n" type: "BatchNorm" bottom: "x" top: "y" %s '
        "batch_norm_param { eps: 0 } }"
    )

    @pytest.mark.parametrize(
        ("net", "layer", "drops"),
        [
            (caffe.TEST, "phase: TRAIN", True),
            (caffe.TRAIN, "phase: TEST", False),
            (caffe.TEST, "", False),
            (caffe.TRAIN, "", True),
        ],
    )
    def test_decides_whether_dropout_drops(self, net, layer, drops):
        net = net_of(self.DROPOUT % layer, net)
        net.blobs["x"].data[...] = 1
        top = net.forward()["y"]
        assert set(np.unique(top)) == ({0, 2} if drops else {1})

    @pytest.mark.parametrize(
        ("net", "layer", "stored"),
        [(caffe.TRAIN, "phase: TEST", True), (caffe.TEST, "phase: TRAIN", False)],
    )
    def test_decides_which_statistics_normalise(self, net, layer, stored):
        net = net_of(self.NORMALISED % layer, net)
        net.blobs["x"].data[...] = [[1], [3], [5], [7]]
        for blob, value in zip(net.params["n"], (6, 8, 2), strict=True):
            blob.data[...] = value
        want = (np.array([1, 3, 5, 7]) - (3 if stored else 4)) / (
            2 if stored else 5**0.5
        )
        assert net.forward()["y"].ravel() == pytest.approx(want)


class TestMultipliersOfSharedParameters:
    LAYERS = INPUT % "dim: 1 dim: 2" + (
        'layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" %s '
        "inner_product_param { num_output: 2 bias_term: false } }"
        'layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" %s '
        "inner_product_param { num_output: 2 bias_term: false } }"
    )

    @pytest.mark.parametrize(
        ("first", "second", "want"),
        [
            ("", "lr_mult: 2 decay_mult: 3", (2, 3)),
            ("lr_mult: 4", "decay_mult: 0", (4, 0)),
            ("lr_mult: 4 decay_mult: 5", "", (4, 5)),
            ("lr_mult: 4", "lr_mult: 4", (4, 1)),
        ],
    )
    def test_the_first_layer_that_gives_one_decides(self, first, second, want):
        specs = [f'param {{ name: "w" {text} }}' for text in (first, second)]
        (item,) = net_of(self.LAYERS % tuple(specs))._wiring.learnable
        assert (item.lr_mult, item.decay_mult) == want

    def test_two_that_differ_are_refused(self):
        specs = [f'param {{ name: "w" lr_mult: {rate} }}' for rate in (1, 2)]
        with pytest.raises(caffe.CheckError, match="has lr_mult 2 here and 1 in ano"):
            net_of(self.LAYERS % tuple(specs))


class TestPycaffe:
    def test_the_learning_rate_of_the_next_update(self, tmp_path):
        text = INPUT % "dim: 1 dim: 1" + (
            'layer { name: "i" type: "InnerProduct" bottom: "x" top: "y" '
            "inner_product_param { num_output: 1 } } "
            'layer { name: "e" type: "Reduction" bottom: "y" top: "z" loss_weight: 1 }'
        )
        (tmp_path / "net.prototxt").write_text(text)
        solver = tmp_path / "solver.prototxt"
        solver.write_text(
            f'net: "{tmp_path}/net.prototxt" base_lr: 0.5 lr_policy: "multistep" '
            "stepvalue: 2 gamma: 0.5 max_iter: 9 snapshot_after_train: false"
        )
        solver = caffe.SGDSolver(str(solver))
        rates = []
        for _ in range(4):
            rates.append((solver.lr, solver.lr))
            solver.step(1)
        assert rates == [(0.5, 0.5), (0.5, 0.5), (0.25, 0.25), (0.25, 0.25)]

    def test_labels_may_have_one_axis(self):
        net = net_of(
            'layer { name: "m" type: "MemoryData" top: "x" top: "t" memory_data_param '
            "{ batch_size: 2 channels: 1 height: 1 width: 1 } }"
        )
        labels = np.array([3, 4], np.float32)
        net.set_input_arrays(np.zeros((2, 1, 1, 1), np.float32), labels)
        assert net.forward()["t"].tolist() == [3, 4]
        labels[0] = 7
        assert net.forward()["t"].tolist() == [7, 4]

    def test_any_layer_takes_another_blob(self):
        net = net_of(
            INPUT
            % "dim: 1 dim: 1"
            + 'layer { name: "i" type: "InnerProduct" bottom: "x" top: "y" '
            "inner_product_param { num_output: 1 bias_term: false } }"
        )
        net.layers[1].blobs.add_blob(2, 3)
        assert [blob.shape for blob in net.params["i"]] == [(1, 1), (2, 3)]
        net.params["i"][0].data[...] = 5
        net.blobs["x"].data[...] = 2
        assert net.forward()["y"].tolist() == [[10]]
        assert net.forward(start="i")["y"].tolist() == [[10]]
        net.backward()

    BACKWARD = (
        "force_backward: true "
        + INPUT % "dim: 2"
        + (
            'layer { name: "p" type: "Power" bottom: "x" top: "y" '
            "power_param { power: 2 } }"
            'layer { name: "r" type: "ReLU" bottom: "y" top: "y" }'
            'layer { name: "s" type: "Reduction" bottom: "y" top: "z" loss_weight: 3 }'
        )
    )

    def test_a_backward_before_any_forward_gives_zeros(self):
        net = net_of(self.BACKWARD, caffe.TRAIN)
        assert net.backward()["x"].tolist() == [0, 0]

    def test_hooks_of_the_backward_are_called_for_every_layer(self):
        net = net_of(self.BACKWARD.removeprefix("force_backward: true "))
        calls: list[int] = []
        net.before_backward(calls.append)
        net.after_backward(calls.append)
        net.forward()
        net.backward()
        assert calls == [3, 3, 2, 2, 1, 1, 0, 0]


class TestWhatCaffeAccepts:
    @pytest.mark.parametrize(
        ("dilation", "sums"),
        [
            ("dilation: 0", [[10, 20, 30], [40, 50, 60]]),
            ("dilation: 0 dilation: 1", [[3 + 14, 6 + 21], [12 + 35, 15 + 42]]),
        ],
    )
    @pytest.mark.parametrize("relu", [True, False])
    def test_dilation_0_puts_the_kernel_on_one_pixel(self, dilation, sums, relu):
        text = INPUT % "dim: 1 dim: 1 dim: 2 dim: 3" + (
            'layer { name: "c" type: "Convolution" bottom: "x" top: "y" '
            f"convolution_param {{ num_output: 1 kernel_size: 2 {dilation} }} }}"
            'layer { name: "i" type: "Im2col" bottom: "x" top: "columns" '
            f"convolution_param {{ kernel_size: 2 {dilation} }} }}"
        )
        if relu:
            text += 'layer { name: "r" type: "ReLU" bottom: "y" top: "y" }'
        net = net_of(text)
        net.blobs["x"].data[...] = np.arange(1.0, 7).reshape(1, 1, 2, 3)
        net.params["c"][0].data[...] = [[[[1, 3], [2, 4]]]]
        tops = net.forward()
        assert tops["y"][0, 0].tolist() == sums
        columns = (tops["columns"][0] * np.array([1, 3, 2, 4])[:, None, None]).sum(0)
        assert columns.tolist() == sums

    def test_three_input_dim_for_one_input(self, tmp_path):
        path = tmp_path / "net.prototxt"
        path.write_text('input: "x" input_dim: 2 input_dim: 3 input_dim: 4')
        (layer,) = files.read_net(path).layer
        assert list(layer.input_param.shape[0].dim) == [2, 3, 4]

    def test_the_top_of_a_loss_without_one_is_called_automatic(self):
        loss = 'layer { name: "%s" type: "EuclideanLoss" bottom: "x" bottom: "t" }'
        inputs = INPUT % "dim: 2" + INPUT.replace('"x"', '"t"') % "dim: 2"
        net = net_of(inputs + loss % "a", caffe.TRAIN)
        assert list(net.blobs)[-1] == "(automatic)"
        assert net.outputs == []
        net.blobs["x"].data[...] = 2
        net.forward()
        assert net.blobs["(automatic)"].data == 2
        assert len(net_of(inputs + loss % "a" + loss % "b").blobs) == 8


class TestBetterThanCaffe:
    def test_a_layer_that_shares_a_parameter_follows_it_into_another_net(self):
        layers = INPUT % "dim: 1 dim: 1" + (
            'layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" '
            'param { name: "w" } '
            "inner_product_param { num_output: 1 bias_term: false } }"
        )
        more = layers + layers[len(INPUT % "dim: 1 dim: 1") :].replace('"a"', '"b"')
        trained, test = net_of(layers, caffe.TRAIN), net_of(more)
        trained.params["a"][0].data[...] = 5
        test.share_with(trained)
        assert [test.params[name][0].data.item() for name in "ab"] == [5, 5]

    def test_labels_that_are_no_whole_numbers_are_told(self, tmp_path, capfd):
        path = tmp_path / "list.txt"
        path.write_text("a.png 3\nb.png cat\nc.png 2.7\n")
        assert read_list(str(path)) == [("a.png", 3), ("b.png", 0), ("c.png", 2)]
        (line,) = warnings(capfd.readouterr().err)
        assert "2 labels are no whole numbers: line 2 has 'cat'" in line
        path.write_text("a.png 3\n")
        read_list(str(path))
        assert warnings(capfd.readouterr().err) == []
