"""The release's tiling, beside its rules written out with numpy."""

import math
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe import Axis
from pyunet.errors import DataError
from pyunet.inference.engine import Model, load_model
from pyunet.inference.resize import resize_to
from pyunet_tracking.frames import Frames
from pyunet_tracking.segmentation import RowTiles, Segmentation, forward_tiles
from tests.support.fake_net import FakeNet, axes_of, layer, unet

UNET = Path(__file__).parents[1] / "reference" / "tiled" / "unet2d"
AXIS = Axis(factor=16, smallest=188, shrink=184, before=92)


def model_of(layers, weights, channels=1):
    found = axes_of(layers, next(iter(weights.values())).ndim - 2)
    shape = (1, channels, *(axis.smallest for axis in found))
    net = FakeNet(layers, "data", shape, weights)
    path = Path("f.prototxt")
    return Model(path, net, "data", "score", channels, found)


def by_the_rules(model, image, count):
    """The release's steps for one image (C, Y, X), without any of our tiling."""
    axis = model.axes[0]
    border, factor, shrink = axis.before, axis.factor, axis.shrink
    height, width = image.shape[1:]
    wanted = (math.ceil(height / count), width)
    size = []
    for n in wanted:
        output = axis.output_of(axis.smallest)
        while output < n:
            output += factor
        size.append(output)
    inputs = [n + shrink for n in size]
    padded = np.pad(image, [(0, 0), (0, 0), (border, border)], mode="reflect")
    padded = np.pad(padded, [(0, 0), (border, border), (0, 0)], mode="reflect")
    model.reshape(tuple(inputs))
    classes = model.net.blobs["score"].shape[1]
    scores = np.full((classes, height, width), np.nan, np.float32)
    for start in range(0, height, size[0]):
        tile = np.zeros((len(image), *inputs), np.float32)
        part = padded[:, start : start + inputs[0], : inputs[1]]
        tile[:, : part.shape[1], : part.shape[2]] = part
        total = 0
        for vertical in (1, -1):
            for horizontal in (1, -1):
                model.net.blobs["data"].data[0] = tile[:, ::vertical, ::horizontal]
                output = model.net.forward()["score"][0]
                total = total + output[:, ::vertical, ::horizontal]
        end = min(start + size[0], height)
        scores[:, start:end] = (total / 4)[:, : end - start, :width]
    return scores


@pytest.mark.parametrize(
    ("image", "count", "tile", "starts"),
    [
        ((520, 696), 2, (444, 892), (0, 260)),
        ((512, 512), 1, (700, 700), (0,)),
        ((512, 512), 3, (364, 700), (0, 180, 360)),
        # 10 rows in 4 tiles: outputs of 4; the fourth would begin below the image.
        ((10, 4), 4, (188, 188), (0, 4, 8)),
    ],
)
def test_tiles_have_the_releases_sizes(image, count, tile, starts):
    tiles = RowTiles.of((AXIS, AXIS), image, count)
    assert (tiles.tile, tiles.starts) == (tile, starts)
    assert tiles.passes == 4 * len(starts)


def test_beyond_the_mirrored_border_a_tile_is_zero():
    tiles = RowTiles.of((AXIS, AXIS), (520, 696), 2)
    image = np.random.default_rng(0).random((1, 520, 696)) + 1
    padded = np.pad(image[0], 92, mode="reflect")
    first, second = (tiles.read(image, start)[0] for start in tiles.starts)
    assert first.shape == (444, 892)
    np.testing.assert_array_equal(first[:, :880], padded[:444])
    np.testing.assert_array_equal(second[:, :880], padded[260:704])
    assert not first[:, 880:].any()
    assert first[:, :880].all()


@settings(max_examples=25)
@given(
    st.integers(8, 30), st.integers(8, 30), st.integers(1, 5), st.integers(0, 2),
    st.integers(0, 99),
)  # fmt: skip
def test_scores_are_those_of_the_rules(height, width, count, levels, seed):
    layers, weights = unet(levels, seed=seed, kernel=3 if levels < 2 else 1)
    model = model_of(layers, weights)
    image = np.random.default_rng(seed).random((1, height, width)).astype(np.float32)
    border = model.axes[0].before
    if min(height, width) <= border:
        return
    expected = by_the_rules(model, image, count)
    tiles = RowTiles.of(model.axes, (height, width), count)
    model.reshape(tiles.tile)
    np.testing.assert_allclose(
        forward_tiles(model, image, tiles), expected, rtol=1e-6, atol=1e-6
    )


def test_the_engine_gives_the_scores_of_the_rules():
    model = load_model(UNET / "deploy.prototxt", UNET / "weights.caffemodel")
    image = np.random.default_rng(3).random((1, 61, 83)).astype(np.float32)
    expected = by_the_rules(model, image, 2)
    tiles = RowTiles.of(model.axes, (61, 83), 2)
    model.reshape(tiles.tile)
    runs = []
    found = forward_tiles(model, image, tiles, done=lambda: runs.append(1))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len(runs) == tiles.passes == 8


def test_images_smaller_than_the_border_are_mirrored_more_than_once():
    layers, weights = unet(2, seed=4)
    model = model_of(layers, weights)
    tiles = RowTiles.of(model.axes, (5, 3), 1)
    model.reshape(tiles.tile)
    image = np.random.default_rng(0).random((1, 5, 3)).astype(np.float32)
    border = model.axes[0].before
    expected = np.pad(image[0], border, mode="reflect")
    read = tiles.read(image, 0)[0]
    np.testing.assert_array_equal(read[: 5 + 2 * border, : 3 + 2 * border], expected)
    assert np.isfinite(forward_tiles(model, image, tiles)).all()


def test_volumes_are_cut_and_mirrored_in_rows_and_columns_only():
    layers, weights = unet(1, axes=3, kernel=(1, 3, 3), pool=(1, 2, 2))
    model = model_of(layers, weights)
    image = np.random.default_rng(0).random((1, 3, 24, 20)).astype(np.float32)
    tiles = RowTiles.of(model.axes, (3, 24, 20), 2)
    model.reshape(tiles.tile)
    whole = forward_tiles(model, image, tiles)
    flat, plain = unet(1, kernel=3, pool=2)
    planes = model_of(
        flat, {name: w.reshape(plain[name].shape) for name, w in weights.items()}
    )
    cut = RowTiles.of(planes.axes, (24, 20), 2)
    planes.reshape(cut.tile)
    for z in range(3):
        expected = forward_tiles(planes, image[:, z], cut)
        np.testing.assert_allclose(whole[:, z], expected, rtol=1e-5, atol=1e-5)


def test_less_than_one_tile_is_refused():
    with pytest.raises(DataError, match="0 tiles: expected at least 1"):
        RowTiles.of((AXIS, AXIS), (50, 50), 0)


def test_a_net_that_is_not_symmetric_is_refused():
    odd = Axis(factor=1, smallest=2, shrink=1, before=0)
    with pytest.raises(DataError, match="more pixels at one end"):
        RowTiles.of((odd, odd), (50, 50), 1)


class TestSegmentation:
    """Steps 1 to 5 on a net that gives the image back."""

    @pytest.fixture
    def model(self):
        identity = [layer("Convolution", ["data"], "score")]
        weights = {"score": np.array([[[[1.0]]], [[[-1.0]]]], np.float32)}
        return model_of(identity, weights)

    @pytest.fixture
    def frames(self, tmp_path):
        rng = np.random.default_rng(0)
        for index in range(3):
            image = rng.integers(10, 250, (20, 26)).astype(np.uint8)
            tifffile.imwrite(tmp_path / f"t{index:03d}.tif", image)
        return Frames.of(tmp_path)

    def test_plain_frames_are_scaled_by_their_type(self, model, frames):
        scores = Segmentation.of(model, frames).scores(1)
        grey = tifffile.imread(frames.paths[1]).astype(np.float32) / 255
        np.testing.assert_allclose(scores, [grey, -grey], rtol=1e-6)

    def test_frames_are_normalised_before_they_are_resized(self, model, frames):
        work = Segmentation.of(model, frames, normalise=True, scale=0.5)
        stack = np.stack([tifffile.imread(path) for path in frames.paths]) / 255
        stack = (stack - stack.min()) / np.ptp(stack)
        frame = stack[2] - np.median(stack[2])
        small = resize_to(frame, (10, 13))
        assert work.image(2).dtype == np.float32
        np.testing.assert_allclose(work.image(2)[0], small, atol=1e-6)
        back = resize_to(small.astype(np.float32), (20, 26))
        np.testing.assert_allclose(work.scores(2)[0], back, atol=1e-6)
        assert work.tiles.image == (10, 13)
        assert work.classes == 2

    def test_other_channels_are_refused(self, model, frames):
        grey = Frames(frames.paths, (3, 20, 26))
        with pytest.raises(DataError, match=r"has 3 channel\(s\); the net f.prototxt"):
            Segmentation.of(model, grey)

    @pytest.mark.parametrize("scale", [0, -2, np.nan])
    def test_a_scale_that_is_not_above_0_is_refused(self, model, frames, scale):
        with pytest.raises(DataError, match="expected factors above 0"):
            Segmentation.of(model, frames, scale=scale)
