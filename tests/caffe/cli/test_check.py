"""``caffe check`` says all that keeps a net from being built or given its weights."""

from __future__ import annotations

import pytest

import caffe
from caffe.cli import main

SOUND = """
layer { name: "in" type: "Input" top: "x"
  input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "y"
  convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "ip" type: "InnerProduct" bottom: "y" top: "z"
  inner_product_param { num_output: 5 } }
"""
FAULTY = """
layer { name: "d" type: "Data" top: "x" include { phase: TRAIN }
  data_param { source: "/nowhere" batch_size: 1 backend: LMDB } }
layer { name: "in" type: "Input" top: "x" include { phase: TEST }
  input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "y"
  convolution_param { num_output: 2 } }
layer { name: "b" type: "BoxOutput" bottom: "x" top: "bb" box_output_param { a: 1 } }
layer { name: "r" type: "ReLU" bottom: "y" top: "y" }
layer { name: "q" type: "ReLU" bottom: "nix" top: "qq" }
layer { name: "e" type: "ReLU" bottom: "qq" top: "e" }
"""
BOX = [
    "  unknown layer type 'BoxOutput' (layer 'b'), a layer of zhaoweicai/mscnn",
    "  LayerParameter.box_output_param is not known here but in zhaoweicai/mscnn "
    "(layer 'b')",
    "  layer 'q': no layer before it makes its bottom 'nix'",
]


@pytest.fixture
def check(tmp_path, capsys):
    def run(text, *more):
        path = tmp_path / "net.prototxt"
        path.write_text(text)
        status = main(["check", str(path), *map(str, more)])
        shown = capsys.readouterr()
        return status, shown.out.replace(f"{path}", "NET").splitlines(), shown.err

    return run


def test_a_sound_net_is_called_so_for_each_phase(check):
    assert check(SOUND)[:2] == (
        0,
        ["NET: phase TRAIN", "  it can be built", "NET: phase TEST",
         "  it can be built"],
    )  # fmt: skip


def test_every_fault_of_each_phase_is_named(check):
    status, lines, _ = check(FAULTY)
    assert status == 1
    assert lines == [
        "NET: phase TRAIN",
        *BOX,
        "  layer 'd' (Data): /nowhere: No such file or directory: expected a folder "
        "with an LMDB database",
        "  3 layers behind these were not checked",
        "NET: phase TEST",
        *BOX,
        "  layer 'c' (Convolution): no kernel_size is given: expected 1 or 2 values",
        "  2 layers behind these were not checked",
    ]


def test_a_phase_may_be_chosen(check):
    status, lines, _ = check(SOUND, "-phase", "TEST")
    assert (status, lines[0]) == (0, "NET: phase TEST")
    assert len(lines) == 2


def test_a_phase_without_data_is_not_meant(check):
    text = SOUND.replace('type: "Input"', 'type: "Input" include { phase: TEST }')
    status, lines, _ = check(text)
    assert status == 0
    assert lines[1] == "  no layer gives data: the net is not for this phase"


def test_names_that_are_not_known_are_named_one_a_line(check):
    status, lines, _ = check(f"{SOUND} layer {{ nam: 'x' }} layer {{ foo: 1 }}")
    assert status == 1
    assert lines[0] == "NET"
    assert [line.split("'")[1] for line in lines if "no field" in line] == [
        "nam",
        "foo",
    ]


def test_layers_without_weights_and_weights_without_a_layer_are_named(check, tmp_path):
    weights = tmp_path / "net.caffemodel"
    message = caffe.parse_net(SOUND.replace('"c"', '"other"'))
    caffe.Net(message, caffe.TEST).save(weights)
    assert check(SOUND, weights, "-phase", "TEST")[:2] == (
        1,
        ["NET: phase TEST", "  layer 'c' gets no weights",
         "  layer 'other' of the weights is not in it"],
    )  # fmt: skip
    status, lines, _ = check(SOUND.replace('"c"', '"other"'), weights)
    assert (status, lines[1]) == (0, "  it can be built, and gets its weights")


@pytest.mark.parametrize("name", ["net.caffemodel", "net.caffemodel.h5"])
def test_weights_of_another_shape_are_named(check, tmp_path, name):
    net = caffe.Net(caffe.parse_net(SOUND.replace("output: 5", "output: 6")), 1)
    (net.save_hdf5 if name.endswith("h5") else net.save)(str(tmp_path / name))
    status, lines, _ = check(SOUND, tmp_path / name, "-phase", "TEST")
    assert status == 1
    assert lines[1:] == [
        "  layer 'ip', parameter 0: the weights have shape (6, 72), the net (5, 72)",
        "  layer 'ip', parameter 1: the weights have shape (6,), the net (5,)",
    ]


def test_files_and_flags_that_are_wrong_are_one_line(check, tmp_path):
    for more, said in (
        (["-phase", "RUN"], "-phase must be TRAIN or TEST, it is 'RUN'"),
        ([tmp_path / "none"], "none: cannot read it: No such file or directory"),
    ):
        status, _, err = check(SOUND, *more)
        assert status == 1
        assert said in err
    assert main(["check"]) == 1
