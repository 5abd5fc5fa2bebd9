"""Models loaded with the engine; expected values are the original Caffe's."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from pyunet.errors import DataError
from pyunet.inference.engine import choose_computation, load_model
from pyunet.inference.predict import make_plan
from pyunet.inference.tiling import fixed_tiles
from tests.support.segmenting import segment_array

REFERENCE = Path(__file__).parents[2] / "reference" / "tiled"
UNET = REFERENCE / "unet2d"
PROTOTXT = Path(__file__).parents[3] / "prototxt"
PLENTY = 10**12


def load(name="unet2d", ending="caffemodel"):
    folder = REFERENCE / name
    return load_model(folder / "deploy.prototxt", folder / f"weights.{ending}")


def written(name, file, dataset):
    with h5py.File(REFERENCE / name / file) as content:
        return content[dataset][0]


@pytest.mark.parametrize("ending", ["caffemodel", "caffemodel.h5"])
@pytest.mark.parametrize(
    ("name", "result"), [("unet2d", "out_ntiles4.h5"), ("unet3d", "out_tile.h5")]
)
def test_scores_are_those_of_the_original_for_every_tiling(name, result, ending):
    model = load(name, ending)
    image = written(name, "input_0.h5", "data")
    expected = written(name, result, "score")
    sizes = [[4], [8], [20], image.shape[1:]]
    plans = [fixed_tiles(image.shape[1:], model.axes, size) for size in sizes]
    assert len({len(plan) for plan in plans}) > 2
    for plan in [*plans, make_plan(model, image.shape[1:], memory=PLENTY)]:
        scores = segment_array(model, image, plan)
        np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)


def test_one_tile_of_the_deploy_size_is_one_forward_of_the_original():
    model = load()
    with np.load(UNET / "forward.npz") as stored:
        data, score = stored["data"], stored["score"]
    model.reshape((60, 60))
    model.net.blobs["data"].data[...] = data
    np.testing.assert_allclose(model.net.forward()["score"], score, atol=1e-5)


def test_another_blob_can_be_asked_for():
    model = load()
    image = written("unet2d", "input_0.h5", "data")
    plan = fixed_tiles(image.shape[1:], model.axes, [20])
    assert segment_array(model, image, plan, output="u0d").shape == (4, 61, 83)


def test_softmax_gives_probabilities():
    model = load()
    image = written("unet2d", "input_0.h5", "data")
    plan = fixed_tiles(image.shape[1:], model.axes, [40])
    scores = segment_array(model, image, plan)
    shares = segment_array(model, image, plan, softmax=True)
    exponentials = np.exp(scores.astype(np.float64))
    expected = exponentials / exponentials.sum(axis=0)
    np.testing.assert_allclose(shares, expected, atol=1e-6)


def test_the_engine_says_how_much_memory_a_tile_takes():
    model = load()
    small, large = model.activation_bytes((60, 60)), model.activation_bytes((124, 124))
    model.reshape((124, 124))
    blobs = sum(np.prod(b.shape) for b in model.net.blobs.values())
    assert 0 < small < large < 4 * blobs


def test_a_net_that_ends_in_a_softmax_gives_probabilities(tmp_path):
    text = (UNET / "deploy.prototxt").read_text()
    text += 'layer { name: "prob" type: "Softmax" bottom: "score" top: "prob" }'
    (tmp_path / "deploy.prototxt").write_text(text)
    model = load_model(tmp_path / "deploy.prototxt", UNET / "weights.caffemodel")
    assert model.output == "prob"
    assert model.gives_probabilities
    assert not load().gives_probabilities


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'layer { name: "i" type: "Input" top: "a" top: "b" '
            "input_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } } }",
            r"has inputs \['a', 'b'\]",
        ),
        (
            'layer { name: "i" type: "Input" top: "a" '
            "input_param { shape { dim: 1 dim: 4 } } } "
            'layer { name: "r" type: "ReLU" bottom: "a" top: "b" }',
            r"blob 'a' has shape \(1, 4\)",
        ),
        (
            'layer { name: "i" type: "Input" top: "a" '
            "input_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } } } "
            'layer { name: "p" type: "Pooling" bottom: "a" top: "b" '
            "pooling_param { kernel_size: 2 stride: 2 } }",
            "one pixel for 2 pixels",
        ),
    ],
)
def test_a_net_that_is_not_for_images_is_refused_by_name(tmp_path, text, message):
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        load_model(path, UNET / "weights.caffemodel")
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("missing", ["deploy", "weights"])
def test_a_missing_file_is_named(missing):
    paths = {"deploy": UNET / "deploy.prototxt", "weights": UNET / "weights.caffemodel"}
    paths[missing] = Path("nowhere") / "file"
    with pytest.raises(DataError, match=r"nowhere/file: no such file"):
        load_model(**paths)


class TestChoosesHowNetsCompute:
    def test_the_engine_itself_computes_in_bfloat16(self):
        model = load()
        image = written("unet2d", "input_0.h5", "data")
        plan = fixed_tiles(image.shape[1:], model.axes, [20])
        exact = segment_array(model, image, plan)
        try:
            choose_computation(precision="bf16")
            rounded = segment_array(model, image, plan)
        finally:
            choose_computation()
        assert rounded.dtype == np.float32
        error = np.abs(rounded - exact).max() / np.abs(exact).max()
        assert 1e-4 < error < 0.1


def test_small_tiles_cost_more_than_their_multiply_adds():
    model = load()
    tile = tuple(axis.smallest for axis in model.axes)
    weights = sum(np.prod(b.shape) for bs in model.net.params.values() for b in bs)
    overhead = model.work(tile) - model.multiply_adds(tile)
    assert overhead == 80 * weights + 300_000_000
