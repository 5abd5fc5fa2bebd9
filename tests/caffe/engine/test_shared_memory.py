"""Blobs that are one memory, as in Caffe: inputs, splits, reshaped ones, in place."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { %s } } }'
RECTIFIER = 'layer { name: "relu" type: "ReLU" bottom: "%s" top: "%s" }'
HALF = (
    'layer { name: "half" type: "Power" bottom: "x" top: "x" '
    "power_param { scale: 0.5 } }"
)
VALUES = np.array([[-1.0, 2.0], [3.0, -4.0]], np.float32)
RECTIFIED = [[0, 2], [3, 0]]


def net_of(text: str, phase: int) -> caffe.Net:
    return caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), phase)


def run(net: caffe.Net, way: str) -> None:
    """Forward by one of the executors."""
    if way == "one by one":
        net.forward(start=net._layer_names[0])
    elif way == "a step":
        net.forward_backward()
    else:
        net.forward()


WAYS = [("whole", caffe.TEST), ("one by one", caffe.TEST), ("a step", caffe.TRAIN)]


@pytest.mark.parametrize(("way", "phase"), WAYS)
class TestInPlace:
    def test_a_layer_on_an_input_changes_the_input(self, way, phase):
        net = net_of(INPUT % "dim: 2 dim: 2" + RECTIFIER % ("x", "x"), phase)
        net.blobs["x"].data[...] = VALUES
        view = net.blobs["x"].data
        run(net, way)
        assert view.tolist() == net.blobs["x"].data.tolist() == RECTIFIED

    def test_a_second_forward_starts_from_what_the_first_has_left(self, way, phase):
        net = net_of(INPUT % "dim: 2" + HALF, phase)
        net.blobs["x"].data[...] = [8, 4]
        for want in ([4, 2], [2, 1]):
            run(net, way)
            assert net.blobs["x"].data.tolist() == want

    @pytest.mark.parametrize(
        "layer",
        [
            'type: "Reshape" reshape_param { shape { dim: 4 } }',
            'type: "Flatten" flatten_param { axis: 0 }',
            'type: "Split"',
            'type: "Concat"',
            'type: "Slice"',
        ],
    )
    def test_a_layer_on_another_name_of_an_input_changes_both(self, way, phase, layer):
        alias = f'layer {{ name: "alias" bottom: "x" top: "y" {layer} }}'
        net = net_of(INPUT % "dim: 2 dim: 2" + alias + RECTIFIER % ("y", "y"), phase)
        net.blobs["x"].data[...] = VALUES
        run(net, way)
        assert net.blobs["x"].data.tolist() == RECTIFIED
        assert net.blobs["y"].data.ravel().tolist() == [0, 2, 3, 0]

    def test_a_layer_behind_a_split_changes_what_later_layers_read(self, way, phase):
        text = (
            INPUT
            % "dim: 2 dim: 2"
            + 'layer { name: "twice" type: "Power" bottom: "x" top: "y" '
            "power_param { scale: 2 } }"
            'layer { name: "split" type: "Split" bottom: "y" top: "a" top: "b" }'
            'layer { name: "first" type: "Power" bottom: "b" top: "before" }'
            + RECTIFIER
            % ("a", "a")
            + 'layer { name: "join" type: "Eltwise" bottom: "a" bottom: "before" '
            'top: "sum" }'
        )
        net = net_of(text, phase)
        net.blobs["x"].data[...] = VALUES
        run(net, way)
        assert net.blobs["sum"].data.tolist() == [[-2, 8], [12, -8]]
        assert net.blobs["y"].data.tolist() == [[0, 4], [6, 0]]
        assert net.blobs["b"].data.tolist() == [[0, 4], [6, 0]]
        assert net.blobs["x"].data.tolist() == VALUES.tolist()

    def test_a_layer_on_a_constant_changes_the_constant(self, way, phase):
        text = (
            'layer { name: "data" type: "DummyData" top: "x" dummy_data_param { '
            'shape { dim: 2 } data_filler { type: "constant" value: 8 } } }' + HALF
        )
        net = net_of(text, phase)
        for want in ([4, 4], [2, 2]):
            run(net, way)
            assert net.blobs["x"].data.tolist() == want

    def test_a_layer_on_a_parameter_changes_the_parameter(self, way, phase):
        text = (
            'layer { name: "w" type: "Parameter" top: "x" '
            "parameter_param { shape { dim: 2 } } }" + HALF
        )
        net = net_of(text, phase)
        net.params["w"][0].data[...] = [8, 4]
        run(net, way)
        assert net.params["w"][0].data.tolist() == [4, 2]


def test_the_gradient_of_a_parameter_goes_through_a_layer_in_place():
    text = (
        'layer { name: "w" type: "Parameter" top: "x" '
        "parameter_param { shape { dim: 2 } } }"
        + RECTIFIER % ("x", "x")
        + 'layer { name: "sum" type: "Reduction" bottom: "x" top: "y" loss_weight: 3 }'
    )
    for backward in ("step", "one by one"):
        net = net_of(text, caffe.TRAIN)
        net.params["w"][0].data[...] = [5, -5]
        if backward == "step":
            assert net.forward_backward() == 15
        else:
            net.forward()
            net.backward()
        assert net.params["w"][0].diff.tolist() == [3, 0]


def test_a_split_with_one_top_keeps_a_gradient_of_its_own():
    text = (
        INPUT % "dim: 2"
        + 'layer { name: "a" type: "Power" bottom: "x" top: "y" }'
        + RECTIFIER % ("y", "y")
        + 'layer { name: "split" type: "Split" bottom: "y" top: "z" }'
        'layer { name: "sum" type: "Reduction" bottom: "z" top: "sum" loss_weight: 3 }'
    )
    net = net_of("force_backward: true " + text, caffe.TRAIN)
    net.blobs["x"].data[...] = [5, -5]
    net.forward()
    net.backward()
    assert net.blobs["z"].diff.tolist() == [3, 3]
    assert net.blobs["y"].diff.tolist() == [3, 0]
    assert net.blobs["x"].diff.tolist() == [3, 0]


def step_of(text: str, *, keep: bool) -> caffe.Net:
    """A net after a training step on 5 and -5."""
    net = net_of(text, caffe.TRAIN)
    net.keep_blobs = keep
    net.blobs["x"].data[...] = np.reshape([5, -5], net.blobs["x"].shape)
    net.forward_backward()
    return net


@pytest.mark.parametrize("keep", [True, False])
def test_a_layer_on_one_top_of_a_split_has_no_part_in_the_gradient_of_another(keep):
    text = (
        INPUT
        % "dim: 1 dim: 2"
        + 'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" '
        "inner_product_param { num_output: 2 } }"
        'layer { name: "split" type: "Split" bottom: "y" top: "a" top: "b" }'
        + 'layer { name: "negative" type: "Power" bottom: "a" top: "a" '
        "power_param { scale: -2 } }"
        'layer { name: "a" type: "Reduction" bottom: "a" top: "sum of a" '
        "loss_weight: 3 }"
        'layer { name: "b" type: "Reduction" bottom: "b" top: "sum of b" '
        "loss_weight: 7 }"
    )
    net = step_of(text, keep=keep)
    # of each number of y: -2 * 3 by way of a, 7 by way of b
    assert net.params["ip"][1].diff.tolist() == [1, 1]
    assert net.params["ip"][0].diff.tolist() == [[5, -5], [5, -5]]
    if keep:
        diffs = {name: net.blobs[name].diff.tolist() for name in "yab"}
        assert diffs == {"y": [[1, 1]], "a": [[-6, -6]], "b": [[7, 7]]}


@pytest.mark.parametrize("way", ["whole", "one by one"])
def test_a_layer_in_place_is_not_taken_for_a_user_who_writes_into_a_blob(way):
    text = (
        "force_backward: true "
        + INPUT % "dim: 2"
        + 'layer { name: "split" type: "Split" bottom: "x" top: "a" top: "b" }'
        'layer { name: "s" type: "Sigmoid" bottom: "a" top: "s" }'
        'layer { name: "p" type: "Power" bottom: "b" top: "b" '
        "power_param { shift: 3 } }"
        'layer { name: "r" type: "Reduction" bottom: "s" top: "z" loss_weight: 4 }'
    )
    net = net_of(text, caffe.TEST)
    net.blobs["x"].data[...] = 0
    run(net, way)
    assert net.blobs["x"].data.tolist() == [3, 3]
    net.backward()
    # the logistic function is 1/2 at 0: 4 * 1/2 * 1/2
    assert net.blobs["a"].diff.tolist() == [1, 1]


ONES = 'weight_filler { type: "constant" value: 1 } '


@pytest.mark.parametrize(
    "layer",
    [
        f'"InnerProduct" inner_product_param {{ axis: 3 num_output: 1 {ONES} }}',
        f'"Deconvolution" convolution_param {{ kernel_size: 1 num_output: 1 {ONES} }}',
        '"Im2col" convolution_param { kernel_size: 1 }',
    ],
)
def test_a_step_keeps_the_gradient_below_a_layer_in_place(layer):
    text = (
        "force_backward: true "
        + INPUT % "dim: 1 dim: 1 dim: 2 dim: 1"
        + f'layer {{ name: "y" bottom: "x" top: "y" type: {layer} }}'
        + RECTIFIER % ("y", "y")
        + 'layer { name: "sum" type: "Reduction" bottom: "y" top: "z" loss_weight: 3 }'
    )
    net = step_of(text, keep=True)
    assert net.blobs["y"].diff.ravel().tolist() == [3, 0]


@pytest.mark.parametrize("alias", ["Split", "Flatten"])
def test_a_step_keeps_the_gradient_below_a_layer_on_another_name(alias):
    text = (
        INPUT
        % "dim: 2 dim: 1"
        + 'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" '
        f"inner_product_param {{ num_output: 1 {ONES} }} }}"
        f'layer {{ name: "a" type: "{alias}" bottom: "y" top: "a" }}'
        + RECTIFIER
        % ("a", "a")
        + 'layer { name: "r" type: "Reshape" bottom: "a" top: "r" '
        "reshape_param { shape { dim: 2 } } }"
        'layer { name: "sum" type: "Reduction" bottom: "r" top: "z" loss_weight: 3 }'
    )
    net = step_of(text, keep=True)
    diffs = [net.blobs[name].diff.ravel().tolist() for name in "yar"]
    assert diffs == [[3, 0]] * 3


def test_a_blob_read_after_its_input_was_reshaped_still_has_its_values():
    text = INPUT % "dim: 2 dim: 2" + 'layer { name: "a" type: "Power" bottom: "x" top: '
    text += '"y" power_param { scale: 2 } } layer { name: "b" type: "Power" bottom: "y"'
    net = net_of(text + ' top: "z" }', caffe.TEST)
    net.blobs["x"].data[...] = VALUES
    net.forward()
    net.blobs["x"].reshape(1, 2)
    assert net.blobs["y"].data.tolist() == (2 * VALUES).tolist()


class TestCapacity:
    """A blob keeps its memory when it becomes smaller, and so the weight of a loss."""

    TEXT = (
        "force_backward: true "
        + INPUT % "dim: 3 dim: 2"
        + 'layer { name: "sum" type: "Reduction" bottom: "x" top: "sum" '
        "loss_weight: 4 reduction_param { axis: 1 } }"
    )

    @pytest.mark.parametrize("step", [True, False])
    def test_a_smaller_batch_keeps_the_gradient_of_a_weighted_blob(self, step):
        net = net_of(self.TEXT, caffe.TRAIN)
        net.blobs["x"].data[...] = 1
        net.forward_backward()
        net.blobs["x"].reshape(2, 2)
        net.blobs["x"].data[...] = 1
        if step:
            assert net.forward_backward() == 16
        else:
            net.forward()
            net.backward()
        assert net.blobs["x"].diff.tolist() == [[4, 4], [4, 4]]

    def test_a_larger_batch_loses_it_as_in_caffe_with_a_warning(self, capfd):
        net = net_of(self.TEXT, caffe.TRAIN)
        net.blobs["x"].reshape(4, 2)
        net.forward()
        net.backward()
        assert not net.blobs["x"].diff.any()
        warnings = [x for x in capfd.readouterr().err.splitlines() if x[0] == "W"]
        assert len(warnings) == 1
        assert "'sum'" in warnings[0]
