import numpy as np
import pytest

from caffe.errors import CheckError
from tests.support.layers import (
    as_tensor,
    check_layer,
    make_context,
    run_layer,
    shapes_of,
)

SCORES = np.array([[5, 1, 3], [2, 4, 4], [0, 1, 2], [9, 8, 7]], float)
LABELS = np.array([0, 1, 2, 2])


def planes(text: str) -> np.ndarray:
    return np.array([[int(digit) for digit in row] for row in text.split("/")])


class TestIoU:
    # the worked example of caffe_unet_layers.md, section 7
    truth = planes("110022/110022/000000/100200/100201/000001")
    predicted = planes("110020/100022/000000/100100/100100/000001")

    def bottoms(self, *weights):
        scores = 2.0 * (np.arange(3)[None, :, None, None] == self.predicted)
        return [scores, self.truth[None, None], *weights]

    def test_shape(self):
        check_layer("IoU", "", self.bottoms(), tops=[(2,)])

    def test_counts_shared_pixels_over_pixels_of_either(self):
        (top,) = run_layer("IoU", "", self.bottoms())
        np.testing.assert_allclose(top, [6 / 10, 3 / 6], rtol=1e-6)

    def test_pixels_of_weight_zero_do_not_count(self):
        weights = np.ones((1, 1, 6, 6))
        weights[..., 5, 5], weights[..., 0, 0] = 0, 0.25
        (top,) = run_layer("IoU", "", self.bottoms(weights))
        np.testing.assert_allclose(top, [5 / 9, 3 / 6], rtol=1e-6)

    def test_logs_two_lines(self):
        context = make_context()
        run_layer("IoU", "", self.bottoms(), context=context)
        assert context.lines == [
            ("iou_layer.cpp:104", "    x - Per class intersection: 6 3 "),
            ("iou_layer.cpp:106", "    x - Per class union: 10 6 "),
        ]

    def test_large_counts_have_six_digits(self):
        context = make_context()
        scores = np.stack([np.zeros(1234567), np.ones(1234567)])[None]
        run_layer("IoU", "", [scores, np.ones((1, 1234567))], context=context)
        assert context.lines[0][1].endswith("intersection: 1.23457e+06 ")

    def test_another_background_and_an_ignored_label(self):
        text = "iou_param { background_label: 1 } loss_param { ignore_label: 0 }"
        (top,) = run_layer("IoU", text, self.bottoms())
        # truth not 0: class 0 is predicted at (0,5), (1,1), (4,5); class 2 shares 3
        np.testing.assert_allclose(top, [0, 3 / 6], rtol=1e-6)

    def test_equal_scores_are_the_lower_class(self):
        (top,) = run_layer("IoU", "", [np.zeros((1, 2, 3)), np.array([[0, 0, 0]])])
        assert top.tolist() == [0]

    def test_refuses_a_background_that_is_no_class(self):
        text = "iou_param { background_label: 3 }"
        with pytest.raises(CheckError, match="background_label is 3: expected 0 to 2"):
            shapes_of("IoU", text, [(1, 3, 4), (1, 4)])

    def test_refuses_another_number_of_weights(self):
        with pytest.raises(CheckError, match=r"bottom 2 \(weights\) is \(1,5\)"):
            shapes_of("IoU", "", [(1, 3, 4), (1, 4), (1, 5)])


class TestF1:
    # the worked example of caffe_unet_layers.md, section 7
    truth, predicted = TestIoU.truth, TestIoU.predicted
    euclidean = "f1_param { distance_mode: EUCLIDEAN distance_threshold: %g }"

    def run(self, options, truth, predicted, *weights, classes=3):
        """F1 scores, and the counts of the log lines."""
        scores = 2.0 * (np.arange(classes)[:, None, None] == np.array(predicted))
        context = make_context()
        bottoms = [scores[None], np.array(truth)[None, None], *weights]
        (top,) = run_layer("F1", options, bottoms, context=context)
        counts = [line.rpartition(": ")[2].split() for _, line in context.lines]
        return top.numpy(), [[int(count) for count in line] for line in counts]

    def weights(self):
        weights = np.ones((1, 1, 6, 6))
        weights[..., 5, 5], weights[..., 0, 0] = 0, 0.25
        return weights

    def test_shape(self):
        bottoms = [(2, 4, 5, 6), np.ones((2, 1, 5, 6)), np.ones((2, 1, 5, 6))]
        check_layer("F1", "", bottoms, tops=[(3,)])

    @pytest.mark.parametrize(
        ("options", "found", "want"),
        [
            ("", [3, 1], [0.857143, 0.666667]),
            (euclidean % 3, [3, 1], [0.857143, 0.666667]),
            (euclidean % 0.4, [2, 1], [0.571429, 0.666667]),
        ],
    )
    def test_counts_objects_that_are_matched(self, options, found, want):
        top, counts = self.run(options, self.truth, self.predicted)
        assert counts == [found, [4, 1], [3, 2]]
        np.testing.assert_allclose(top, want, rtol=1e-5)

    @pytest.mark.parametrize(
        ("options", "want"),
        [("", [0.571429, 0.666667]), (euclidean % 3, [0.857143, 0.666667])],
    )
    def test_pixels_of_weight_zero_are_background_of_the_truth(self, options, want):
        top, _ = self.run(options, self.truth, self.predicted, self.weights())
        np.testing.assert_allclose(top, want, rtol=1e-5)

    def test_logs_three_lines(self):
        context = make_context()
        scores = 2.0 * (np.arange(3)[:, None, None] == self.predicted)
        bottoms = [scores[None], self.truth[None, None]]
        run_layer("F1", "", bottoms, context=context)
        assert [line for _, line in context.lines] == [
            "    x - Per class true positive count: 3 1 ",
            "    x - Per class prediction count: 4 1 ",
            "    x - Per class object count: 3 2 ",
        ]

    def test_an_ignored_label_splits_objects_of_the_truth_only(self):
        options = "loss_param { ignore_label: 2 }"
        _, counts = self.run(options, [[1, 2, 1]], [[1, 2, 1]])
        assert counts == [[2, 0], [2, 1], [2, 0]]

    def test_another_background(self):
        options = "f1_param { background_label: 1 }"
        top, counts = self.run(options, [[0, 1, 2]], [[0, 1, 1]])
        assert counts == [[1, 0], [1, 0], [1, 1]]
        assert top.tolist() == [1, 0]

    def test_a_sample_without_predicted_objects_does_not_count(self):
        _, counts = self.run("", [[1, 0, 2]], [[0, 0, 0]])
        assert counts == [[0, 0]] * 3
        _, counts = self.run("", [[0, 0, 0]], [[1, 0, 2]])
        assert counts == [[0, 0]] * 3

    def test_objects_far_from_all_others_are_counted_but_not_matched(self):
        top, counts = self.run("", [[1, 0, 0]], [[0, 0, 1]])
        assert counts == [[0, 0], [1, 0], [1, 0]]
        assert not top.any()

    def test_matched_objects_may_be_farther_apart_than_the_threshold(self):
        # distances 0 2 / 2 2.83: the diagonal is the cheapest match
        truth = [[1, 0, 1], [0, 0, 0], [0, 0, 0]]
        predicted = [[1, 0, 0], [0, 0, 0], [1, 0, 0]]
        _, counts = self.run(self.euclidean % 2, truth, predicted)
        assert counts == [[2, 0], [2, 0], [2, 0]]

    def test_more_true_objects_than_predicted_ones(self):
        _, counts = self.run("", [[1, 0, 1, 0, 2]], [[1, 1, 1, 0, 2]])
        assert counts == [[0, 1], [1, 1], [2, 1]]

    def test_of_equally_good_matches_the_first_counts(self):
        # class 1 and class 2 of the truth overlap the prediction 2 2 equally
        _, counts = self.run("", [[1, 2]], [[2, 2]])
        assert counts == [[0, 0], [0, 1], [1, 1]]
        _, counts = self.run("", [[2, 1]], [[2, 2]])
        assert counts == [[0, 1], [0, 1], [1, 1]]

    def test_volumes_touch_at_faces(self):
        truth = np.zeros((1, 1, 2, 2, 2))
        truth[0, 0, 0, 0, 0] = truth[0, 0, 1, 1, 0] = truth[0, 0, 1, 1, 1] = 1
        scores = np.concatenate([1 - truth, truth], 1)
        context = make_context()
        (top,) = run_layer("F1", "", [scores, truth], context=context)
        assert context.lines[2][1].endswith("object count: 2 ")
        assert top.tolist() == [1]

    def test_the_axis_is_that_of_iou_param(self):
        scores = np.eye(3)[[[0, 1, 1, 2]]]
        options = "iou_param { axis: -1 } f1_param { axis: 0 }"
        (top,) = run_layer("F1", options, [scores, np.zeros((1, 4))])
        assert top.shape == (2,)
        scores = as_tensor(scores.transpose(0, 2, 1)[..., None, :])
        labels = np.array([0, 1, 1, 2]).reshape(1, 1, 1, 4)
        (top,) = run_layer("F1", "f1_param { axis: 3 }", [scores, labels])
        assert top.tolist() == [1, 1]

    def test_scores_that_are_no_numbers_match_nothing(self):
        scores = np.zeros((1, 2, 1, 3))
        scores[0, 1, 0] = [np.inf, -1, np.inf]
        labels = np.array([1, 0, 1]).reshape(1, 1, 1, 3)
        (top,) = run_layer("F1", self.euclidean % 1, [scores, labels])
        assert top.tolist() == [0]

    @pytest.mark.parametrize("label", [-1, 3])
    def test_refuses_a_label_without_a_class(self, label):
        with pytest.raises(CheckError, match=f"holds label {label}: expected 0 to 2"):
            self.run("", [[label, 0]], [[1, 0]])

    def test_refuses_a_background_that_is_no_class(self):
        text = "f1_param { background_label: -1 }"
        with pytest.raises(CheckError, match="background_label is -1: expected 0 to 2"):
            shapes_of("F1", text, [(1, 3, 4), (1, 4)])
