import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from caffe.errors import CheckError
from tests.support.layers import (
    as_tensor,
    check_gradient,
    check_layer,
    make_context,
    run_layer,
    shapes_of,
)

SHAPE = (2, 3, 2, 2)
LABELS = np.array([0, 1, 2, 2, 1, 0, 0, 2]).reshape(2, 1, 2, 2)


def loss_and_gradient(bottoms, options="", gpu=False):
    scores = as_tensor(bottoms[0]).clone().requires_grad_()
    (loss,) = run_layer(
        "SoftmaxWithLoss",
        options,
        [scores, *bottoms[1:]],
        context=make_context(gpu=gpu),
    )
    loss.backward()
    return loss.item(), scores.grad


class TestSoftmaxWithLoss:
    def test_the_top_is_a_number(self):
        check_layer("SoftmaxWithLoss", "", [SHAPE, LABELS], tops=[()])

    def test_labels_may_have_any_shape_of_that_count(self):
        check_layer("SoftmaxWithLoss", "", [SHAPE, LABELS.reshape(2, 4)], tops=[()])

    def test_the_second_top_is_the_softmax(self):
        check_layer("SoftmaxWithLoss", "", [SHAPE, LABELS], tops=[(), SHAPE])
        scores = as_tensor(SHAPE)
        _, softmax = run_layer("SoftmaxWithLoss", "", [scores, LABELS], tops=2)
        torch.testing.assert_close(softmax, scores.softmax(1))

    def test_is_the_cross_entropy(self):
        scores, labels = as_tensor(SHAPE), torch.from_numpy(LABELS[:, 0])
        loss, _ = loss_and_gradient([scores, LABELS])
        assert loss == pytest.approx(functional.cross_entropy(scores, labels).item())

    def test_axis_of_the_classes(self):
        scores = np.log([[[1, 3], [1, 1]]])
        (loss,) = run_layer(
            "SoftmaxWithLoss",
            "softmax_param { axis: 2 }",
            [scores, np.array([[1, 0]])],
        )
        assert loss.item() == pytest.approx(-(math.log(0.75) + math.log(0.5)) / 2)

    @pytest.mark.parametrize(
        ("text", "divisor"),
        [
            ("", 5),
            ("normalization: VALID", 5),
            ("normalization: FULL", 8),
            ("normalization: BATCH_SIZE", 2),
            ("normalization: NONE", 1),
            ("normalize: true", 5),
            ("normalize: false", 2),
            ("normalize: false normalization: FULL", 8),
        ],
    )
    def test_normalization(self, text, divisor):
        scores, labels = as_tensor(SHAPE), torch.from_numpy(LABELS[:, 0])
        want = functional.cross_entropy(
            scores, labels, ignore_index=2, reduction="sum"
        ).item()
        options = f"loss_param {{ ignore_label: 2 {text} }}"
        loss, gradient = loss_and_gradient([scores, LABELS], options)
        assert loss == pytest.approx(want / divisor, rel=1e-6)
        onehot = functional.one_hot(labels, 3).permute(0, 3, 1, 2)
        counted = torch.from_numpy(LABELS != 2)
        torch.testing.assert_close(
            gradient, (scores.softmax(1) - onehot) * counted / divisor
        )

    def test_nothing_to_count_is_no_loss(self):
        loss, gradient = loss_and_gradient(
            [SHAPE, np.full((2, 1, 2, 2), 7)], "loss_param { ignore_label: 7 }"
        )
        assert loss == 0
        assert not gradient.any()

    def test_gradient(self):
        check_gradient("SoftmaxWithLoss", "", [SHAPE, LABELS])

    def test_a_hopeless_score_has_a_finite_loss_and_still_a_gradient(self):
        loss, gradient = loss_and_gradient([np.array([[0.0, 200.0]]), np.array([0])])
        assert loss == pytest.approx(-math.log(np.finfo(np.float32).tiny))
        assert gradient.tolist() == [[-1, 1]]

    @pytest.mark.parametrize(
        ("total", "gpu", "divisor", "scale"),
        [
            (0.7, False, 1, 0.7),
            (0.7, True, 1, 1),
            (10.9, False, 10, 10.9),
            (10.9, True, 10, 10),
        ],
    )
    def test_weights_on_cpu_and_gpu(self, total, gpu, divisor, scale):
        scores = np.log([[1.0, 3.0], [1.0, 1.0]])
        weights = np.array([0.25, 0.75]) * total
        loss, gradient = loss_and_gradient([scores, np.array([1, 0]), weights], gpu=gpu)
        want = weights[0] * -math.log(0.75) + weights[1] * -math.log(0.5)
        assert loss == pytest.approx(want / divisor, rel=1e-6)
        difference = np.array([[0.25, -0.25], [-0.5, 0.5]])
        np.testing.assert_allclose(
            gradient, weights[:, None] * difference / scale, rtol=1e-5
        )

    @pytest.mark.parametrize(
        ("mode", "divisor"), [("FULL", 2), ("BATCH_SIZE", 2), ("NONE", 1)]
    )
    def test_weights_change_no_other_divisor(self, mode, divisor):
        options = f"loss_param {{ normalization: {mode} }}"
        loss, gradient = loss_and_gradient(
            [np.zeros((2, 2)), np.array([0, 1]), np.array([4, 1])], options
        )
        assert loss == pytest.approx(5 * math.log(2) / divisor)
        np.testing.assert_allclose(gradient, [[-0.4, 0.4], [0.1, -0.1]], rtol=1e-6)

    @pytest.mark.parametrize("gpu", [False, True])
    def test_weights_of_zero(self, gpu):
        context = make_context(gpu=gpu)
        scores = torch.randn(2, 2, requires_grad=True)
        (loss,) = run_layer(
            "SoftmaxWithLoss",
            "",
            [scores, np.array([0, 1]), np.zeros(2)],
            context=context,
        )
        loss.backward()
        assert loss.item() == 0
        assert not scores.grad.any()
        warning = "SoftmaxWithLoss warning: sum of pixel wise loss weights is zero!"
        assert [text for _, text in context.lines[1:]] == ([] if gpu else [warning])

    @pytest.mark.parametrize(
        ("shapes", "match"),
        [
            ([SHAPE, (1, 1, 2, 4)], "same size of axis 0 is accepted"),
            (
                [SHAPE, (2, 1, 3, 2)],
                r"bottom 1 \(labels\) is \(2,1,3,2\), which is 12 values: 8 are acc",
            ),
            (
                [SHAPE, (2, 1, 2, 2), (2, 3, 2, 2)],
                r"bottom 2 \(weights\) is \(2,3,2,2\), which is 24 values: 8 are acc",
            ),
        ],
    )
    def test_refuses_shapes(self, shapes, match):
        with pytest.raises(CheckError, match=match):
            shapes_of("SoftmaxWithLoss", "", shapes)

    @pytest.mark.parametrize("label", [-1, 3, 255])
    def test_refuses_a_label_without_a_class(self, label):
        labels = np.full((2, 1, 2, 2), label)
        with pytest.raises(CheckError, match=f"holds label {label}: 0 to 2 are accept"):
            run_layer("SoftmaxWithLoss", "", [SHAPE, labels])
