"""What BVLC's own tests of `caffe.Net` check, in our words."""

import tempfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

import caffe

CLASSES = 6
NET = """
name: 'small' force_backward: true
layer { type: 'DummyData' name: 'data' top: 'data' top: 'label'
  dummy_data_param { num: 4 channels: 3 height: 5 width: 4
    num: 4 channels: 1 height: 1 width: 1
    data_filler { type: 'gaussian' std: 1 } data_filler { type: 'constant' } } }
layer { type: 'Convolution' name: 'conv' bottom: 'data' top: 'conv'
  convolution_param { num_output: 7 kernel_size: 3 pad: 2
    weight_filler { type: 'gaussian' std: 1 } bias_filler { value: 2 } }
  param { decay_mult: 1 } param { decay_mult: 0 } }
layer { type: 'InnerProduct' name: 'ip' bottom: 'conv' top: 'ip_blob'
  inner_product_param { num_output: 6 weight_filler { type: 'gaussian' std: 2.5 }
    bias_filler { type: 'constant' value: -3 } } }
layer { type: 'SoftmaxWithLoss' name: 'loss' bottom: 'ip_blob' bottom: 'label'
  top: 'loss' }
"""


def temporary(text):
    with tempfile.NamedTemporaryFile(mode="w+", delete=False) as file:
        file.write(text)
    return file.name


@pytest.fixture
def rng():
    return np.random.default_rng(8)


@pytest.fixture
def path():
    name = temporary(NET)
    yield name
    Path(name).unlink()


@pytest.fixture
def net(path, rng):
    caffe.set_random_seed(4)
    made = caffe.Net(path, caffe.TRAIN)
    label = made.blobs["label"].data
    label[...] = rng.integers(CLASSES, size=label.shape)
    return made


class TestNet:
    def test_blobs_live_on_when_their_net_is_gone(self, net):
        params = [blob for blobs in net.params.values() for blob in blobs]
        blobs = net.blobs.values()
        del net
        arrays = [a for blob in (*params, *blobs) for a in (blob.data, blob.diff)]
        assert np.isfinite(sum(array.sum() for array in arrays))
        assert len(arrays) == 18

    def test_layers_are_found_by_name_and_by_number(self, net):
        assert list(net.layer_dict) == list(net._layer_names)
        types = [net.layer_dict[name].type for name in net._layer_names]
        assert types == [layer.type for layer in net.layers]
        assert types == ["DummyData", "Convolution", "InnerProduct", "SoftmaxWithLoss"]

    def test_forward_and_backward_fill_all_diffs(self, net):
        net.forward()
        net.backward()
        assert all(blob.diff.any() for n, blob in net.blobs.items() if n != "label")

    def test_forward_starts_from_what_stands_in_the_blobs(self, net, rng):
        conv = net.blobs["conv"]
        conv.data[:] = rng.random(conv.data.shape)
        assert set(net.forward(start="ip", end="ip")) == {"ip_blob"}
        weights, bias = (blob.data for blob in net.params["ip"])
        expected = conv.data.reshape(4, -1) @ weights.T + bias
        np.testing.assert_allclose(
            net.blobs["ip_blob"].data, expected, rtol=1e-3, atol=1e-4
        )

    def test_backward_needs_no_forward_before(self, net, rng):
        conv, top = net.blobs["conv"], net.blobs["ip_blob"]
        conv.data[:] = rng.random(conv.data.shape)
        top.diff[:] = rng.random(top.data.shape)
        assert set(net.backward(start="ip", end="ip")) == {"conv"}
        expected = (top.diff @ net.params["ip"][0].data).reshape(conv.data.shape)
        np.testing.assert_allclose(conv.diff, expected, rtol=1e-3, atol=1e-5)
        rows = conv.data.reshape(4, -1)
        np.testing.assert_allclose(
            net.params["ip"][0].diff, top.diff.T @ rows, rtol=1e-3, atol=1e-5
        )

    def test_diffs_of_parameters_are_cleared_in_place(self, net):
        net.forward()
        net.backward()
        diff = net.params["conv"][0].diff
        assert diff.max() > 0
        net.clear_param_diffs()
        assert not diff.any()

    def test_a_net_without_inputs_has_a_loss_as_output(self, net):
        assert net.inputs == []
        assert net.outputs == ["loss"]
        assert [net._blob_names[i] for i in net._outputs] == ["loss"]

    def test_tops_and_bottoms_are_listed_by_layer(self, net):
        assert net.top_names == OrderedDict(
            data=["data", "label"], conv=["conv"], ip=["ip_blob"], loss=["loss"]
        )
        assert net.bottom_names == OrderedDict(
            data=[], conv=["data"], ip=["conv"], loss=["ip_blob", "label"]
        )

    def test_weights_come_back_from_a_file_of_any_name(self, net, path):
        name = temporary("")
        net.save(name)
        legacy = caffe.Net(path, name, caffe.TRAIN)
        named = caffe.Net(path, caffe.TRAIN, weights=name)
        Path(name).unlink()
        for other in (legacy, named):
            assert_same_parameters(net, other)

    def test_weights_come_back_from_hdf5(self, net, path):
        name = temporary("")
        net.save_hdf5(name)
        other = caffe.Net(path, caffe.TRAIN)
        other.load_hdf5(name)
        Path(name).unlink()
        assert_same_parameters(net, other)


def assert_same_parameters(net, other):
    assert list(net.params) == list(other.params) == ["conv", "ip"]
    for name, blobs in net.params.items():
        for mine, theirs in zip(blobs, other.params[name], strict=True):
            assert abs(mine.data - theirs.data).sum() == 0


def product(name, rule=""):
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "data" top: "{name}" '
        f"{rule} inner_product_param {{ num_output: 1 }} }}\n"
    )


def source(name, kind, shapes, rule=""):
    tops = "".join(f' top: "{top}"' for top in shapes)
    sizes = "".join(
        f" shape {{ {' '.join(f'dim: {d}' for d in shape)} }}"
        for shape in shapes.values()
    )
    return (
        f'layer {{ name: "{name}" type: "{kind[0]}"{tops} {kind[1]} {{{sizes} }} '
        f"{rule} }}\n"
    )


IMAGE = {"data": (1, 1, 8, 8)}
LABELLED = {**IMAGE, "label": (1, 1, 1, 1)}
DUMMY, INPUT = ("DummyData", "dummy_data_param"), ("Input", "input_param")


class TestState:
    """Level, stages and phase decide which layers there are."""

    @pytest.fixture
    def build(self, tmp_path):
        def make(text, phase=caffe.TEST, **state):
            path = tmp_path / "net.prototxt"
            path.write_text(text)
            return caffe.Net(str(path), phase, **state)

        return make

    @staticmethod
    def shown(net):
        return [name for name in net.blobs if "data" not in name]

    @pytest.mark.parametrize(
        ("state", "blobs"),
        [
            ({}, ["any", "only0", "from0"]),
            ({"level": 1}, ["any", "only1", "from0", "from1"]),
            ({"level": 2}, ["any", "from0", "from1"]),
        ],
    )
    def test_levels(self, build, state, blobs):
        rules = {
            "any": "",
            "only0": "include { min_level: 0 max_level: 0 }",
            "only1": "include { min_level: 1 max_level: 1 }",
            "from0": "include { min_level: 0 }",
            "from1": "include { min_level: 1 }",
        }
        text = "".join(product(name, rule) for name, rule in rules.items())
        net = build(source("data", DUMMY, IMAGE) + text, **state)
        assert self.shown(net) == blobs

    @pytest.mark.parametrize(
        ("stages", "blobs"),
        [
            (["A"], ["A", "AorB"]),
            (["B"], ["B", "AorB"]),
            (["A", "B"], ["A", "B", "AorB", "AandB"]),
            (None, []),
        ],
    )
    def test_stages(self, build, stages, blobs):
        rules = {
            "A": 'include { stage: "A" }',
            "B": 'include { stage: "B" }',
            "AorB": 'include { stage: "A" } include { stage: "B" }',
            "AandB": 'include { stage: "A" stage: "B" }',
        }
        text = "".join(product(name, rule) for name, rule in rules.items())
        net = build(source("data", DUMMY, IMAGE) + text, stages=stages)
        assert self.shown(net) == blobs

    @pytest.mark.parametrize(
        ("phase", "stage", "outputs"),
        [
            (caffe.TRAIN, "train", ["loss"]),
            (caffe.TEST, "val", ["loss"]),
            (caffe.TEST, "deploy", ["pred"]),
        ],
    )
    def test_one_file_for_training_validation_and_deployment(
        self, build, phase, stage, outputs
    ):
        train, val, deploy = (
            f'include: {{ phase: {phase} stage: "{stage}" }}'
            for phase, stage in (
                ("TRAIN", "train"),
                ("TEST", "val"),
                ("TEST", "deploy"),
            )
        )
        text = (
            source("train_data", DUMMY, LABELLED, train)
            + source("val_data", DUMMY, LABELLED, val)
            + source("deploy_data", INPUT, IMAGE, deploy)
            + product("ip").replace("num_output: 1", "num_output: 2")
            + 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" '
            f'bottom: "label" top: "loss" {train} {val} }}'
            'layer { name: "pred" type: "Softmax" bottom: "ip" top: "pred" '
            f"{deploy} }}"
        )
        net = build(text, phase, stages=[stage])
        assert list(net.blobs["data"].shape) == [1, 1, 8, 8]
        assert net.outputs == outputs
        assert net.forward()[outputs[0]].size in {1, 2}
