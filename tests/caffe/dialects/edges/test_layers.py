"""The loss in which both classes weigh the same."""

import math

import pytest
import torch

from caffe.errors import CheckError
from tests.support.layers import loss_and_gradients, shapes_of

KIND = "SigmoidCrossEntropyBalanceLoss"


def test_each_class_weighs_by_the_number_of_the_other():
    scores = torch.tensor([[1.0, -2, 0.5, 3]])
    labels = torch.tensor([[1.0, 0, 0, 0]])
    loss, (gradient,) = loss_and_gradients(KIND, "", [scores, labels])
    p = [1 / (1 + math.exp(-x)) for x in (1, -2, 0.5, 3)]
    others = [-math.log(1 - q) for q in p[1:]]
    assert loss == pytest.approx(0.75 * -math.log(p[0]) + 0.25 * sum(others))
    expected = [0.75 * (p[0] - 1), *(0.25 * q for q in p[1:])]
    assert gradient[0] == pytest.approx(expected)


def test_other_labels_do_not_count():
    scores = torch.tensor([[1.0, -2], [7, 8]])
    labels = torch.tensor([[1.0, 0], [255, 255]])
    loss, (gradient,) = loss_and_gradients(KIND, "", [scores, labels])
    alone, _ = loss_and_gradients(KIND, "", [scores[:1], labels[:1]])
    assert loss == pytest.approx(alone / 2)
    assert not gradient[1].any()


def test_one_class_alone_costs_nothing():
    loss, (gradient,) = loss_and_gradients(
        KIND, "", [torch.ones(1, 3), torch.ones(1, 3)]
    )
    assert loss == 0
    assert not gradient.any()


def test_other_numbers_of_labels_are_refused():
    with pytest.raises(CheckError, match="labels"):
        shapes_of(KIND, "", [(2, 3), (2, 4)])
