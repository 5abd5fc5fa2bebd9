from pathlib import Path

import numpy as np
import pytest

import caffe
from pyunet.cli import main
from pyunet.zoo import find_model
from pyunet.zoo.manifest import Entry, Input
from pyunet_bridges import source
from pyunet_fiji.modeldef import read_modeldef
from pyunet_fiji.modeldef.loading import load_definition
from tests.support.exported import filled, scores

DEMO = find_model("unet_demo")


@pytest.fixture
def net():
    return filled(caffe.Net(str(DEMO), caffe.TEST))


@pytest.fixture
def weights(tmp_path, net):
    path = tmp_path / "weights.caffemodel"
    net.save(path)
    return path


def run(out: Path, to: str, weights: Path, *words: object, model: object = DEMO) -> int:
    command = [model, "--weights", weights, "--to", to, "-o", out, *words]
    return main(["export", *map(str, command)])


@pytest.mark.parametrize(
    ("to", "names"),
    [
        ("onnx", ["net.onnx"]),
        ("torchscript", ["net.pt"]),
        ("torch", ["net.pt", "net.py"]),
        ("safetensors", ["net.safetensors"]),
        ("caffe", ["net.caffemodel", "net.prototxt"]),
    ],
)
def test_files_are_written_and_named(tmp_path, weights, to, names, capsys):
    (tmp_path / "out").mkdir()
    assert run(tmp_path / "out" / names[0], to, weights) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    named = capsys.readouterr().out.split()
    assert [Path(path).name for path in named] == names


def test_a_blob_in_the_middle_is_what_the_model_gives(tmp_path, weights):
    session = pytest.importorskip("onnxruntime").InferenceSession
    layer = caffe.Net(str(DEMO), caffe.TEST).outputs[0]
    assert run(tmp_path / "all.onnx", "onnx", weights) == 0
    assert [o.name for o in session(tmp_path / "all.onnx").get_outputs()] == [layer]
    blob = "d1a"
    assert run(tmp_path / "some.onnx", "onnx", weights, "--blob", blob) == 0
    assert [o.name for o in session(tmp_path / "some.onnx").get_outputs()] == [blob]


def test_other_formats_give_the_outputs_of_the_net(tmp_path, weights, capsys):
    assert run(tmp_path / "net.pt", "torch", weights, "--blob", "score") != 0
    assert "--blob is for --to onnx only, not for --to torch" in capsys.readouterr().err


def test_what_goes_out_comes_back(tmp_path, net, weights):
    out, back = tmp_path / "net.safetensors", tmp_path / "back.caffemodel"
    assert run(out, "safetensors", weights) == 0
    assert main(["import", str(out), "-o", str(back)]) == 0
    other = caffe.Net(str(tmp_path / "back.prototxt"), str(back), caffe.TEST)
    other.blobs["data"].data[...] = net.blobs["data"].data
    np.testing.assert_array_equal(scores(other), scores(net))


def test_the_fiji_plugins_files_segment_as_the_net(tmp_path, net, weights, capsys):
    out = tmp_path / "cells.modeldef.h5"
    assert run(out, "modeldef", weights, "--element-size-um", "0.5") == 0
    model, definition = load_definition(out, tmp_path / "cells.caffemodel.h5")
    model.reshape((188, 188))
    model.net.blobs["data"].data[...] = net.blobs["data"].data
    np.testing.assert_array_equal(model.net.forward()["score"], scores(net))
    assert definition.element_size_um == (0.5, 0.5)
    assert definition.downsample_factor == (4, 4)
    assert "cannot finetune" in capsys.readouterr().err


def test_a_definition_stays_what_it_is(tmp_path, net, weights):
    given, out = tmp_path / "a.modeldef.h5", tmp_path / "b.modeldef.h5"
    assert run(given, "modeldef", weights, "--element-size-um", "0.5") == 0
    assert run(out, "modeldef", weights, model=given) == 0
    assert read_modeldef(out) == read_modeldef(given)


def test_a_definition_needs_a_pixel_size(tmp_path, weights, capsys):
    assert run(tmp_path / "a.modeldef.h5", "modeldef", weights) == 1
    assert "give --element-size-um" in capsys.readouterr().err
    assert not (tmp_path / "a.modeldef.h5").exists()


def test_a_trained_model_brings_its_weights_and_says_what_it_is(
    tmp_path, weights, monkeypatch
):
    entry = Entry(
        name="tiny", what="Cells", licence="BSD-2-Clause", prototxt=str(DEMO),
        folder=tmp_path, file=weights.name, classes=["background", "cell"],
        input=Input(pixel_size_um=0.25, normalisation="mean and deviation"),
    )  # fmt: skip
    monkeypatch.setattr(source, "entries", lambda: {"tiny": entry})
    out = tmp_path / "tiny.modeldef.h5"
    assert main(["export", "tiny", "--to", "modeldef", "-o", str(out)]) == 0
    definition = read_modeldef(out)
    assert definition.name == "tiny"
    assert definition.description == "Cells"
    assert definition.element_size_um == (0.25, 0.25)
    assert definition.normalization_type == 2
    assert definition.class_names == ("background", "cell")


def test_a_model_without_weights_names_those_that_have_some(tmp_path, capsys):
    out = tmp_path / "net.pt"
    assert main(["export", "unet_demo", "--to", "torch", "-o", str(out)]) == 1
    assert "give --weights" in capsys.readouterr().err


LSTM = """layer { name: "x" type: "Input" top: "x" top: "c" input_param {
  shape { dim: 3 dim: 2 dim: 4 } shape { dim: 3 dim: 2 } } }
layer { name: "memory" type: "LSTM" bottom: "x" bottom: "c" top: "y"
  recurrent_param { num_output: 2 } }"""


def test_a_layer_without_counterpart_is_named_and_nothing_is_written(tmp_path, capsys):
    path, weights = tmp_path / "lstm.prototxt", tmp_path / "w.caffemodel"
    path.write_text(LSTM)
    caffe.Net(str(path), caffe.TEST).save(weights)
    assert run(tmp_path / "net.pt", "torch", weights, model=path) == 1
    error = capsys.readouterr().err
    assert "layer 'memory' (LSTM): has no counterpart in torch" in error
    assert not (tmp_path / "net.pt").exists()


POOLED = """layer { name: "x" type: "Input" top: "x"
  input_param { shape { dim: 1 dim: 1 dim: 9 dim: 9 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 1 kernel_size: 1 } }
layer { name: "y" type: "Pooling" bottom: "c" top: "y"
  pooling_param { kernel_size: 2 stride: 3 } }"""


def test_torchscript_of_one_size_says_so(tmp_path, capsys):
    path, weights = tmp_path / "net.prototxt", tmp_path / "w.caffemodel"
    path.write_text(POOLED)
    caffe.Net(str(path), caffe.TEST).save(weights)
    assert run(tmp_path / "net.pt", "torchscript", weights, model=path) == 0
    assert "takes inputs of (1, 1, 9, 9) only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "to", "words"),
    [
        ("net.pt", "onnx", "expected a name *.onnx for --to onnx"),
        ("no/net.pt", "torch", "there is no folder"),
        ("net.h5", "modeldef", "*.modeldef.h5"),
    ],
)
def test_places_that_do_not_fit_are_refused(tmp_path, weights, name, to, words, capsys):
    assert run(tmp_path / name, to, weights) == 1
    assert words in capsys.readouterr().err


def test_weights_that_are_not_there_are_named(tmp_path, capsys):
    assert run(tmp_path / "net.pt", "torch", tmp_path / "no.caffemodel") == 1
    assert "no such file; the model's weights" in capsys.readouterr().err


def test_weights_of_another_net_are_refused(tmp_path, capsys):
    weights = tmp_path / "w.caffemodel"
    weights.write_bytes(b"\x0a\x03abc")
    assert run(tmp_path / "net.pt", "torch", weights) == 1
    assert "no layer in it" in capsys.readouterr().err
