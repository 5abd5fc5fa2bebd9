import math

import numpy as np
import pytest
import scipy.special
import torch
from torch.nn import functional

from caffe.errors import CheckError, FileError
from caffe.proto.blobs import to_proto
from tests.support.layers import (
    as_tensor,
    check_gradient,
    check_layer,
    loss_and_gradients,
    make_context,
    make_layer,
    run_layer,
    shapes_of,
)

SHAPE = (2, 3, 2, 2)
LABELS = np.array([0, 1, 2, 2, 1, 0, 0, 2]).reshape(2, 1, 2, 2)


def softmax_loss(bottoms, options="", gpu=False):
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
        loss, _ = softmax_loss([scores, LABELS])
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
        loss, gradient = softmax_loss([scores, LABELS], options)
        assert loss == pytest.approx(want / divisor, rel=1e-6)
        onehot = functional.one_hot(labels, 3).permute(0, 3, 1, 2)
        counted = torch.from_numpy(LABELS != 2)
        torch.testing.assert_close(
            gradient, (scores.softmax(1) - onehot) * counted / divisor
        )

    def test_nothing_to_count_is_no_loss(self):
        loss, gradient = softmax_loss(
            [SHAPE, np.full((2, 1, 2, 2), 7)], "loss_param { ignore_label: 7 }"
        )
        assert loss == 0
        assert not np.signbit(float(loss))
        assert not gradient.any()

    def test_gradient(self):
        check_gradient("SoftmaxWithLoss", "", [SHAPE, LABELS])

    def test_a_hopeless_score_has_a_finite_loss_and_still_a_gradient(self):
        loss, gradient = softmax_loss([np.array([[0.0, 200.0]]), np.array([0])])
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
        loss, gradient = softmax_loss([scores, np.array([1, 0]), weights], gpu=gpu)
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
        loss, gradient = softmax_loss(
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
            ([SHAPE, (1, 1, 2, 4)], "expected the same size of axis 0"),
            (
                [SHAPE, (2, 1, 3, 2)],
                r"bottom 1 \(labels\) is \(2,1,3,2\), which is 12 values: expected 8",
            ),
            (
                [SHAPE, (2, 1, 2, 2), (2, 3, 2, 2)],
                r"bottom 2 \(weights\) is \(2,3,2,2\), which is 24 values: expected 8",
            ),
        ],
    )
    def test_refuses_shapes(self, shapes, match):
        with pytest.raises(CheckError, match=match):
            shapes_of("SoftmaxWithLoss", "", shapes)

    @pytest.mark.parametrize("label", [-1, 3, 255])
    def test_refuses_a_label_without_a_class(self, label):
        labels = np.full((2, 1, 2, 2), label)
        with pytest.raises(CheckError, match=f"holds label {label}: expected 0 to 2"):
            run_layer("SoftmaxWithLoss", "", [SHAPE, labels])

    @pytest.mark.parametrize("label", [math.nan, math.inf, -math.inf])
    def test_says_that_a_label_is_no_number(self, label):
        labels = np.full((2, 1, 2, 2), label)
        with pytest.raises(
            CheckError, match="a label that is no finite number: expected 0 to 2"
        ):
            run_layer("SoftmaxWithLoss", "", [SHAPE, labels])

    @pytest.mark.parametrize(
        ("gpu", "loss", "scale"), [(False, 0, None), (True, math.log(2) * 6 / 6, 1 / 6)]
    )
    def test_weights_of_both_signs(self, gpu, loss, scale):
        got, gradient = softmax_loss(
            [np.zeros((2, 2)), np.array([0, 1]), np.array([3, -3])], gpu=gpu
        )
        assert got == pytest.approx(loss)
        want = np.array([[-1.5, 1.5], [-1.5, 1.5]])
        np.testing.assert_allclose(gradient, want * (scale or 1), rtol=1e-6)

    def test_a_gradient_of_weights_that_cancel_has_not_even_the_loss_weight(self):
        scores = torch.zeros(2, 2, requires_grad=True)
        bottoms = [scores, np.array([0, 1]), np.array([3, -3])]
        (loss,) = run_layer("SoftmaxWithLoss", "", bottoms)
        (5 * loss).backward()
        assert scores.grad.tolist() == [[-1.5, 1.5], [-1.5, 1.5]]

    def test_weights_that_sum_to_minus_one_are_divided_by_all_pixels(self):
        loss, _ = softmax_loss(
            [np.zeros((3, 2)), np.array([0, 1, 1]), np.array([1, -2, -0.5])]
        )
        assert loss == pytest.approx(-1.5 * math.log(2) / 3)

    def test_a_weight_of_an_ignored_pixel_does_not_matter(self):
        weights = np.array([np.nan, 2])
        loss, gradient = softmax_loss(
            [np.zeros((2, 2)), np.array([9, 1]), weights],
            "loss_param { ignore_label: 9 }",
        )
        assert loss == pytest.approx(math.log(2))
        assert gradient.tolist() == [[0, 0], [0.5, -0.5]]

    def test_no_pixels_are_no_loss(self):
        loss, gradient = softmax_loss([(2, 3, 0), np.zeros((2, 0))])
        assert loss == 0
        assert gradient.shape == (2, 3, 0)


class TestInfogainLoss:
    scores = np.random.default_rng(0).normal(size=(2, 3, 2, 2)).astype(np.float32)
    gains = np.arange(9).reshape(1, 1, 3, 3) / 4

    def prob(self):
        return scipy.special.softmax(self.scores.astype(float), 1)

    def write(self, tmp_path, values):
        path = tmp_path / "H.binaryproto"
        path.write_bytes(to_proto(values).SerializeToString())
        return f'infogain_loss_param {{ source: "{path}" }}'

    def test_shapes(self):
        bottoms = [self.scores, LABELS, self.gains]
        check_layer("InfogainLoss", "", bottoms, tops=[()])
        check_layer("InfogainLoss", "", bottoms, tops=[(), SHAPE])

    @pytest.mark.parametrize(
        ("mode", "divisor"),
        [("", 5), ("FULL", 8), ("BATCH_SIZE", 2), ("NONE", 1), ("VALID", 5)],
    )
    def test_rows_of_the_matrix_weigh_the_logarithms(self, mode, divisor):
        mode = f"normalization: {mode}" if mode else ""
        options = f"loss_param {{ ignore_label: 2 {mode} }}"
        loss, (gradient,) = loss_and_gradients(
            "InfogainLoss", options, [self.scores, LABELS, self.gains], 3.0
        )
        rows = self.gains[0, 0][LABELS[:, 0]].transpose(0, 3, 1, 2) * (LABELS != 2)
        prob = self.prob()
        assert loss == pytest.approx(-(rows * np.log(prob)).sum() / divisor, rel=1e-5)
        want = prob * rows.sum(1, keepdims=True) - rows
        np.testing.assert_allclose(gradient, 3 * want / divisor, atol=1e-6)

    def test_gradient(self):
        check_gradient("InfogainLoss", "", [self.scores, LABELS, self.gains])

    def test_the_matrix_comes_from_a_file(self, tmp_path):
        options = self.write(tmp_path, self.gains)
        (got,) = run_layer("InfogainLoss", options, [self.scores, LABELS])
        (want,) = run_layer("InfogainLoss", "", [self.scores, LABELS, self.gains])
        assert got == want

    def test_the_identity_is_the_softmax_loss(self):
        bottoms = [self.scores.transpose(0, 2, 1, 3), LABELS.reshape(2, 2, 2)]
        axis = "infogain_loss_param { axis: -2 }"
        loss, softmax = run_layer("InfogainLoss", axis, [*bottoms, np.eye(3)], tops=2)
        (want,) = run_layer("SoftmaxWithLoss", "softmax_param { axis: 2 }", bottoms)
        torch.testing.assert_close(loss, want)
        np.testing.assert_allclose(
            softmax, self.prob().transpose(0, 2, 1, 3), rtol=1e-5
        )

    def test_a_tiny_probability_is_lifted_in_the_loss_only(self):
        loss, (gradient,) = loss_and_gradients(
            "InfogainLoss", "", [np.array([[0.0, 200.0]]), np.array([0]), np.eye(2)]
        )
        assert loss == pytest.approx(-math.log(1e-20))
        assert gradient.tolist() == [[-1, 1]]

    def test_says_that_it_makes_a_softmax_layer(self):
        context = make_context()
        bottoms = [self.scores, LABELS, self.gains]
        run_layer("InfogainLoss", "", bottoms, context=context)
        assert context.lines == [("layer_factory.hpp:77", "Creating layer x")]

    def test_refuses_normalize(self):
        with pytest.raises(
            CheckError, match="normalize, which is deprecated: expected normal"
        ):
            make_layer("InfogainLoss", "loss_param { normalize: true }", bottoms=3)

    def test_refuses_no_matrix(self):
        with pytest.raises(
            CheckError, match="Infogain matrix source must be specified"
        ):
            make_layer("InfogainLoss", "", bottoms=2)

    def test_refuses_a_matrix_of_another_size(self, tmp_path):
        shapes = [SHAPE, LABELS.shape]
        with pytest.raises(CheckError, match=r"bottom 2 is \(2,3\), which is 6 values"):
            shapes_of("InfogainLoss", "", [*shapes, (2, 3)])
        options = self.write(tmp_path, np.zeros((4, 4)))
        with pytest.raises(
            CheckError, match=r"H.binaryproto: H is \(4,4\), which is 16"
        ):
            shapes_of("InfogainLoss", options, shapes)

    def test_refuses_a_file_that_is_none(self, tmp_path):
        options = 'infogain_loss_param { source: "nowhere" }'
        with pytest.raises(FileError, match="nowhere: cannot read it: No such file"):
            make_layer("InfogainLoss", options, bottoms=2)
        path = tmp_path / "H.binaryproto"
        options = f'infogain_loss_param {{ source: "{path}" }}'
        no_values = b"\x08\1\x10\1\x18\1\x20\2"
        for content in (b"\xff\xff", no_values):
            path.write_bytes(content)
            with pytest.raises(FileError, match="is not a complete BlobProto"):
                make_layer("InfogainLoss", options, bottoms=2)

    def test_refuses_a_name_that_no_file_can_have(self):
        options = r'infogain_loss_param { source: "a\000b" }'
        with pytest.raises(
            FileError, match=r"'a\\x00b': cannot read it: embedded null"
        ):
            make_layer("InfogainLoss", options, bottoms=2)
