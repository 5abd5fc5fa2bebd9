import numpy as np
import pytest

from pyunet.data import augmentation
from pyunet.data.augmentation import Augmentation
from pyunet.errors import DataError

STILL = Augmentation(elastic_std=0, rotate=False, mirror=False, grey=0)
IMAGE = np.random.default_rng(0).random((1, 40, 50), dtype=np.float32)


def rng(seed=0):
    return np.random.default_rng(seed)


class _Half:
    """Draws half of every range."""

    def uniform(self, low, high):
        return (low + high) / 2


class TestCoordinates:
    def test_of_no_augmentation_are_the_identity(self):
        at = augmentation.random_coordinates((40, 50), (19.5, 24.5), STILL, rng())
        np.testing.assert_array_equal(at, np.mgrid[:40, :50])

    def test_rotation_keeps_distances_to_the_centre(self):
        only = Augmentation(elastic_std=0, mirror=False)
        y, x = augmentation.random_coordinates((5, 5), (10, 20), only, rng())
        assert (y[2, 2], x[2, 2]) == (10, 20)
        assert np.hypot(y[0, 0] - 10, x[0, 0] - 20) == pytest.approx(8**0.5, rel=1e-6)

    def test_mirroring_turns_half_of_the_tiles_over(self):
        only = Augmentation(elastic_std=0, rotate=False)
        source, turned = rng(), 0
        for _ in range(200):
            _, x = augmentation.random_coordinates((1, 3), (0, 1), only, source)
            assert x.tolist() in ([[0, 1, 2]], [[2, 1, 0]])
            turned += x[0, 0] == 2
        assert 70 < turned < 130

    def test_of_a_volume_turn_within_the_slices(self):
        only = Augmentation(elastic_std=0)
        at = augmentation.random_coordinates((4, 5, 5), (7, 10, 20), only, rng())
        assert at.shape == (3, 4, 5, 5)
        np.testing.assert_array_equal(at[0, :, 0, 0], [5.5, 6.5, 7.5, 8.5])
        assert (np.ptp(at[0], axis=(1, 2)) == 0).all()
        assert (at[1:] == at[1:, :1]).all()

    def test_of_freiburg_turn_about_half_the_size(self):
        # spec: half a turn of N pixels maps index i to N - i
        only = Augmentation(elastic_std=0, mirror=False, field="freiburg")
        at = augmentation.random_coordinates((4, 4), (1.5, 1.5), only, _Half())
        np.testing.assert_allclose(at[0, :, 0], [4, 3, 2, 1], atol=1e-5)

    def test_repeat_with_the_seed(self):
        draw = [
            augmentation.random_coordinates((8, 8), (4, 4), Augmentation(), rng(seed))
            for seed in (1, 1, 2)
        ]
        np.testing.assert_array_equal(draw[0], draw[1])
        assert (draw[0] != draw[2]).any()


class TestWarp:
    @pytest.mark.parametrize("interpolation", ["linear", "cubic"])
    def test_of_the_identity_changes_nothing(self, interpolation):
        prepared = augmentation.prepare_image(IMAGE, interpolation)
        at = np.mgrid[:40, :50].astype(np.float32)
        same = augmentation.warp_image(prepared, at, interpolation)
        np.testing.assert_allclose(same, IMAGE, atol=2e-6)

    def test_mirrors_without_repeating_the_edge_at_any_distance(self):
        # the vectors of ApplyDeformation in Freiburg's caffe
        row = np.arange(5, dtype=np.float32)[None]
        at = np.stack([np.zeros((1, 21)), np.arange(-10, 11)[None]]).astype(np.float32)
        expected = [2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2]
        assert augmentation.warp_image(row[None], at, "linear").tolist() == [[expected]]
        assert augmentation.warp_weights(row, at).tolist() == [expected]
        assert augmentation.warp_labels(row.astype(np.uint8), at).tolist() == [expected]

    def test_interpolates_as_the_original(self):
        # the vectors of ApplyDeformation in Freiburg's caffe
        image = np.array([[0, 1], [0, 2]], np.float32)
        at = np.array([[[0, 0, 0.5, 0.5]], [[0.5, 1, 0.5, 1]]], np.float32)
        linear = augmentation.warp_image(image[None], at, "linear")
        assert linear.tolist() == [[[0.5, 1, 0.75, 1.5]]]
        nearest = augmentation.warp_labels(image, at)
        assert nearest.tolist() == [[1, 1, 2, 2]]

    def test_cubic_keeps_fine_detail_that_linear_blurs(self):
        at = np.mgrid[5:35, 5:45].astype(np.float32) + np.float32(0.5)
        kept = {
            kind: augmentation.warp_image(
                augmentation.prepare_image(IMAGE, kind), at, kind
            ).std()
            for kind in ("linear", "cubic")
        }
        assert kept["cubic"] > 1.3 * kept["linear"]

    def test_labels_stay_labels(self):
        labels = (IMAGE[0] * 3).astype(np.uint8) * 100
        at = augmentation.random_coordinates((30, 30), (20, 25), Augmentation(), rng())
        assert set(np.unique(augmentation.warp_labels(labels, at))) <= {0, 100, 200}


class TestGrey:
    def test_rises_and_stays_in_range(self):
        grey = np.linspace(0, 1, 50, dtype=np.float32)
        for seed in range(20):
            varied = augmentation.vary_grey(grey, rng(seed), 0.4)
            assert (np.diff(varied) >= 0).all()
            assert varied.min() >= 0
            assert varied.max() <= 1

    def test_varies(self):
        grey = np.full(1, 0.4, np.float32)
        values = [augmentation.vary_grey(grey, rng(s), 0.2)[0] for s in range(200)]
        assert 0.04 < np.std(values) < 0.12
        assert np.mean(values) == pytest.approx(0.4, abs=0.03)

    def test_of_magnitude_zero_changes_nothing(self):
        np.testing.assert_array_equal(augmentation.vary_grey(IMAGE, rng(), 0), IMAGE)


@pytest.mark.parametrize(
    "bad",
    [
        {"elastic_std": -1},
        {"elastic_std": (1.0, -1.0)},
        {"elastic_grid": 1},
        {"elastic_spacing": 0},
        {"grey": 1.0},
        {"grey": -0.1},
        {"field": "other"},
    ],
)
def test_impossible_magnitudes_are_refused(bad):
    with pytest.raises(DataError, match="expected"):
        Augmentation(**bad)
