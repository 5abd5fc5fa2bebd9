"""Any tiling gives the scores of one big tile."""

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyunet.errors import DataError
from pyunet.inference.engine import Model, load_model
from pyunet.inference.predict import make_plan, segment_parts
from pyunet.inference.tiling import Plan, fixed_tiles, tile_sizes
from tests.support.fake_net import FakeNet, axes_of, layer, unet
from tests.support.segmenting import segment_array, segment_arrays

PLENTY = 10**12


def fake_model(axes=2, **settings):
    layers, weights = unet(axes=axes, **settings)
    found = axes_of(layers, axes)
    shape = (1, 1, *(axis.smallest for axis in found))
    net = FakeNet(layers, "data", shape, weights)
    return Model(Path("f.prototxt"), net, "data", "score", 1, found)


def random_image(shape, seed=0):
    return np.random.default_rng(seed).random((1, *shape)).astype(np.float32)


@st.composite
def cases(draw):
    kernel, pad = draw(st.sampled_from([(1, 0), (3, 0), (3, 1), ((3, 5), 1)]))
    settings = {
        "levels": draw(st.integers(0, 2)),
        "kernel": kernel,
        "pad": pad,
        "pool": draw(st.sampled_from([2, 3, (1, 2)])),
        "seed": draw(st.integers(0, 9)),
    }
    model = fake_model(**settings)
    image = (draw(st.integers(1, 30)), draw(st.integers(1, 30)))
    tile = tuple(
        draw(st.sampled_from(tile_sizes(a, n)))
        for a, n in zip(model.axes, image, strict=True)
    )
    return model, Plan(model.axes, image, tile)


@settings(max_examples=40)
@given(cases())
def test_any_tiling_of_any_net_gives_the_scores_of_one_big_tile(case):
    model, plan = case
    image = random_image(plan.image)
    whole = fixed_tiles(plan.image, model.axes, plan.image)
    assert len(whole) == 1
    np.testing.assert_allclose(
        segment_array(model, image, plan),
        segment_array(model, image, whole),
        rtol=1e-5, atol=1e-5,
    )  # fmt: skip


def test_any_tiling_of_a_volume_gives_the_scores_of_one_big_tile():
    model = fake_model(axes=3, levels=1, kernel=(1, 3, 3), pool=(1, 2, 2))
    image = random_image((3, 14, 11))
    whole = segment_array(model, image, fixed_tiles((3, 14, 11), model.axes, [14]))
    parts = fixed_tiles((3, 14, 11), model.axes, [1, 4, 6])
    assert len(parts) > 6
    np.testing.assert_allclose(
        segment_array(model, image, parts), whole, rtol=1e-5, atol=1e-5
    )
    assert whole.shape == (3, 3, 14, 11)


def test_one_tile_is_the_net_on_the_mirrored_image():
    model = fake_model(levels=1)
    image = random_image((8, 10))
    plan = fixed_tiles((8, 10), model.axes, (8, 10))
    border = model.axes[0].before
    padded = np.pad(image, [(0, 0), *[(border, 40)] * 2], mode="reflect")
    net = model.net
    model.reshape(plan.tile)
    net.blobs["data"].data[0] = padded[:, : plan.tile[0], : plan.tile[1]]
    expected = net.forward()["score"][0, :, :8, :10].copy()
    np.testing.assert_array_equal(segment_array(model, image, plan), expected)


def test_the_net_runs_once_a_tile():
    model = fake_model()
    plan = fixed_tiles((50, 50), model.axes, [16])
    segment_array(model, random_image((50, 50)), plan)
    assert model.net.forwards == len(plan) == 9


def test_less_memory_gives_smaller_tiles_and_the_same_scores():
    model = fake_model(channels=8)
    image = random_image((120, 120))
    large = make_plan(model, (120, 120), memory=PLENTY)
    biggest = model.activation_bytes(large.tile)
    small = make_plan(model, (120, 120), memory=98 * 2**20 + biggest // 3)
    assert len(large) == 1
    assert len(small) > 1
    assert model.activation_bytes(small.tile) < 2 * 2**20 + biggest // 3
    np.testing.assert_allclose(
        segment_array(model, image, small),
        segment_array(model, image, large),
        rtol=1e-5, atol=1e-5,
    )  # fmt: skip


def test_what_is_held_already_leaves_less_for_tiles():
    model = fake_model(channels=8)
    memory = 120 * 2**20
    free = make_plan(model, (120, 120), memory=memory)
    crowded = make_plan(model, (120, 120), memory=memory, held=22 * 2**20)
    assert len(free) == 1
    assert len(crowded) > 1


def test_the_plan_counts_the_multiply_adds_of_every_convolution():
    # levels=0: a 3x3 convolution 1 -> 2 and the 3x3 score 2 -> 3 of smallest 3.
    model = fake_model(levels=0)
    tile = (12, 7)
    expected = 10 * 5 * 2 * 1 * 9 + 10 * 5 * 3 * 2 * 1
    assert model.multiply_adds(tile) == expected


def test_a_wanted_tile_that_does_not_fit_is_refused_with_what_it_needs():
    model = fake_model()
    with pytest.raises(DataError, match=r"a tile of \d+x\d+ needs \d+M, the limit is"):
        make_plan(model, (50, 50), memory=1, tile_size=[16])


def test_a_net_with_other_shapes_than_its_layers_explain_is_refused():
    model = fake_model(levels=1)
    plan = fixed_tiles((8, 8), model.axes, [8])
    surprising = FakeNet([layer("ReLU", ["data"], "a")], "data", (1, 1, 10, 10), {})
    broken = Model(model.deploy, surprising, "data", "a", 1, model.axes)
    with pytest.raises(DataError, match="which its layers do not explain"):
        segment_array(broken, random_image((8, 8)), plan)


class TestParts:
    """Images of any size, tile by tile: the same scores, and never a whole image."""

    def windows(self, image, asked=None):
        def read(at):
            if asked is not None:
                asked.append(tuple(s.stop - s.start for s in at))
            return image[(slice(None), *at)]

        return read

    def test_a_volume_is_given_slice_by_slice(self):
        model = fake_model(axes=3, levels=1, kernel=(1, 3, 3), pool=(1, 2, 2))
        image = random_image((3, 14, 11))
        plan = fixed_tiles((3, 14, 11), model.axes, [2, 4, 6])
        expected = segment_array(model, image, plan)
        parts = segment_parts(model, iter([self.windows(image)]), plan, total=1)
        found = np.full((3, 3, 14, 11), np.nan, np.float32)
        for plane in (plane for part in parts for plane in part.planes()):
            found[(plane.image, slice(None), *plane.target)] = plane.scores
        np.testing.assert_array_equal(found, expected.swapaxes(0, 1))

    def test_no_more_is_read_than_a_tile(self):
        model, asked = fake_model(), []
        image = random_image((90, 100))
        plan = fixed_tiles((90, 100), model.axes, [16])
        for _ in segment_parts(
            model, iter([self.windows(image, asked)]), plan, total=1
        ):
            pass
        assert len(asked) == len(plan) > 20
        assert all(extent <= plan.tile for extent in asked)

    def test_the_next_tiles_are_read_while_the_net_computes(self):
        model, asked = fake_model(), []
        image = random_image((90, 100))
        plan = fixed_tiles((90, 100), model.axes, [16])
        parts = segment_parts(model, iter([self.windows(image, asked)]), plan, total=1)
        next(parts)
        patience = 200
        while len(asked) == 1 and patience:  # the reader is a thread of its own
            patience -= 1
            time.sleep(0.05)
        parts.close()
        assert 1 < len(asked) <= 4

    @pytest.mark.parametrize("batch", [2, 4, 16])
    def test_batches_of_tiles_give_the_same_scores(self, batch):
        model = fake_model()
        images = [random_image((50, 50), seed) for seed in range(2)]
        plan = fixed_tiles((50, 50), model.axes, [16])
        expected = list(segment_arrays(model, images, plan, total=2))
        model.net.forwards = 0
        batched = replace(plan, batch=batch)
        found = list(segment_arrays(model, images, batched, total=2))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
        assert model.net.forwards == -(-18 // batch)

    def test_an_error_in_reading_reaches_the_caller(self):
        def broken(at):
            raise DataError("a.tif: cannot be read")

        model = fake_model()
        plan = fixed_tiles((50, 50), model.axes, [16])
        with pytest.raises(DataError, match=r"a\.tif: cannot be read"):
            next(segment_parts(model, iter([broken]), plan, total=1))

    def test_memory_for_parts_does_not_grow_with_the_image(self):
        model = fake_model(channels=8)
        plans = [
            make_plan(model, (side, side), memory=120 * 2**20, tile_size=[64])
            for side in (100, 100_000)
        ]
        assert plans[0].tile == plans[1].tile


def test_only_a_gpu_gets_batches_as_large_as_fit():
    model = fake_model(channels=8)
    on_gpu = replace(model, on_gpu=True)
    settings = {"memory": PLENTY, "tile_size": [16]}
    assert make_plan(model, (100, 100), **settings).batch == 1
    assert make_plan(on_gpu, (100, 100), **settings).batch == 16
    assert make_plan(on_gpu, (16, 32), **settings).batch == 2
    assert make_plan(on_gpu, (16, 16), **settings, parts=5).batch == 4
    tile = make_plan(on_gpu, (160, 160), memory=PLENTY, tile_size=[40]).tile
    for batch in (2, 4, 8):
        # 4 tiles with 1 channel, read ahead or used; scores of 3 classes, three times
        waiting = batch * 4 * math.prod(tile) * (4 * 1 + 3 * 3)
        held = waiting + on_gpu.weight_bytes() + 256 * 2**20
        needed = held + int(1.25 * on_gpu.activation_bytes(tile, batch=batch))
        for memory, expected in ((needed, batch), (needed - 1, batch // 2)):
            plan = make_plan(on_gpu, (160, 160), memory=memory, tile_size=[40])
            assert plan.batch == expected


def test_tiles_with_more_numbers_than_caffe_counts_are_never_tried():
    model = fake_model()
    tile = tuple(axis.input_for(100_000) for axis in model.axes)
    assert model.activation_bytes(tile) > 2**60


def test_scores_that_are_no_numbers_are_refused_with_blob_and_net():
    folder = Path(__file__).parents[2] / "reference" / "tiled" / "unet2d"
    model = load_model(folder / "deploy.prototxt", folder / "weights.caffemodel")
    image = np.zeros((1, 40, 40), np.float32)
    plan = fixed_tiles((40, 40), model.axes, [20])
    assert np.isfinite(segment_array(model, image, plan)).all()
    next(iter(model.net.params.values()))[1].data[0] = np.nan
    with pytest.raises(
        DataError, match=r"deploy.prototxt: blob 'score' has NaN or inf"
    ):
        segment_array(model, image, plan)
