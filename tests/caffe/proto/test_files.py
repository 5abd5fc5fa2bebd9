"""Nets, solvers and trained nets from files: what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe.errors import CheckError, FileError
from caffe.proto import caffe_pb2
from caffe.proto.files import read_net, read_net_binary, read_solver

REFERENCE = Path(__file__).parents[2] / "reference" / "upgrade"
TRAINED = REFERENCE / "v1.caffemodel"
EXPECTED = "; expected a binary Caffe net (.caffemodel)"


def test_a_text_net_is_upgraded_when_read():
    net = read_net(REFERENCE / "v0.prototxt")
    assert [layer.type for layer in net.layer[:3]] == ["Input", "Convolution", "ReLU"]


def test_the_meaning_of_crop_is_passed_on(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "c" type: "Convolution" bottom: "data" top: "c" '
        "convolution_param { kernel_size: 7 } }"
        'layer { name: "k" type: "Crop" bottom: "data" bottom: "c" top: "k" }'
    )
    assert not read_net(path).layer[1].crop_param.offset
    crop = read_net(path, crop="coordinate_maps").layer[1].crop_param
    assert list(crop.offset) == [3]


def test_an_error_of_upgrading_names_the_file(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text('layers { name: "c" type: CROP bottom: "a" bottom: "b" }')
    with pytest.raises(CheckError) as caught:
        read_net(path)
    assert str(caught.value) == (
        f"{path}: layer 'c': no offset for cropping 'a' to 'b': they come from no "
        "common blob by layers that keep positions; give crop_param { offset }"
    )


def test_a_solver_and_the_nets_inside_it_are_upgraded_when_read(tmp_path):
    path = tmp_path / "solver.prototxt"
    inside = 'layers { name: "r" type: RELU }'
    path.write_text(
        f"solver_type: NESTEROV net_param {{ {inside} }} train_net_param {{ {inside} }}"
        f" test_net_param {{ {inside} }} test_net_param {{ {inside} }}"
    )
    solver = read_solver(path)
    assert solver.type == "Nesterov"
    nets = [solver.net_param, solver.train_net_param, *solver.test_net_param]
    assert [net.layer[0].type for net in nets] == ["ReLU"] * 4


def test_snapshots_are_named_as_the_solver_file_unless_it_says_otherwise(tmp_path):
    path = tmp_path / "my.solver.prototxt"
    path.write_text("base_lr: 1")
    assert read_solver(path).snapshot_prefix == str(tmp_path / "my.solver")
    path.write_text(f'snapshot_prefix: "{tmp_path}"')
    assert read_solver(path).snapshot_prefix == str(tmp_path / "my.solver")
    path.write_text('snapshot_prefix: "run"')
    assert read_solver(path).snapshot_prefix == "run"


def test_a_solver_with_two_types_is_refused_by_name(tmp_path):
    path = tmp_path / "solver.prototxt"
    path.write_text('solver_type: ADAM type: "SGD"')
    with pytest.raises(CheckError) as caught:
        read_solver(path)
    assert str(caught.value) == (
        f'{path}: both solver_type: ADAM and type: "SGD" are given; '
        "expected one of them"
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (
            b"\x89HDF\r\n\x1a\n\0\0",
            "is an HDF5 file (weights in HDF5 must be named .h5)",
        ),
        (b"PK\x03\x04\0\0", "is a zip archive"),
        (b"<!DOCTYPE html>\n<html>", "is a text file"),
        (b'name: "net"\nlayer { }\n', "is a text file"),
        (b"\x0a\x03net", "no layer in it"),
        (b"\xa2\x06\x00", "no layer in it"),
        (
            bytes(64),
            "is cut short, damaged, or of another kind "
            "(64 bytes that do not parse as a net)",
        ),
    ],
)
def test_a_file_that_is_no_trained_net_is_refused(tmp_path, content, expected):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        read_net_binary(path)
    assert str(caught.value) == f"{path}: {expected}{EXPECTED}"


def test_a_layer_whose_name_is_no_text_is_refused(tmp_path):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(b"\xa2\x06\x05\x0a\x03\xff\xfe\xfd")
    with pytest.raises(FileError, match=rf"^{path}: .*(is not UTF-8|damaged)"):
        read_net_binary(path)


def test_a_trained_net_with_a_damaged_blob_name_is_refused(tmp_path):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(TRAINED.read_bytes().replace(b"data", b"dat\xe1"))
    with pytest.raises(FileError, match=rf"^{path}: is cut short, damaged"):
        read_net_binary(path)


@pytest.mark.parametrize("size", [1000, 12, 15483])
def test_a_trained_net_that_is_cut_short_is_refused(tmp_path, size):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(TRAINED.read_bytes()[:size])
    with pytest.raises(FileError, match=rf"^{path}: is cut short, .* \({size} bytes"):
        read_net_binary(path)


def test_a_solver_state_is_no_trained_net(tmp_path):
    path = tmp_path / "net.caffemodel"
    state = caffe_pb2.SolverState(iter=5, learned_net="net_iter_5.caffemodel")
    state.history.add(data=[1, 2, 3])
    path.write_bytes(state.SerializeToString())
    with pytest.raises(FileError):
        read_net_binary(path)


@pytest.mark.parametrize("read", [read_net, read_solver, read_net_binary])
def test_a_missing_file_is_named(read, tmp_path):
    path = tmp_path / "none"
    with pytest.raises(FileError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: cannot read it: No such file or directory"


def test_a_trained_net_of_the_oldest_form_is_read(tmp_path):
    net = caffe_pb2.NetParameter()
    old = net.layers.add(bottom=["x"], top=["y"]).layer
    old.name, old.type = "fc", "innerproduct"
    old.blobs.add(num=1, channels=1, height=1, width=1, data=[2.5])
    path = tmp_path / "old.caffemodel"
    path.write_bytes(net.SerializeToString())
    (layer,) = read_net_binary(path).layer
    assert (layer.name, layer.type) == ("fc", "InnerProduct")
    assert list(layer.blobs[0].data) == [2.5]


def test_crops_of_a_trained_net_do_not_keep_its_weights_from_being_read(tmp_path):
    net = caffe_pb2.NetParameter()
    net.layers.add(name="c", type=caffe_pb2.V1LayerParameter.CROP, bottom=["a", "b"])
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net.SerializeToString())
    assert read_net_binary(path).layer[0].type == "Crop"
    with pytest.raises(CheckError, match="no offset for cropping"):
        read_net_binary(path, crop="explicit")
