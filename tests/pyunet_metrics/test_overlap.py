import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pyunet.errors import DataError
from pyunet_metrics.overlap import MEASURES, dice, evaluate, iou, mean, pixel_accuracy

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


class TestMean:
    def test_over_no_class_is_undefined(self):
        assert np.isnan(mean(np.array([np.nan, np.nan])))


class TestPixelAccuracy:
    def test_is_the_share_of_pixels_with_the_right_class(self):
        assert pixel_accuracy(TRUTH, PREDICTION, 3) == 4 / 6


class TestEvaluate:
    def test_gives_all_measures_of_their_definition(self):
        # class 1: TP 2, FP 1, FN 1, TN 2
        found = evaluate(TRUTH[None], PREDICTION[None], 3)["pooled"]
        of_class_1 = {name: values[1] for name, values in found.items()}
        assert of_class_1 == pytest.approx(
            {
                "dice": 4 / 6,
                "iou": 2 / 4,
                "precision": 2 / 3,
                "recall": 2 / 3,
                "specificity": 2 / 3,
                "accuracy": 4 / 6,
            }
        )

    @pytest.mark.parametrize("name", sorted(MEASURES))
    def test_pools_pixels_and_gives_each_image(self, name):
        pair = np.stack([TRUTH, TRUTH]), np.stack([PREDICTION, TRUTH])
        found = evaluate(*pair, 3)
        alone = evaluate(TRUTH[None], PREDICTION[None], 3)["pooled"][name]
        np.testing.assert_array_equal(found["per_image"][name][0], alone)
        np.testing.assert_array_equal(found["per_image"][name][1], [1, 1, 1])
        as_one = evaluate(*(each.reshape(1, -1) for each in pair), 3)
        np.testing.assert_array_equal(
            found["pooled"][name], as_one["per_image"][name][0]
        )

    def test_leaves_out_what_is_beyond_a_mask(self):
        kept = TRUTH == PREDICTION
        for mask in (kept, kept[None]):
            found = evaluate(TRUTH[None], PREDICTION[None], 3, mask=mask)
            assert found["pooled"]["iou"].tolist() == [1, 1, 1]

    def test_refuses_a_mask_of_another_shape(self):
        with pytest.raises(DataError, match=r"mask of shape \(2,\)"):
            evaluate(TRUTH[None], PREDICTION[None], 3, mask=[1, 1])

    def test_of_a_class_that_is_nowhere_has_a_specificity_only(self):
        found = evaluate([[0, 0]], [[0, 0]], 2)["pooled"]
        assert np.isnan(found["recall"][1])
        assert np.isnan(found["precision"][1])
        assert found["specificity"].tolist()[1] == 1


@pytest.mark.parametrize("function", [iou, dice, pixel_accuracy])
@pytest.mark.parametrize(
    ("truth", "prediction", "text"),
    [
        ([0, 1], [0, 1, 1], r"\(2,\).*\(3,\).*same shape"),
        ([], [], r"with pixels"),
        ([0, 2], [0, 1], "truth has classes 0 to 2; expected 0 to 1"),
        ([0, 1], [0, -1], "prediction has classes -1 to 0; expected 0 to 1"),
    ],
)
def test_refuses_what_cannot_be_compared(function, truth, prediction, text):
    with pytest.raises(DataError, match=text):
        function(truth, prediction, 2)
