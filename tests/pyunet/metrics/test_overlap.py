import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pyunet.errors import DataError
from pyunet.metrics.overlap import dice, iou, mean, pixel_accuracy

TRUTH = np.array([[0, 0, 1], [1, 1, 2]])
PREDICTION = np.array([[0, 1, 1], [1, 2, 2]])
CLASSES = arrays(np.int64, (3, 4), elements=st.integers(0, 2))


class TestIoU:
    def test_is_intersection_over_union_of_each_class(self):
        np.testing.assert_allclose(iou(TRUTH, PREDICTION, 3), [1 / 2, 2 / 4, 1 / 2])

    def test_of_a_class_in_one_array_only_is_0(self):
        assert iou([0, 0], [0, 1], 2).tolist() == [0.5, 0]

    def test_of_a_class_in_neither_array_is_undefined_and_left_out_of_the_mean(self):
        scores = iou([0, 0], [0, 0], 2)
        assert scores[0] == 1
        assert np.isnan(scores[1])
        assert mean(scores) == 1

    @given(CLASSES, CLASSES)
    def test_is_the_same_with_truth_and_prediction_swapped(self, one, other):
        np.testing.assert_array_equal(iou(one, other, 3), iou(other, one, 3))


class TestDice:
    def test_is_twice_the_intersection_over_the_sum(self):
        np.testing.assert_allclose(dice(TRUTH, PREDICTION, 3), [2 / 3, 4 / 6, 2 / 3])

    @given(CLASSES, CLASSES)
    def test_is_2_iou_over_1_plus_iou(self, one, other):
        score = iou(one, other, 3)
        np.testing.assert_allclose(dice(one, other, 3), 2 * score / (1 + score))


class TestPixelAccuracy:
    def test_is_the_share_of_pixels_with_the_right_class(self):
        assert pixel_accuracy(TRUTH, PREDICTION, 3) == 4 / 6


@pytest.mark.parametrize("function", [iou, dice, pixel_accuracy])
@pytest.mark.parametrize(
    ("truth", "prediction", "text"),
    [
        ([0, 1], [0, 1, 1], r"\(2,\).*\(3,\).*same shape"),
        ([], [], r"with pixels"),
        ([0, 2], [0, 1], "truth has classes 0 to 2; accepted is 0 to 1"),
        ([0, 1], [0, -1], "prediction has classes -1 to 0; accepted is 0 to 1"),
    ],
)
def test_refuses_what_cannot_be_compared(function, truth, prediction, text):
    with pytest.raises(DataError, match=text):
        function(truth, prediction, 2)
