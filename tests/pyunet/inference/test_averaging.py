"""The mean over mirrored and rotated versions: exact inverses, one running sum."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from pyunet.errors import DataError
from pyunet.inference.averaging import plan_passes
from pyunet.inference.engine import Model, load_model
from pyunet.inference.passes import MIRRORED, ROTATED, SQUARE, Pass, parse_passes
from pyunet.inference.tiling import fixed_tiles
from tests.support.fake_net import FakeNet, axes_of, layer, unet
from tests.support.segmenting import average_array, segment_array

UNET = Path(__file__).parents[2] / "reference" / "tiled" / "unet2d"
PLENTY = 10**12


def model_of(layers, weights, channels=1):
    found = axes_of(layers, next(iter(weights.values())).ndim - 2)
    shape = (1, channels, *(axis.smallest for axis in found))
    net = FakeNet(layers, "data", shape, weights)
    path = Path("f.prototxt")
    return Model(path, net, "data", "score", channels, found)


def pointwise(weights, axes=2):
    """A 1x1 convolution: it commutes with every motion of the image."""
    weights = np.array(weights, np.float32)
    one = layer("Convolution", ["data"], "score", axes=axes)
    shape = (*weights.shape, *(1,) * axes)
    return model_of([one], {"score": weights.reshape(shape)}, weights.shape[1])


def average(model, image, passes, *, tile_size=None, **settings):
    extent = image.shape[1:]
    plans = plan_passes(model, extent, passes, memory=PLENTY, tile_size=tile_size)
    return average_array(model, image, plans, **settings)


def segment(model, image, *, softmax=False):
    plan = fixed_tiles(image.shape[1:], model.axes, image.shape[1:])
    return segment_array(model, image, plan, softmax=softmax)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def smooth(height, width):
    """A broad wave, flat at the border, so that its mirror image is smooth as well."""
    y, x = np.ogrid[:height, :width]
    wave = np.cos(np.pi * y / (height - 1)) * np.cos(2 * np.pi * x / (width - 1))
    return (0.5 + 0.5 * wave)[None].astype(np.float32)


class TestPasses:
    def test_the_square_has_eight_and_they_are_all_different(self):
        image = np.arange(9).reshape(3, 3)
        versions = {one.apply(image).tobytes() for one in SQUARE}
        assert len(versions) == 8

    def test_mirrorings_are_those_of_both_axes(self):
        image = np.arange(6).reshape(2, 3)
        expected = [image, image[:, ::-1], image[::-1], image[::-1, ::-1]]
        found = [one.apply(image).tolist() for one in MIRRORED]
        assert found == [view.tolist() for view in expected]

    def test_rotations_are_numpys(self):
        image = np.arange(6).reshape(2, 3)
        for turns, one in enumerate(ROTATED):
            np.testing.assert_array_equal(one.apply(image), np.rot90(image, turns))

    def test_versions_are_views(self):
        image = np.zeros((3, 4, 5))
        assert all(np.shares_memory(one.apply(image), image) for one in SQUARE)

    @pytest.mark.parametrize(
        ("text", "passes"),
        [
            ("mirror", MIRRORED),
            ("rotate", ROTATED),
            ("all", SQUARE),
            ("1", (Pass(),)),
            ("4", ROTATED),
            ("3", (Pass(0), Pass(120), Pass(240))),
            ("0,-90,12.5", (Pass(0), Pass(270), Pass(12.5))),
        ],
    )
    def test_words_numbers_and_angles_are_read(self, text, passes):
        assert parse_passes(text) == passes

    @pytest.mark.parametrize(
        "text", ["", "flip", "0", "-3", "2.5", "1,x", "nan,1", "inf"]
    )
    def test_anything_else_is_refused(self, text):
        with pytest.raises(DataError, match="expected mirror, rotate, all"):
            parse_passes(text)

    @given(st.floats(0, 360), st.integers(1, 40), st.integers(1, 40))
    def test_the_whole_image_has_its_place_on_the_canvas(self, degrees, height, width):
        one = Pass(degrees)
        corners = np.array([[0, 0, height - 1, height - 1], [0, width - 1] * 2])
        places = one.to_version((height, width), *corners)
        canvas = one.extent((height, width))
        assert (places > -1e-5).all()
        assert (places < np.array(canvas)[:, None] - 1 + 1e-5).all()
        back = one.to_image((height, width), *places)
        np.testing.assert_allclose(back, corners, atol=1e-9)


@pytest.mark.parametrize("passes", [MIRRORED, ROTATED, SQUARE])
@pytest.mark.parametrize("tile_size", [None, [5, 7]])
def test_a_pointwise_net_gives_identical_scores_with_and_without(passes, tile_size):
    model = pointwise([[1.7], [-0.3], [0.11]])
    image = noise(1, 23, 31)
    found = average(model, image, passes, tile_size=tile_size)
    np.testing.assert_array_equal(found, segment(model, image))


@pytest.mark.parametrize("count", [2, 3, 5, 7, 12])
def test_rotated_versions_of_a_smooth_image_give_nearly_the_same(count):
    model = pointwise([[1.0], [-2.0]])
    image = smooth(61, 90)
    found = average(model, image, parse_passes(str(count)), tile_size=[40])
    np.testing.assert_allclose(found, segment(model, image), atol=4e-3)


@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize("mirror", [False, True])
def test_a_rotation_beside_a_right_angle_is_that_of_the_right_angle(degrees, mirror):
    layers, weights = unet(1, seed=3)
    model = model_of(layers, weights)
    image = noise(1, 14, 18)
    exact = average(model, image, [Pass(degrees, mirror=mirror)])
    near = average(model, image, [Pass(degrees + 1e-7, mirror=mirror)])
    np.testing.assert_allclose(near, exact, atol=1e-5)


@settings(max_examples=25)
@given(
    st.integers(1, 24), st.integers(1, 24), st.integers(0, 2),
    st.sampled_from([MIRRORED, ROTATED, SQUARE]), st.integers(0, 99),
)  # fmt: skip
def test_the_mean_of_any_net_is_that_of_versions_made_by_hand(
    height, width, levels, passes, seed
):
    layers, weights = unet(levels, seed=seed)
    model = model_of(layers, weights)
    image = noise(1, height, width, seed=seed)
    found = average(model, image, passes, tile_size=[6, 9])
    total = np.zeros(found.shape)
    for one in passes:
        turns = round(one.degrees / 90)
        version = image[..., ::-1] if one.mirror else image
        scores = segment(model, np.rot90(version, turns, axes=(1, 2)).copy())
        back = np.rot90(scores, -turns, axes=(1, 2))
        total += back[..., ::-1] if one.mirror else back
    np.testing.assert_allclose(found, total / len(passes), rtol=1e-5, atol=1e-5)


def test_a_rotated_tile_sees_the_mirror_image_beyond_the_border():
    # A mean over 9x9 pixels of a constant image is that constant, up to the corners.
    mean = layer("Convolution", ["data"], "score", kernel=9)
    model = model_of([mean], {"score": np.full((1, 1, 9, 9), 1 / 81, np.float32)})
    found = average(model, np.full((1, 20, 30), 0.75, np.float32), [Pass(30), Pass(77)])
    np.testing.assert_allclose(found, 0.75, atol=1e-5)
    # And of a smooth image it is nearly the unrotated mean, there as everywhere.
    image = smooth(60, 80)
    found = average(model, image, [Pass(45)], tile_size=[30])
    np.testing.assert_allclose(found, segment(model, image), atol=2e-2)


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("degrees", [90, 30])
def test_a_turned_tile_sees_zeros_beyond_the_border_where_the_model_wants_it(
    axes, degrees
):
    # A mean over 3 pixels an axis of a constant image: less of it only at the border.
    mean = layer("Convolution", ["data"], "score", kernel=3, axes=axes)
    kernel = np.full((1, 1, *(3,) * axes), 3.0**-axes, np.float32)
    model = replace(model_of([mean], {"score": kernel}), padding="zero")
    size = (5, 20, 30)[-axes:]
    found = average(model, np.ones((1, *size), np.float32), [Pass(degrees)])[0]
    middle = (slice(4, -4),) * 2
    inside = found[..., middle[0], middle[1]]
    depth = 1 if axes == 2 else np.array([2 / 3, 1, 1, 1, 2 / 3]).reshape(-1, 1, 1)
    np.testing.assert_allclose(inside, np.broadcast_to(depth, inside.shape), atol=1e-5)
    edge = found[..., 0, 10:20]
    assert (edge < 0.95 * found[..., 10, 10:20]).all()


def test_the_engine_and_a_real_net_agree_with_single_passes():
    model = load_model(UNET / "deploy.prototxt", UNET / "weights.caffemodel")
    image = noise(1, 61, 83)
    found = average(model, image, MIRRORED, tile_size=[40])
    total = segment(model, image)
    for axes in ((1,), (2,), (1, 2)):
        scores = segment(model, np.flip(image, axes).copy())
        total = total + np.flip(scores, axes)
    np.testing.assert_allclose(found, total / 4, atol=1e-5)


@pytest.mark.parametrize("passes", [SQUARE, parse_passes("5")])
def test_several_channels_and_classes_stay_apart(passes):
    mixed = pointwise([[1.0, 0.0, 2.0], [0.0, -1.0, 0.0]])
    image = np.concatenate([smooth(40, 50) * factor for factor in (1, 2, 3)])
    found = average(mixed, image, passes, tile_size=[25])
    np.testing.assert_allclose(found, segment(mixed, image), atol=3e-2)


@pytest.mark.parametrize(
    ("passes", "tolerance"), [(SQUARE, 0), (parse_passes("3"), 1e-2)]
)
def test_volumes_are_turned_in_their_planes(passes, tolerance):
    model = pointwise([[1.0], [0.5]], axes=3)
    volume = np.stack([smooth(40, 50)[0] * factor for factor in (1, 0.2, 0.7)])[None]
    found = average(model, volume, passes, tile_size=[2, 20, 30])
    assert found.shape == (2, 3, 40, 50)
    np.testing.assert_allclose(found, segment(model, volume), atol=tolerance)


def test_a_3d_net_reads_mirrored_planes_at_any_angle():
    layers, weights = unet(0, axes=3, kernel=(3, 1, 1))
    model = model_of(layers, weights)
    volume = np.stack([smooth(30, 36)[0] * factor for factor in (1, 0.2, 0.7)])[None]
    found = average(model, volume, [Pass(20)], tile_size=[1, 20, 20])
    np.testing.assert_allclose(found, segment(model, volume), atol=2e-2)


def test_probabilities_are_averaged_when_asked_for():
    layers, weights = unet(1, seed=5)
    model = model_of(layers, weights)
    image = noise(1, 12, 12)
    found = average(model, image, MIRRORED, of="probabilities")
    total = 0
    for one in MIRRORED:
        scores = segment(model, one.apply(image).copy())
        total = total + one.apply(special.softmax(scores, axis=0))
    np.testing.assert_allclose(found, total / 4, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-6)
    raw = special.softmax(average(model, image, MIRRORED), axis=0)
    assert np.abs(raw - found).max() > 1e-4


def test_the_order_of_passes_does_not_matter():
    layers, weights = unet(1, seed=6)
    model = model_of(layers, weights)
    image = noise(1, 15, 20)
    np.testing.assert_array_equal(
        average(model, image, SQUARE), average(model, image, SQUARE[::-1])
    )


def test_memory_does_not_grow_with_the_number_of_passes():
    model = pointwise([[1.0], [2.0]])
    image = noise(1, 200, 240)

    def peak(passes):
        plans = plan_passes(model, (200, 240), passes, memory=PLENTY, tile_size=[50])
        average_array(model, image, plans)
        tracemalloc.start()
        average_array(model, image, plans)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(SQUARE) < 1.05 * peak(SQUARE[:2])
    angles = [Pass(30 + 0.01 * turn) for turn in range(12)]
    assert peak(angles) < 1.05 * peak(angles[:1])


def test_turned_images_have_turned_plans():
    model = pointwise([[1.0]])
    plans = plan_passes(model, (20, 30), ROTATED, memory=PLENTY)
    assert [plan.image for plan in plans.values()] == [(20, 30), (30, 20)] * 2


def test_no_pass_is_refused():
    with pytest.raises(DataError, match="no pass is given"):
        plan_passes(pointwise([[1.0]]), (4, 5), [], memory=PLENTY)
