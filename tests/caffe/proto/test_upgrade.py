"""Nets and solvers of older Caffe versions, against what the original made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe.errors import CheckError
from caffe.proto import caffe_pb2
from caffe.proto.files import read_net_binary
from caffe.proto.text import parse_text, read_text
from caffe.proto.upgrade import upgrade_net, upgrade_solver

REFERENCE = Path(__file__).parents[2] / "reference" / "upgrade"


def upgraded(text: str):
    net = parse_text(text, caffe_pb2.NetParameter())
    assert upgrade_net(net)
    assert not upgrade_net(net)
    return net


@pytest.mark.parametrize("name", ["v0", "v1", "v1_data"])
def test_a_net_is_upgraded_as_the_original_does(name):
    net = read_text(REFERENCE / f"{name}.prototxt", caffe_pb2.NetParameter())
    expected = read_text(
        REFERENCE / f"{name}.upgraded.prototxt", caffe_pb2.NetParameter()
    )
    assert upgrade_net(net)
    assert net == expected


def test_a_solver_is_upgraded_as_the_original_does():
    solver = read_text(REFERENCE / "solver_old.prototxt", caffe_pb2.SolverParameter())
    assert upgrade_solver(solver)
    assert not upgrade_solver(solver)
    assert solver == read_text(
        REFERENCE / "solver_old.upgraded.prototxt", caffe_pb2.SolverParameter()
    )


def test_a_net_of_todays_form_is_left_alone():
    net = read_text(REFERENCE / "v1.upgraded.prototxt", caffe_pb2.NetParameter())
    before = net.SerializeToString()
    assert not upgrade_net(net)
    assert net.SerializeToString() == before


@pytest.mark.reference
def test_trained_arrays_move_along_in_a_binary_net():
    net = read_net_binary(REFERENCE / "v1.caffemodel")
    extents = {
        layer.name: [
            (blob.num, blob.channels, blob.height, blob.width) for blob in layer.blobs
        ]
        for layer in net.layer
        if layer.blobs
    }
    assert extents == {
        "conv1": [(4, 1, 3, 3), (1, 1, 1, 4)],
        "up": [(4, 4, 2, 2), (1, 1, 1, 4)],
        "ip": [(1, 1, 3, 1200), (1, 1, 1, 3)],
    }
    assert not net.layers
    assert list(net.layer[1].top) == ["label"]


def test_trained_arrays_of_the_oldest_form_move_along():
    net = upgraded(
        'layers { layer { name: "c" type: "conv" num_output: 1 kernelsize: 1 '
        'blobs { num: 1 data: 5 } } bottom: "data" top: "c" }'
    )
    assert list(net.layer[0].blobs[0].data) == [5]


def test_padding_before_an_old_pooling_layer_is_folded_into_it():
    net = upgraded(
        'layers { layer { name: "p" type: "padding" pad: 1 } bottom: "x" top: "p" }'
        'layers { layer { name: "m" type: "pool" kernelsize: 3 } bottom: "p" top: "m" }'
    )
    (layer,) = net.layer
    assert (list(layer.bottom), list(layer.pooling_param.pad)) == (["x"], [1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'layers { layer { name: "p" type: "padding" pad: 1 } bottom: "x" top: "p" }'
            'layers { layer { name: "r" type: "relu" } bottom: "p" top: "r" }',
            "layer 'r': bottom 'p' is padded, but a 'relu' layer cannot pad; "
            "expected conv or pool",
        ),
        (
            'layers { layer { name: "r" type: "relu" num_output: 3 } }',
            "layer 'r': a 'relu' layer has no parameter 'num_output'; "
            "types that have it: conv, innerproduct",
        ),
        (
            'layers { layer { name: "r" type: "relu" new_num: 3 } }',
            "layer 'r': a 'relu' layer has no parameter 'new_num'",
        ),
        (
            'name: "n" layer { } layers { }',
            "net 'n' has both 'layer' and old 'layers' entries; expected "
            "all of one kind",
        ),
        (
            'name: "n" layers { layer { name: "r" type: "relu" } } layers { }',
            "net 'n': layers 1 is not of the oldest form (layers { layer { ... } }) as "
            "others are; expected all of one kind",
        ),
        (
            'name: "n" input: "data" input_dim: 1 input_dim: 3',
            "net 'n': 1 input and 2 input_dim; expected four input_dim per input, "
            "or three for one input",
        ),
        (
            'name: "n" input: "a" input: "b" input_shape { dim: 1 }',
            "net 'n': 2 input and 1 input_shape; expected the same number of both",
        ),
    ],
)
def test_a_net_that_cannot_be_upgraded_is_refused(text, expected):
    with pytest.raises(CheckError) as caught:
        upgrade_net(parse_text(text, caffe_pb2.NetParameter()))
    assert str(caught.value) == expected


def test_an_unknown_old_type_is_refused_with_the_known_ones():
    net = parse_text(
        'layers { layer { name: "r" type: "rellu" } }', caffe_pb2.NetParameter()
    )
    with pytest.raises(CheckError, match=r"'r': unknown old layer type 'rellu'.*relu"):
        upgrade_net(net)


def test_inputs_become_an_input_layer_with_a_shape_each():
    net = upgraded(
        'input: "a" input: "b" input_shape { dim: 1 dim: 2 } input_shape { dim: 3 }'
        'layer { name: "r" }'
    )
    first, second = net.layer
    assert (first.name, first.type, list(first.top)) == ("input", "Input", ["a", "b"])
    assert [list(shape.dim) for shape in first.input_param.shape] == [[1, 2], [3]]
    assert second.name == "r"


def test_inputs_without_shapes_are_dropped():
    assert not upgraded('input: "a"').layer


def test_old_batch_norm_statistics_are_not_learned():
    net = upgraded(
        'layer { type: "BatchNorm" param { lr_mult: 1 } param { name: "v" } param { } }'
        'layer { type: "BatchNorm" param { lr_mult: 1 } }'
    )
    old, other = net.layer
    assert [(spec.lr_mult, spec.decay_mult) for spec in old.param] == [(0, 0)] * 3
    assert old.param[1].name == "v"
    assert other.param[0].lr_mult == 1


@pytest.mark.parametrize("value", caffe_pb2.V1LayerParameter.LayerType.values())
def test_every_v1_type_has_a_name_today(value):
    net = caffe_pb2.NetParameter()
    net.layers.add(name="x", type=value)
    upgrade_net(net, crop="as_written")
    enum_name = caffe_pb2.V1LayerParameter.LayerType.Name(value)
    plain = enum_name.replace("_", "").lower()
    expected = {"none": "", "softmaxloss": "softmaxwithloss"}.get(plain, plain)
    assert net.layer[0].type.lower() == expected


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SGD", "SGD"),
        ("NESTEROV", "Nesterov"),
        ("ADAGRAD", "AdaGrad"),
        ("RMSPROP", "RMSProp"),
        ("ADADELTA", "AdaDelta"),
        ("ADAM", "Adam"),
    ],
)
def test_solver_types_become_names(old, new):
    solver = parse_text(f"solver_type: {old}", caffe_pb2.SolverParameter())
    upgrade_solver(solver)
    assert solver == caffe_pb2.SolverParameter(type=new)


def test_a_solver_with_both_kinds_of_type_is_refused():
    solver = parse_text('solver_type: ADAM type: "SGD"', caffe_pb2.SolverParameter())
    with pytest.raises(CheckError) as caught:
        upgrade_solver(solver)
    assert str(caught.value) == (
        'both solver_type: ADAM and type: "SGD" are given; expected one of them'
    )


def test_an_unknown_meaning_of_crop_is_refused():
    with pytest.raises(CheckError, match="crop='guess': expected one of explicit"):
        upgrade_net(caffe_pb2.NetParameter(), crop="guess")
