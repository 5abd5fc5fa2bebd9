"""Which layers a state includes, and where splits go."""

import pytest

from caffe.engine import graph
from caffe.errors import CheckError
from caffe.proto import caffe_pb2, text


def net(lines, state="phase: TRAIN"):
    message = f"state {{ {state} }} {lines}"
    return text.parse_text(message, caffe_pb2.NetParameter(), name="test")


def layer(name, rule="", bottom=(), top=(), rest=""):
    bottoms = " ".join(f'bottom: "{b}"' for b in bottom)
    tops = " ".join(f'top: "{t}"' for t in top)
    return f'layer {{ name: "{name}" type: "T" {rule} {bottoms} {tops} {rest} }}\n'


@pytest.mark.parametrize(
    ("rule", "state", "included"),
    [
        ("", "phase: TRAIN", True),
        ("include { phase: TRAIN }", "phase: TRAIN", True),
        ("include { phase: TEST }", "phase: TRAIN", False),
        ("exclude { phase: TRAIN }", "phase: TRAIN", False),
        ("exclude { phase: TEST }", "phase: TRAIN", True),
        ("include { phase: TEST } include { phase: TRAIN }", "phase: TRAIN", True),
        ("include { min_level: 2 }", "level: 1", False),
        ("include { min_level: 2 }", "level: 2", True),
        ("include { max_level: 2 }", "level: 3", False),
        ('include { stage: "a" stage: "b" }', 'stage: "a"', False),
        ('include { stage: "a" stage: "b" }', 'stage: "b" stage: "a"', True),
        ('include { not_stage: "a" }', 'stage: "a"', False),
        ('include { not_stage: "a" }', "", True),
    ],
)
def test_a_rule_decides_whether_a_layer_is_in_the_net(rule, state, included):
    kept = graph.filter_net(net(layer("x", rule), state))
    assert [x.name for x in kept.layer] == ["x"] * included


def test_include_and_exclude_together_are_refused():
    both = layer("x", "include { phase: TRAIN } exclude { phase: TEST }")
    with pytest.raises(CheckError, match="layer 'x': has include and exclude rules"):
        graph.filter_net(net(both))


def test_the_reason_against_a_layer_is_logged_in_the_words_of_caffe(capfd, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    graph.filter_net(net(layer("data", "include { phase: TEST }")))
    assert (
        "net.cpp:312] The NetState phase (0) differed from the phase (1) "
        "specified by a rule in layer data" in capfd.readouterr().err
    )


def test_a_blob_with_two_consumers_is_split_behind_its_last_layer_in_place():
    lines = (
        layer("in", top=["x"])
        + layer("relu", bottom=["x"], top=["x"])
        + layer("a", bottom=["x"], top=["y"])
        + layer("b", bottom=["x", "y"], top=["z"])
    )
    split = graph.insert_splits(net(lines))
    assert [x.name for x in split.layer] == ["in", "relu", "x_relu_0_split", "a", "b"]
    assert list(split.layer[2].top) == ["x_relu_0_split_0", "x_relu_0_split_1"]
    assert list(split.layer[3].bottom) == ["x_relu_0_split_0"]
    assert list(split.layer[4].bottom) == ["x_relu_0_split_1", "y"]


def test_a_loss_that_is_also_a_bottom_gives_its_weight_to_the_split():
    lines = layer("in", top=["x"], rest="loss_weight: 3") + layer("a", bottom=["x"])
    split = graph.insert_splits(net(lines))
    assert list(split.layer[0].loss_weight) == []
    assert list(split.layer[1].loss_weight) == [3, 0]
    assert list(split.layer[2].bottom) == ["x_in_0_split_1"]


def test_an_unknown_bottom_is_named_with_its_layer():
    with pytest.raises(CheckError, match=r"layer 'a' \(T\): unknown bottom blob 'q'"):
        graph.insert_splits(net(layer("a", bottom=["q"])))
