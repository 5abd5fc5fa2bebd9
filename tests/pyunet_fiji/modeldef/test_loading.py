"""Model definitions as nets that segment."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

import caffe
from pyunet.errors import DataError
from pyunet.inference.predict import make_plan
from pyunet_fiji.modeldef import write_modeldef
from pyunet_fiji.modeldef.loading import (
    check_weights,
    load_definition,
    tile_axes,
)
from tests.support import modeldefs
from tests.support.segmenting import segment_array

REFERENCE = Path(__file__).parents[2] / "reference" / "tiled"
ENOUGH = 2**31


@pytest.fixture
def written(tmp_path):
    """Write a definition and weights for it; give the two files."""

    def write(model, *, channels=1):
        path = tmp_path / "model.modeldef.h5"
        write_modeldef(path, model)
        weights = tmp_path / "model.caffemodel.h5"
        return path, modeldefs.random_weights(weights, model, channels=channels)

    return write


@pytest.mark.parametrize("name", ["unet2d", "unet3d"])
def test_scores_are_those_of_the_original(name):
    folder = REFERENCE / name
    model, definition = load_definition(
        folder / "model.modeldef.h5", folder / "weights.caffemodel"
    )
    assert len(model.axes) == definition.dimensions
    with h5py.File(folder / "input_0.h5") as file:
        image = file["data"][0]
    first = next(iter(sorted(folder.glob("out_ntiles*.h5"))), folder / "out_grid.h5")
    with h5py.File(first) as file:
        expected = file["score"][0]
    plan = make_plan(model, image.shape[1:], memory=ENOUGH)
    scores = segment_array(model, image, plan, output=model.output)
    np.testing.assert_allclose(scores, expected, atol=2e-4)


@pytest.mark.parametrize("axes", [2, 3])
def test_tiles_are_those_that_the_layers_need(written, axes):
    model, definition = load_definition(*written(modeldefs.definition(axes=axes)))
    assert model.axes == caffe.geometry(model.net, "data3", "score").axes
    assert tile_axes(definition)[0].smallest == 44


def test_channels_are_those_of_the_weights(written):
    model, _ = load_definition(*written(modeldefs.definition(), channels=3))
    assert model.channels == 3
    assert model.net.blobs["data3"].shape[1] == 3


def test_zeros_surround_the_image_where_the_model_wants_it(tmp_path):
    definition = modeldefs.threshold(padding="zero")
    text = definition.model_prototxt
    write_modeldef(tmp_path / "m.modeldef.h5", definition)
    weights = modeldefs.threshold_weights(tmp_path / "m.caffemodel.h5")
    with h5py.File(weights, "a") as file:  # the left neighbour, not the pixel itself
        kernel = np.zeros((2, 1, 3, 3), np.float32)
        kernel[1, 0, 1, 0] = 1
        file["data/conv_data3-score/0"][...] = kernel
        file["data/conv_data3-score/1"][...] = 0
    image = np.full((1, 2, 5), 7, np.float32)
    left = {}
    for padding in ("mirror", "zero"):
        write_modeldef(tmp_path / "m.modeldef.h5", replace(definition, padding=padding))
        model, _ = load_definition(tmp_path / "m.modeldef.h5", weights)
        plan = make_plan(model, (2, 5), memory=ENOUGH, tile_size=[4])
        left[padding] = segment_array(model, image, plan)[1, 0]
    assert text
    assert left["mirror"].tolist() == [7] * 5
    assert left["zero"].tolist() == [0, 7, 7, 7, 7]


def test_weights_of_another_model_are_refused_by_their_ident(written):
    path, weights = written(modeldefs.definition())
    with h5py.File(weights, "a") as file:
        file[".unet-ident"] = np.bytes_(b"other")
    with pytest.raises(DataError, match=r"weights of the model 'other'.* 'small2d'"):
        load_definition(path, weights)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (modeldefs.threshold(), "hold none of the convolutions"),
        (modeldefs.definition(levels=1), r"no weights for layers 'conv_d2a-b', "),
        (modeldefs.definition(features=6), r"'conv_d0a-b' has weights of shape \(6, 1"),
        (modeldefs.definition(classes=3), r"'conv_u0d-score' .* \(3, 4, 1, 1\)"),
    ],
)
def test_weights_of_another_net_are_refused_with_the_layer(tmp_path, other, said):
    model = modeldefs.definition()
    write_modeldef(tmp_path / "m.modeldef.h5", model)
    if other.ident.startswith("threshold"):
        weights = modeldefs.threshold_weights(tmp_path / "w.caffemodel.h5")
    else:
        weights = modeldefs.random_weights(tmp_path / "w.caffemodel.h5", other)
    with pytest.raises(DataError, match=said):
        load_definition(tmp_path / "m.modeldef.h5", weights)


def test_the_layer_of_the_classes_may_have_other_weights_for_finetuning(tmp_path):
    other = modeldefs.definition(classes=5)
    weights = modeldefs.random_weights(tmp_path / "w.caffemodel.h5", other, channels=2)
    model = modeldefs.definition()
    assert check_weights("m", model, weights, but=["score"]) == 2
    with pytest.raises(DataError, match="conv_u0d-score"):
        check_weights("m", model, weights)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"padding": "wrap"}, "padding 'wrap'; accepted are mirror and zero"),
        ({"model_prototxt": "layers {"}, "its net cannot be read"),
        ({"model_prototxt": "name: 'empty'"}, "hold none of the convolutions"),
        ({"input_blob_name": "other"}, "data3"),
    ],
)
def test_definitions_that_cannot_segment_are_refused(written, changes, said):
    path, weights = written(modeldefs.definition(levels=1))
    write_modeldef(path, modeldefs.definition(levels=1, **changes))
    with pytest.raises(DataError, match=said):
        load_definition(path, weights)


def test_a_net_without_scores_is_refused(tmp_path):
    model = modeldefs.threshold()
    silence = "layer { name: 'hush' type: 'Silence' bottom: 'score' }"
    write_modeldef(
        tmp_path / "m.modeldef.h5",
        replace(model, model_prototxt=f"{model.model_prototxt}\n{silence}"),
    )
    weights = modeldefs.threshold_weights(tmp_path / "w.caffemodel.h5")
    with pytest.raises(DataError, match="gives no scores"):
        load_definition(tmp_path / "m.modeldef.h5", weights)


def test_what_the_loader_itself_refuses_is_one_error(written, monkeypatch):
    path, weights = written(modeldefs.definition(levels=1))

    def refuse(*_, **__):
        raise RuntimeError("torn")

    monkeypatch.setattr(caffe.Net, "copy_from", refuse)
    with pytest.raises(DataError, match="torn"):
        load_definition(path, weights)
