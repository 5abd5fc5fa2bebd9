"""Building the net of a model definition."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from pyunet.errors import DataError
from pyunet_fiji.backend.errors import CheckFailedError
from pyunet_fiji.backend.nets import TileNet
from pyunet_fiji.modeldef import read_modeldef
from pyunet_fiji.modeldef.nets import deploy_text
from tests.support.stored import load_arrays
from tests.support.tiled_nets import geometry, layer, model, tile_net

UNET = Path(__file__).parents[2] / "reference" / "tiled" / "unet2d"


def test_outputs_are_all_blobs_that_nobody_takes_in_alphabetical_order():
    net = tile_net(model(outputs=("score", "also", "Zed")))
    assert net.outputs == ["Zed", "also", "score"]
    assert net.classes((2, 2)) == {"Zed": 2, "also": 2, "score": 2}
    assert sorted(net.forward()) == net.outputs


@pytest.mark.parametrize("by_file", [False, True])
def test_weights_are_loaded_whatever_the_system_offers(by_file, monkeypatch, tmp_path):
    if by_file:
        monkeypatch.delattr(os, "memfd_create", raising=False)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    definition = read_modeldef(UNET / "model.modeldef.h5")
    expected = load_arrays(UNET / "forward.npz")
    net = TileNet(definition, str(UNET / "weights.caffemodel.h5"), 1, (60, 60))
    net.tile[...] = expected["data"][0]
    np.testing.assert_allclose(
        net.forward()["score"], expected["score"][0], rtol=1e-4, atol=1e-4
    )
    assert not list(tmp_path.iterdir())


def test_a_text_that_does_not_parse_is_a_failed_check():
    definition = geometry((2, 2), (4, 4), (-12, -12), model_prototxt="layer { oops }")
    with pytest.raises(CheckFailedError, match=r"^Could not parse prototxt"):
        TileNet(definition, "", 1, (18, 18))


def test_an_unknown_field_is_a_failed_check():
    text = 'layer { name: "x" type: "ReLU" unknown_param { } }'
    definition = geometry((2, 2), (4, 4), (-12, -12), model_prototxt=text)
    with pytest.raises(CheckFailedError, match="unknown_param"):
        TileNet(definition, "", 1, (18, 18))


def test_an_error_names_the_models_text_and_no_passing_file(monkeypatch):
    text = layer("Nonsense", "data3", "score")
    definition = geometry((2, 2), (4, 4), (-12, -12), model_prototxt=text)
    with pytest.raises((DataError, ValueError)) as caught:
        TileNet(definition, "", 1, (18, 18))
    assert "Nonsense" in str(caught.value)
    assert "/proc" not in str(caught.value)


def test_weights_that_are_not_there_are_the_engines_error():
    with pytest.raises(ValueError, match=r"nowhere\.caffemodel\.h5"):
        TileNet(model(), "nowhere.caffemodel.h5", 1, (18, 18))


def test_tiles_of_another_shape_keep_the_weights():
    net = tile_net(model())
    before = [blob.data.copy() for blobs in net.net.params.values() for blob in blobs]
    net.reshape((26, 22))
    assert net.classes((10, 6)) == {"score": 2}
    assert net.tile.shape == (1, 26, 22)
    after = [blob.data for blobs in net.net.params.values() for blob in blobs]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_output_of_another_shape_than_the_model_says_is_refused():
    with pytest.raises(CheckFailedError, match=r"'score' has shape \(1, 2, 2, 2\)"):
        tile_net(model()).classes((4, 4))


def test_a_net_without_outputs_is_refused():
    text = 'layer { name: "s" type: "Silence" bottom: "data3" }'
    definition = geometry((2, 2), (4, 4), (-12, -12), model_prototxt=text)
    net = TileNet(definition, "", 1, (18, 18))
    with pytest.raises(CheckFailedError, match="no output"):
        net.classes((2, 2))


def test_weights_for_other_channels_are_taken_with_a_warning(said):
    definition = read_modeldef(UNET / "model.modeldef.h5")
    net = TileNet(definition, str(UNET / "weights.caffemodel.h5"), 3, (60, 60))
    assert net.tile.shape == (3, 60, 60)
    (warning,) = [line for line in said() if "Warning" in line]
    assert warning.startswith("W")
    assert "3 channel(s)" in warning
    assert "conv_d0a-b" in warning
    assert "differ from run to run" in warning


def test_weights_that_fit_bring_no_warning(said, tmp_path):
    net = tile_net(model())
    path = tmp_path / "weights.caffemodel.h5"
    net.net.save_hdf5(str(path))
    with h5py.File(path, "a") as file:
        file["data/another/0"] = np.zeros(3, np.float32)
    TileNet(model(), str(path), 1, (18, 18))
    assert not [line for line in said() if "Warning" in line]


@pytest.fixture
def without_scores(tmp_path):
    """Weights of `model()` that lack the layer of the scores."""
    path = tmp_path / "weights.caffemodel.h5"
    tile_net(model()).net.save_hdf5(str(path))
    with h5py.File(path, "a") as file:
        del file["data/Convolution_score"]
    return str(path)


def test_weights_that_lack_a_layer_are_a_failed_check(without_scores):
    with pytest.raises(CheckFailedError) as caught:
        TileNet(model(), without_scores, 1, (18, 18))
    assert str(caught.value) == (
        f"{without_scores} has no weights for 1 layer(s) of the model: "
        "'Convolution_score'; expected weights for all of them"
    )


def test_a_layer_that_is_to_be_trained_is_only_warned_of(said, without_scores):
    TileNet(model(), without_scores, 1, (18, 18), complete=False)
    (warning,) = [line for line in said() if "Warning" in line]
    assert warning.startswith("W")
    assert "no weights for 1 layer(s) of the model: 'Convolution_score'" in warning


def test_the_name_of_the_input_may_hold_any_character():
    name = 'data "3"'
    text = deploy_text(
        geometry((2, 2), (4, 4), (-12, -12), input_blob_name=name), 1, (18, 18)
    )
    from google.protobuf import text_format

    from caffe.proto import caffe_pb2

    message = text_format.Parse(text, caffe_pb2.NetParameter())
    assert message.layer[0].name == message.layer[0].top[0] == name
    assert list(message.layer[0].input_param.shape[0].dim) == [1, 1, 18, 18]
