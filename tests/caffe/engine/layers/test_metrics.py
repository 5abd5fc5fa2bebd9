import numpy as np
import pytest
import torch

from caffe.errors import CheckError
from tests.support.layers import (
    check_layer,
    make_context,
    make_layer,
    run_layer,
    shapes_of,
)

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

    def test_refuses_top_k_beyond_the_classes(self):
        with pytest.raises(CheckError, match="top_k is 4: expected 0 to 3"):
            shapes_of("Accuracy", "accuracy_param { top_k: 4 }", [(4, 3), (4,)])

    def test_nothing_is_among_the_first_none(self):
        scores, labels = np.array([[1.0, 2.0]]), np.array([1.0])
        (top,) = run_layer("Accuracy", "accuracy_param { top_k: 0 }", [scores, labels])
        assert top.item() == 0

    def test_scores_that_are_no_numbers_count_as_right_with_one_warning(self):
        context = make_context()
        told = []
        context.log = lambda *words: told.append(words)
        layer = make_layer("Accuracy", bottoms=2, context=context)
        scores = torch.tensor([[float("nan"), float("nan")], [2.0, 1.0]])
        for _ in range(2):
            (top,) = layer.forward([scores, torch.tensor([1.0, 1.0])], [], context)
            assert top.item() == 0.5
        assert [(level, "'x': scores are NaN" in text) for _, text, level in told] == [
            ("W", True)
        ]

    def test_refuses_another_number_of_labels(self):
        with pytest.raises(CheckError, match=r"bottom 1 \(labels\) is \(5\), which is"):
            shapes_of("Accuracy", "", [(4, 3), (5,)])
