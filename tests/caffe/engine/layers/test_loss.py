import math

import numpy as np
import pytest

from caffe.errors import CheckError
from tests.support.layers import (
    as_tensor,
    check_gradient,
    check_layer,
    loss_and_gradients,
    run_layer,
    shapes_of,
)


class TestMultinomialLogisticLoss:
    prob = np.array([[0.2, 0.8], [0.6, 0.4], [1, 0]])
    labels = np.array([1, 0, 1])

    def test_shape(self):
        check_layer(
            "MultinomialLogisticLoss",
            "",
            [np.full((2, 3, 1, 1), 0.3), np.zeros((2, 1, 1, 1))],
            tops=[()],
        )

    def test_is_the_mean_of_logarithms_lifted_to_1e_20(self):
        loss, (gradient,) = loss_and_gradients(
            "MultinomialLogisticLoss", "", [self.prob, self.labels]
        )
        logs = math.log(0.8) + math.log(0.6) + math.log(1e-20)
        assert loss == pytest.approx(-logs / 3)
        want = np.array([[0, -1 / 0.8], [-1 / 0.6, 0], [0, -1e20]]) / 3
        np.testing.assert_allclose(gradient, want, rtol=1e-5)

    def test_gradient(self):
        prob = np.random.default_rng(0).uniform(0.1, 1, (4, 3, 2))
        check_gradient("MultinomialLogisticLoss", "", [prob, np.array([5, 0, 2, 3])])

    def test_refuses_labels_for_pixels(self):
        with pytest.raises(CheckError, match=r"\(labels\) is \(2,4\), which is 8 val"):
            shapes_of("MultinomialLogisticLoss", "", [(2, 3, 4), (2, 4)])

    def test_refuses_a_label_without_a_class(self):
        with pytest.raises(CheckError, match="holds label 2: expected 0 to 1"):
            run_layer("MultinomialLogisticLoss", "", [self.prob, np.array([1, 2, 0])])
        with pytest.raises(CheckError, match="holds a label that is no finite number"):
            run_layer("MultinomialLogisticLoss", "", [self.prob, np.full(3, np.nan)])


class TestHingeLoss:
    # margins 1 + x, 1 - x for the true class: 3 0.5 0 | 0 1.25 0
    scores = np.array([[2, -0.5, 1], [-1, -0.25, -2]])
    labels = np.array([2, 1])

    def test_shape(self):
        check_layer("HingeLoss", "", [(2, 3, 2), np.array([5, 0])], tops=[()])

    def test_l1(self):
        loss, (gradient,) = loss_and_gradients(
            "HingeLoss", "", [self.scores, self.labels]
        )
        assert loss == (3 + 0.5 + 1.25) / 2
        assert (gradient * 2).tolist() == [[1, 1, 0], [0, -1, 0]]

    def test_l2(self):
        options = "hinge_loss_param { norm: L2 }"
        loss, (gradient,) = loss_and_gradients(
            "HingeLoss", options, [self.scores, self.labels], 4.0
        )
        assert loss == (9 + 0.25 + 1.5625) / 2
        assert (gradient / 4).tolist() == [[3, 0.5, 0], [0, -1.25, 0]]

    @pytest.mark.parametrize("norm", ["L1", "L2"])
    def test_gradient(self, norm):
        options = f"hinge_loss_param {{ norm: {norm} }}"
        check_gradient("HingeLoss", options, [(3, 4), np.array([0, 3, 1])])

    def test_the_first_labels_count(self):
        labels = np.array([[2, 1], [0, 0]])
        (loss,) = run_layer("HingeLoss", "", [self.scores, labels])
        assert loss.item() == (3 + 0.5 + 1.25) / 2

    def test_refuses_fewer_labels_than_samples(self):
        with pytest.raises(CheckError, match=r"\(labels\) is \(2,0\), which is 0 val"):
            shapes_of("HingeLoss", "", [(2, 3), (2, 0)])

    def test_refuses_a_label_without_a_class(self):
        with pytest.raises(CheckError, match="holds label -1: expected 0 to 2"):
            run_layer("HingeLoss", "", [self.scores, np.array([0, -1])])


class TestSigmoidCrossEntropyLoss:
    targets = np.array([[1, 0.25, 0.75, 0], [-0.5, 1, 1, 2]])

    def bottoms(self):
        return [as_tensor((2, 4)), self.targets]

    def test_shape(self):
        check_layer("SigmoidCrossEntropyLoss", "", [(2, 3, 4), (2, 12)], tops=[()])

    @pytest.mark.parametrize(
        ("text", "divisor"),
        [
            ("", 2),
            ("normalization: BATCH_SIZE", 2),
            ("normalization: VALID", 4),
            ("normalization: FULL", 8),
            ("normalization: NONE", 1),
            ("normalize: true", 4),
            ("normalize: false", 2),
            ("normalize: true normalization: NONE", 1),
        ],
    )
    def test_targets_with_the_integer_part_to_ignore_do_not_count(self, text, divisor):
        loss, (gradient,) = loss_and_gradients(
            "SigmoidCrossEntropyLoss",
            f"loss_param {{ ignore_label: 0 {text} }}",
            self.bottoms(),
        )
        x, t = self.bottoms()[0].double().numpy(), self.targets
        counted = np.trunc(t) != 0
        sigmoid = 1 / (1 + np.exp(-x))
        each = -(t * np.log(sigmoid) + (1 - t) * np.log(1 - sigmoid))
        assert counted.sum() == 4
        assert loss == pytest.approx((each * counted).sum() / divisor, rel=1e-5)
        want = (sigmoid - t) * counted / divisor
        np.testing.assert_allclose(gradient, want, atol=1e-6)

    def test_without_a_label_to_ignore_all_count(self):
        options = "loss_param { normalization: VALID }"
        (valid,) = run_layer("SigmoidCrossEntropyLoss", options, self.bottoms())
        options = "loss_param { normalization: FULL }"
        (full,) = run_layer("SigmoidCrossEntropyLoss", options, self.bottoms())
        assert valid == full

    def test_large_scores_stay_finite(self):
        x = np.array([[1000.0, -1000.0]])
        loss, (gradient,) = loss_and_gradients(
            "SigmoidCrossEntropyLoss", "", [x, 1 - (x > 0)]
        )
        assert loss == 2000
        assert gradient.tolist() == [[1, -1]]

    def test_gradient(self):
        check_gradient("SigmoidCrossEntropyLoss", "", [(2, 4), self.targets])

    def test_refuses_another_number_of_targets(self):
        with pytest.raises(CheckError, match="expected the same number of values"):
            shapes_of("SigmoidCrossEntropyLoss", "", [(2, 4), (2, 3)])


class TestEuclideanLoss:
    def test_shape(self):
        check_layer("EuclideanLoss", "", [(2, 3, 4), (2, 12)], tops=[()])
        bottoms = [(2, 3, 4, 5), (2, 3, 4, 5), (2, 1, 4, 5)]
        check_layer("EuclideanLoss", "", bottoms, tops=[()])

    def test_is_half_the_mean_of_squared_distances(self):
        a, b = np.array([[1.0, 2], [3, 4]]), np.array([[0.0, 4], [3, 1]])
        loss, gradients = loss_and_gradients("EuclideanLoss", "", [a, b], 2.0)
        assert loss == (1 + 4 + 9) / 4
        assert gradients[0].tolist() == [[1, -2], [0, 3]]
        assert gradients[1].tolist() == [[-1, 2], [0, -3]]

    @pytest.mark.parametrize("total", [0.5, 5])
    def test_weights(self, total):
        rng = np.random.default_rng(0)
        a, b = rng.normal(size=(2, 2, 3, 4, 5))
        b = b.reshape(2, 60)
        w = rng.normal(size=(2, 1, 4, 5))
        w *= total / np.abs(w).sum()
        loss, gradients = loss_and_gradients("EuclideanLoss", "", [a, b, w], 3.0)
        d = a - b.reshape(a.shape)
        factor = 1 / (3 * max(1, total))
        assert loss == pytest.approx((w * d * d).sum() / 2 * factor, rel=1e-4)
        want = 3 * w * d * factor
        np.testing.assert_allclose(gradients[0], want, atol=1e-6)
        np.testing.assert_allclose(gradients[1], -want.reshape(2, 60), atol=1e-6)

    def test_gradient(self):
        check_gradient("EuclideanLoss", "", [(2, 3, 4), (2, 12)])
        check_gradient("EuclideanLoss", "", [(2, 3, 4), (2, 3, 4), np.ones((2, 1, 4))])

    @pytest.mark.parametrize(
        ("shapes", "match"),
        [
            ([(2, 3), (3, 2)], "expected the same size of axis 0"),
            ([(), ()], "expected the same size of axis 0"),
            ([(2, 3), (2, 4)], "expected the same number of values of a sample"),
            ([(2, 3, 4), (2, 3, 4), (2, 3, 4)], r"is \(2,3,4\): expected \(2,1,4\)"),
            ([(2, 3, 4), (2, 3, 4), (2, 1, 5)], r"is \(2,1,5\): expected \(2,1,4\)"),
            ([(2, 3, 4), (2, 3, 4), (1, 1, 4)], r"is \(1,1,4\): expected \(2,1,4\)"),
        ],
    )
    def test_refuses_shapes(self, shapes, match):
        with pytest.raises(CheckError, match=match):
            shapes_of("EuclideanLoss", "", shapes)


class TestContrastiveLoss:
    # differences of length 5, 0.5, 0, 5
    a = np.array([[3, 4], [0.3, 0.4], [0, 0], [3, 4]])
    b = np.zeros((4, 2))
    similar = np.array([0, 0.9, 0, 1])

    def test_shape(self):
        bottoms = [(4, 2, 1, 1), (4, 2), (4, 1, 1, 1)]
        check_layer("ContrastiveLoss", "", bottoms, tops=[()])

    def test_pairs_that_differ_are_pushed_apart(self):
        options = "contrastive_loss_param { margin: 2 }"
        bottoms = [self.a, self.b, self.similar]
        loss, gradients = loss_and_gradients("ContrastiveLoss", options, bottoms)
        assert loss == pytest.approx((0 + 1.5**2 + 2**2 + 25) / 8)
        push = -1.5 / (0.5 + 1e-4)
        want = np.array([[0, 0], [0.3 * push, 0.4 * push], [0, 0], [3, 4]]) / 4
        np.testing.assert_allclose(gradients[0], want, rtol=1e-5)
        np.testing.assert_allclose(gradients[1], -want, rtol=1e-5)

    def test_legacy_version_compares_squares(self):
        options = "contrastive_loss_param { margin: 2 legacy_version: true }"
        bottoms = [self.a, self.b, self.similar]
        loss, gradients = loss_and_gradients("ContrastiveLoss", options, bottoms, 2.0)
        assert loss == pytest.approx((0 + (2 - 0.25) + 2 + 25) / 8)
        want = np.array([[0, 0], [-0.3, -0.4], [0, 0], [3, 4]]) / 2
        np.testing.assert_allclose(gradients[0], want, rtol=1e-5)

    @pytest.mark.parametrize("legacy", ["true", "false"])
    def test_gradient(self, legacy):
        # margins far above Caffe's 1e-4, which finite differences do not see
        options = f"contrastive_loss_param {{ margin: 90 legacy_version: {legacy} }}"
        bottoms = [30 * as_tensor((4, 2), 1), (4, 2), np.array([0, 1, 0, 1])]
        check_gradient("ContrastiveLoss", options, bottoms)

    @pytest.mark.parametrize(
        ("shapes", "match"),
        [
            ([(2, 3), (2, 4), (2,)], "same number of values of a sample"),
            ([(2, 3, 2, 1), (2, 6), (2,)], r"bottom 0 is \(2,3,2,1\): axes beyond 1"),
            ([(2, 3), (2, 3), (3,)], r"bottom 2 is \(3\): expected \(2\)"),
            ([(2, 3), (2, 3), (2, 2)], r"bottom 2 is \(2,2\): expected \(2\)"),
        ],
    )
    def test_refuses_shapes(self, shapes, match):
        with pytest.raises(CheckError, match=match):
            shapes_of("ContrastiveLoss", "", shapes)
