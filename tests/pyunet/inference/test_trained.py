"""One line gives the scores of an image."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import pyunet
from pyunet.errors import DataError
from pyunet.zoo import manifest
from pyunet.zoo.cache import CACHE
from pyunet_fiji.modeldef import write_modeldef
from tests.support.listed_models import table, write_threshold_net
from tests.support.modeldefs import threshold, threshold_weights


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Load the threshold net, with what a list says of it."""
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    path = tmp_path / "weights" / "manifest.toml"
    monkeypatch.setattr(manifest, "package_manifest", lambda: path)

    def made(inputs="", channels=1, **values):
        write_threshold_net(path.parent, channels=channels)
        values = {"file": "net.caffemodel", **values}
        path.write_text(table("bright", inputs=inputs, **values))
        return pyunet.load("bright")

    made.folder = path.parent
    return made


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (30, 40), np.uint8)


def test_scores_are_those_of_the_net(load, image):
    scores = load()(image)
    assert (scores.dtype, scores.shape) == (np.float32, (2, 30, 40))
    np.testing.assert_allclose(scores[1], image / 255 - 0.5, atol=1e-6)
    np.testing.assert_allclose(scores[0], 0.5 - image / 255, atol=1e-6)


def test_labels_are_the_most_likely_classes(load, image):
    model = load()
    assert model.classes == ("dark", "bright")
    labels = model.labels(image)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, image > 127)


@pytest.mark.parametrize("average", ["", "mirror", "all"])
def test_averaging_of_a_net_without_directions_changes_nothing(load, image, average):
    scores = load(average=average)(image)
    np.testing.assert_allclose(scores[1], image / 255 - 0.5, atol=1e-6)


def test_several_images_are_given_by_their_own_axis(load, image):
    model = load()
    both = np.stack([image, image[::-1]])[:, None]
    scores = model(both)
    assert scores.shape == (2, 2, 30, 40)
    np.testing.assert_array_equal(scores[1], model(image[::-1]))
    np.testing.assert_array_equal(model.labels(both), both[:, 0] > 127)
    np.testing.assert_array_equal(model(image[None]), scores[0])


def test_colour_of_equal_channels_is_that_grey(load, image):
    scores = load()(np.stack([image] * 3))
    np.testing.assert_allclose(scores[1], image / 255 - 0.5, atol=1e-6)


def test_a_mask_is_black_and_white(load, image):
    np.testing.assert_allclose(load()(image > 99)[1], (image > 99) - 0.5, atol=1e-6)


@pytest.mark.parametrize("size", [0.25, (0.25, 0.25)])
def test_scores_come_back_to_the_images_own_pixels(load, image, size):
    model = load("pixel_size_um = 0.5")
    assert model.pixel_size_um == (0.5, 0.5)
    smooth = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (30, 1))
    scores = model(smooth, pixel_size_um=size)
    assert scores.shape == (2, 30, 40)
    np.testing.assert_allclose(scores[1], smooth / 255 - 0.5, atol=0.03)


def test_a_definition_says_its_own_pixel_size(load, image):
    load()
    definition = threshold(normalization_type=0)
    write_modeldef(load.folder / "d.modeldef.h5", definition)
    threshold_weights(load.folder / "d.caffemodel.h5", border=100)
    model = load(file="d.caffemodel.h5", definition="d.modeldef.h5", prototxt="")
    assert model.pixel_size_um == definition.element_size_um
    np.testing.assert_array_equal(model.labels(image), image > 100)
    half = tuple(2 * size for size in definition.element_size_um)
    assert model(image, pixel_size_um=half).shape == (2, 30, 40)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((5,), "accepted are YX, CYX and NCYX"),
        ((1, 1, 1, 5, 5), "accepted are YX, CYX and NCYX"),
        ((0, 5), "accepted are YX"),
        ((30, 5, 5), r"axis C has 30; a stack of grey images is stack\[:, None\]"),
    ],
)
def test_other_axes_are_refused(load, shape, said):
    with pytest.raises(DataError, match=said):
        load()(np.zeros(shape, np.uint8))


def test_what_is_no_number_is_refused(load):
    with pytest.raises(DataError, match="accepted are numbers"):
        load()(np.array([["a"]]))


@pytest.mark.parametrize("size", [0, -1, (1, 1, 1), float("nan")])
def test_other_pixel_sizes_are_refused(load, image, size):
    with pytest.raises(DataError, match="accepted are one number above 0, or 2"):
        load("pixel_size_um = 1")(image, pixel_size_um=size)


def test_a_list_that_does_not_fit_its_net_is_refused(load):
    with pytest.raises(DataError, match=r"takes 2 channel\(s\), its list says 1"):
        load(channels=2)


def test_importing_the_package_loads_no_numpy():
    import subprocess
    import sys

    code = "import sys, pyunet; print('numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_threads_that_share_a_model_get_their_own_scores(load):
    model = load()
    images = [np.full((30, 40), value, np.uint8) for value in range(0, 240, 5)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(model, images))
    for image, scores in zip(images, found, strict=True):
        np.testing.assert_allclose(scores[1], image / 255 - 0.5, atol=1e-6)
