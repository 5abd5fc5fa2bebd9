"""Weights that lack a layer of the net end every verb that computes an answer."""

import numpy as np
import pytest
import tifffile

import caffe
import pyunet
from caffe.proto import caffe_pb2
from pyunet.cli import main
from pyunet.errors import DataError
from pyunet.inference.engine import load_model
from pyunet.zoo import manifest
from pyunet.zoo.cache import CACHE
from tests.support.listed_models import table

NET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 1 dim: 16 dim: 16 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "msra" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
layer { name: "relu" type: "ReLU" bottom: "bn" top: "bn" }
layer { name: "score" type: "Convolution" bottom: "bn" top: "score"
  convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "msra" } } }
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "deploy.prototxt").write_text(NET)
    (tmp_path / "images").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "train.log").write_text(
        "I1122 14:44:32.0 1 solver.cpp:229] Iteration 0 (9 iter/s, 0.1s/1 iters), "
        "loss = 2\n"
    )
    for number in range(2):
        image = np.arange(256, dtype=np.uint8).reshape(16, 16)
        tifffile.imwrite(tmp_path / "images" / f"t{number:03d}.tif", image)
    return tmp_path


def lacking(folder, layer):
    """Write weights of the net without one layer."""
    net = caffe.Net("net/deploy.prototxt", caffe.TEST)
    whole, cut = net.to_proto(), caffe_pb2.NetParameter()
    cut.layer.extend(one for one in whole.layer if one.name != layer)
    (folder / "w.caffemodel").write_bytes(cut.SerializeToString())
    return folder / "w.caffemodel"


VERBS = {
    "segment": "segment --model net --weights w.caffemodel --out out images/t000.tif",
    "segment-and-track": (
        "segment-and-track images out --model net --weights w.caffemodel"
    ),
    "export": "export net --weights w.caffemodel --to caffe -o a.caffemodel",
    "report": "report run --model net --weights w.caffemodel -o out/report.html",
}


@pytest.mark.parametrize("layer", ["conv", "bn", "score"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_names_the_layer_that_has_no_weights(folder, capsys, verb, layer):
    lacking(folder, layer)
    assert main(VERBS[verb].split()) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith(f"pyunet {verb}: ")
    assert f"w.caffemodel: no weights for layer '{layer}'" in last
    assert not [*folder.glob("out/*"), *folder.glob("a.*")]


def test_layers_without_parameters_need_no_weights(folder):
    lacking(folder, "relu")
    assert load_model("net/deploy.prototxt", "w.caffemodel").channels == 1


def test_a_layer_of_another_shape_is_named_with_both_shapes(folder):
    weights = lacking(folder, "nothing")
    (folder / "net" / "deploy.prototxt").write_text(
        NET.replace("num_output: 2", "num_output: 5")
    )
    with pytest.raises(DataError) as caught:
        load_model("net/deploy.prototxt", weights)
    assert str(caught.value) == (
        f"{weights}: layer 'score' has weights of shape (2, 3, 1, 1), the net "
        "(5, 3, 1, 1); layer 'score' has weights of shape (2,), the net (5,); expected "
        "weights for every layer of the net"
    )


def test_a_listed_model_whose_weights_lack_a_layer_is_refused(folder, monkeypatch):
    weights = lacking(folder, "score")
    weights.rename(folder / "net" / "net.caffemodel")
    (folder / "net" / "list.toml").write_text(table("odd", file="net.caffemodel"))
    monkeypatch.setenv(CACHE, str(folder / "cache"))
    monkeypatch.setattr(manifest, "package_manifest", lambda: folder / "net/list.toml")
    with pytest.raises(DataError, match="no weights for layer 'score'"):
        pyunet.load("odd")
