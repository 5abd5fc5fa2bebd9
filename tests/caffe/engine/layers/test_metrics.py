import numpy as np
import pytest
import torch

from caffe.errors import CheckError
from tests.support.layers import check_layer, make_context, run_layer, shapes_of

SCORES = np.array([[5, 1, 3], [2, 4, 4], [0, 1, 2], [9, 8, 7]], float)
LABELS = np.array([0, 1, 2, 2])


def planes(text: str) -> np.ndarray:
    return np.array([[int(digit) for digit in row] for row in text.split("/")])


class TestAccuracy:
    def test_shapes(self):
        bottoms = [(2, 3, 4, 4), np.zeros((2, 1, 4, 4))]
        check_layer("Accuracy", "", bottoms, tops=[()])
        check_layer("Accuracy", "", bottoms, tops=[(), (3,)])

    def test_an_equal_score_of_another_class_is_wrong(self):
        accuracy, per_class = run_layer("Accuracy", "", [SCORES, LABELS], tops=2)
        assert accuracy.item() == 0.5
        assert per_class.tolist() == [1, 0, 0.5]

    def test_top_k(self):
        (accuracy,) = run_layer(
            "Accuracy", "accuracy_param { top_k: 2 }", [SCORES, LABELS]
        )
        assert accuracy.item() == 0.75

    def test_ignored_labels_do_not_count(self):
        accuracy, per_class = run_layer(
            "Accuracy", "accuracy_param { ignore_label: 2 }", [SCORES, LABELS], tops=2
        )
        assert accuracy.item() == 0.5
        assert per_class.tolist() == [1, 0, 0]

    def test_nothing_to_count_is_zero(self):
        (accuracy,) = run_layer(
            "Accuracy",
            "accuracy_param { ignore_label: 2 }",
            [SCORES, np.full(4, 2)],
        )
        assert accuracy.item() == 0

    def test_axis(self):
        (accuracy,) = run_layer(
            "Accuracy", "accuracy_param { axis: 0 }", [SCORES.T, LABELS]
        )
        assert accuracy.item() == 0.5

    def test_has_no_gradient(self):
        scores = torch.randn(2, 3, requires_grad=True)
        (accuracy,) = run_layer("Accuracy", "", [scores, np.zeros(2)])
        assert not accuracy.requires_grad

    @pytest.mark.parametrize("top_k", [0, 4])
    def test_refuses_top_k_beyond_the_classes(self, top_k):
        text = f"accuracy_param {{ top_k: {top_k} }}"
        with pytest.raises(CheckError, match=f"top_k is {top_k}: 1 to 3 is accepted"):
            shapes_of("Accuracy", text, [(4, 3), (4,)])

    def test_refuses_another_number_of_labels(self):
        with pytest.raises(CheckError, match=r"bottom 1 \(labels\) is \(5\), which is"):
            shapes_of("Accuracy", "", [(4, 3), (5,)])


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
        with pytest.raises(CheckError, match="background_label is 3: 0 to 2 is accept"):
            shapes_of("IoU", text, [(1, 3, 4), (1, 4)])

    def test_refuses_another_number_of_weights(self):
        with pytest.raises(CheckError, match=r"bottom 2 \(weights\) is \(1,5\)"):
            shapes_of("IoU", "", [(1, 3, 4), (1, 4), (1, 5)])
