import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.ndimage import distance_transform_edt

from pyunet.data.weightmaps import border_weights, class_weights, two_nearest
from pyunet.errors import DataError


def brute_force(instances, w0=10.0, sigma=5.0):
    """The formula as the paper writes it: a distance transform for every cell."""
    distances = [
        distance_transform_edt(instances != number)
        for number in np.unique(instances[instances > 0])
    ]
    if len(distances) < 2:
        return np.zeros(instances.shape)
    first, second = np.sort(distances, axis=0)[:2]
    return w0 * np.exp(-((first + second) ** 2) / (2 * sigma**2))


label_images = arrays.arrays(
    np.int32,
    arrays.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=12),
    elements=st.integers(0, 5),
    fill=st.just(0),
)


class TestBorderWeights:
    @settings(max_examples=100, deadline=None)
    @given(label_images, st.sampled_from([0.5, 2.0, 5.0]))
    def test_equal_a_distance_transform_for_every_cell(self, instances, sigma):
        np.testing.assert_allclose(
            1 + border_weights(instances, sigma=sigma),
            1 + brute_force(instances, sigma=sigma),
            rtol=1e-6,
        )

    @pytest.mark.parametrize("seed", range(3))
    def test_are_exact_for_many_scattered_cells(self, seed):
        rng = np.random.default_rng(seed)
        instances = np.zeros((90, 110), np.int32)
        for number in range(1, 25):
            y, x = rng.integers(0, (80, 100))
            instances[y : y + rng.integers(1, 15), x : x + rng.integers(1, 15)] = number
        np.testing.assert_allclose(
            1 + border_weights(instances), 1 + brute_force(instances), rtol=1e-6
        )

    def test_have_the_value_of_the_formula_between_two_cells(self):
        row = np.array([[1, 0, 0, 0, 0, 0, 2]])
        # in the middle d1 = d2 = 3: 10 exp(-36 / 50) = 4.867523
        assert border_weights(row)[0, 3] == pytest.approx(4.867523, rel=1e-6)

    def test_are_zero_without_a_second_cell(self):
        assert not border_weights(np.eye(5, dtype=np.int32)).any()
        assert not border_weights(np.zeros((4, 4), np.int32)).any()

    def test_are_zero_when_turned_off(self):
        assert not border_weights(np.array([[1, 0, 2]]), w0=0).any()

    @settings(max_examples=25, deadline=None)
    @given(label_images)
    def test_commute_with_flips(self, instances):
        np.testing.assert_array_equal(
            border_weights(instances[::-1, ::-1]), border_weights(instances)[::-1, ::-1]
        )

    @pytest.mark.parametrize(("w0", "sigma"), [(-1, 5), (10, 0), (10, float("nan"))])
    def test_refuse_impossible_settings(self, w0, sigma):
        with pytest.raises(DataError, match="expected w0 >= 0, sigma > 0"):
            border_weights(np.array([[1, 0, 2]]), w0=w0, sigma=sigma)


def test_two_nearest_knows_only_different_cells():
    first, second = two_nearest(np.array([[1, 1, 0, 1, 0, 0, 2]]), reach=9)
    assert first.tolist() == [[0, 0, 1, 0, 1, 1, 0]]
    assert second.tolist() == [[36, 25, 16, 9, 4, 4, 9]]


class TestClassWeights:
    labels = np.array([0, 0, 1, 1, 1, 1, 2], np.uint8)

    def test_balance_by_frequency(self):
        assert class_weights(self.labels).tolist() == [2.0, 1.0, 4.0]

    def test_give_1_to_an_absent_class(self):
        assert class_weights(np.array([0, 0, 2], np.uint8)).tolist() == [1.0, 1.0, 2.0]

    def test_can_be_off(self):
        assert class_weights(self.labels, "none").tolist() == [1.0, 1.0, 1.0]

    @pytest.mark.parametrize("given", [(1, 2), (1, 2, -1)])
    def test_refuse_a_wrong_number_of_numbers(self, given):
        with pytest.raises(DataError, match="the labels have 3 classes"):
            class_weights(self.labels, given)
