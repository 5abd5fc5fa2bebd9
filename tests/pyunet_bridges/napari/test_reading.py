"""Readers of training tiles and of results, with the real napari and without."""

import h5py
import numpy as np
import pytest
import tifffile

from pyunet.data.hdf5 import write_training_set
from pyunet.data.training_set import Sample
from pyunet.errors import DataError
from pyunet.inference.outputs import Outputs
from pyunet_bridges.napari.reading import (
    read_results,
    read_training_tiles,
    results_reader,
    training_tiles_reader,
)
from pyunet_bridges.napari.sample import synthetic_layers
from tests.support.segmenting import write_stacks


@pytest.fixture
def tiles(tmp_path):
    """Two tiles of 20 pixels whose labels have 12."""
    rng = np.random.default_rng(0)
    samples = [
        Sample(
            rng.random((1, 20, 20), np.float32),
            rng.integers(0, 2, (1, 12, 12)).astype(np.uint8),
            rng.random((1, 12, 12), np.float32),
        )
        for _ in range(2)
    ]
    write_training_set(samples, 2, tmp_path)
    return tmp_path / "train_000.h5", samples


@pytest.fixture
def results(tmp_path):
    scores = np.random.default_rng(0).random((3, 2, 8, 9)).astype(np.float32)
    places = Outputs.of(tmp_path, "cells")
    write_stacks(places, iter(scores), scores.shape)
    return places, scores


def test_labels_and_weights_lie_over_the_middle_of_their_images(tiles):
    path, samples = tiles
    layers = training_tiles_reader(str(path))(str(path))
    assert [(settings["name"], kind) for _, settings, kind in layers] == [
        ("train_000", "image"), ("train_000 label", "labels"),
        ("train_000 weights", "image"),
    ]  # fmt: skip
    image, labels, weights = (array for array, _, _ in layers)
    np.testing.assert_allclose(image, [s.data[0] for s in samples], atol=1e-3)
    np.testing.assert_array_equal(labels, [s.label[0] for s in samples])
    np.testing.assert_allclose(weights, [s.weights[0] for s in samples], atol=1e-3)
    assert [settings.get("translate") for _, settings, _ in layers] == [
        None, [0, 4, 4], [0, 4, 4],
    ]  # fmt: skip


def test_each_channel_is_a_layer_and_files_of_the_plugin_are_read(tmp_path):
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["data"] = np.arange(2 * 2 * 16).reshape(2, 2, 4, 4)
        file["labels"] = np.ones((2, 1, 4, 4), np.float32)
    layers = read_training_tiles([str(tmp_path / "t.h5")])
    names = [settings["name"] for _, settings, _ in layers]
    assert names == ["t channel 0", "t channel 1", "t labels"]
    assert layers[1][0][0, 0].tolist() == [16, 17, 18, 19]
    assert layers[2][0].dtype == int


def test_leaves_other_files_to_others(tmp_path):
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file.create_group("data")
    (tmp_path / "none.h5").write_bytes(b"nothing")
    assert training_tiles_reader(str(tmp_path / "weights.h5")) is None
    assert training_tiles_reader(str(tmp_path / "none.h5")) is None
    with pytest.raises(DataError, match=r"none\.h5: cannot be read"):
        read_training_tiles(str(tmp_path / "none.h5"))


def test_results_become_labels_and_hidden_scores(results):
    places, scores = results
    assert results_reader(str(places.labels)) is read_results
    ((labels, _, kind),) = read_results(str(places.labels))
    assert kind == "labels"
    np.testing.assert_array_equal(labels, scores.argmax(axis=1))
    layers = read_results(str(places.scores))
    assert [settings["visible"] for _, settings, _ in layers] == [False, False]
    np.testing.assert_array_equal(layers[1][0], scores[:, 1])


def test_a_single_slice_has_two_axes(tmp_path):
    tifffile.imwrite(tmp_path / "a_labels.tif", np.eye(4, dtype=np.uint8))
    assert read_results(str(tmp_path / "a_labels.tif"))[0][0].shape == (4, 4)


def test_sample_data_are_images_and_their_truth():
    (images, _, _), (truth, _, kind) = synthetic_layers()
    assert images.shape == truth.shape
    assert kind == "labels"
    assert np.unique(truth).tolist() == [0, 1]
    assert images[truth == 1].mean() > images[truth == 0].mean()


@pytest.mark.filterwarnings("ignore")  # of napari's, see test_widget.py
class TestInNapari:
    def test_opens_tiles_results_and_sample_data(self, napari, layers, tiles, results):
        layers.open(str(tiles[0]), plugin="pyunet")
        layers.open(str(results[0].labels), plugin="pyunet")
        layers.open_sample("pyunet", "synthetic")
        assert [type(one).__name__ for one in layers.layers] == [
            "Image", "Labels", "Image", "Labels", "Image", "Labels",
        ]  # fmt: skip
        np.testing.assert_array_equal(layers.layers[1].translate, [0, 4, 4])

    def test_the_manifest_is_valid_and_all_that_it_names_is_there(self, napari):
        import npe2

        import pyunet_bridges.napari

        manifest = npe2.PluginManager.instance().get_manifest("pyunet")
        manifest.validate_imports()
        assert {command.id for command in manifest.contributions.commands} == {
            "pyunet.read_training_tiles", "pyunet.read_results", "pyunet.segment",
            "pyunet.synthetic",
        }  # fmt: skip
        assert pyunet_bridges.napari.__doc__
