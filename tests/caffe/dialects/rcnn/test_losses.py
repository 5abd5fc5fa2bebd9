"""Losses of regions, and which regions count."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import caffe
from caffe.engine.catalogue import layer_class
from caffe.errors import CheckError
from caffe.proto import caffe_pb2
from tests.support.layers import (
    check_gradient,
    check_layer,
    loss_and_gradients,
    run_layer,
    shapes_of,
)

SIGMA = "smooth_l1_loss_param { sigma: 2 }"


def spread(*shape: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def dialect_of(bottoms: int, tops: int = 1, text: str = "") -> str:
    names = [f'bottom: "b{i}" ' for i in range(bottoms)]
    names += [f'top: "t{i}" ' for i in range(tops)]
    text = f'layer {{ type: "SmoothL1Loss" {"".join(names)} {text} }}'
    (layer,) = caffe.parse_net(text).layer
    return layer_class(layer.type, layer).dialect


def test_a_box_loss_is_a_square_near_zero_and_a_distance_beyond():
    a, b = np.array([[0.1, 3, 1]]), np.array([[0.0, 1, 2]])
    inside, outside = np.array([[1, 0.5, 2]]), np.array([[1, 1, 0.5]])
    (loss,) = run_layer("SmoothL1Loss", SIGMA, [a, b, inside, outside])
    expected = 0.5 * 4 * 0.1**2 + (1 - 0.5 / 4) + 0.5 * (2 - 0.5 / 4)
    assert loss.item() == pytest.approx(expected)


def test_the_gradients_of_a_box_loss_are_the_derivative():
    check_gradient("SmoothL1Loss", SIGMA, [(3, 4), (3, 4), (3, 4), (3, 4)])
    check_gradient("SmoothL1LossOHEM", "", [(3, 4, 2, 1), (3, 4, 2, 1)])
    check_gradient("SmoothL1LossOHEM", "", [(3, 4, 2, 1), (3, 4, 2, 1)], tops=2)


def test_weights_of_mined_regions_are_in_the_loss_once_and_not_in_the_gradient():
    a, b, w = spread(3, 4), spread(3, 4, seed=6), spread(3, 4, seed=7)
    loss, (first, second) = loss_and_gradients("SmoothL1LossOHEM", "", [a, b, w])
    x = w * (a - b)
    each = np.where(abs(x) < 1, x * x / 2, abs(x) - 0.5)
    assert loss == pytest.approx(each.sum() / 3)
    np.testing.assert_allclose(first, np.clip(x, -1, 1) / 3, rtol=1e-6)
    np.testing.assert_array_equal(first, -second)


@pytest.mark.parametrize(
    ("options", "divisor"),
    [
        ("", 12),
        ("normalization: FULL", 12),
        ("normalization: BATCH_SIZE", 2),
        ("normalization: NONE", 1),
        ("normalization: PRE_FIXED pre_fixed_normalizer: 5", 5),
        ("normalization: PRE_FIXED pre_fixed_normalizer: 0.5", 1),
        ("normalize: false", 2),
    ],
)
def test_a_loss_of_mined_regions_is_divided_as_asked(options, divisor):
    bottoms = [spread(2, 4, 3, 2), spread(2, 4, 3, 2, seed=6)]
    loss, each = run_layer(
        "SmoothL1LossOHEM", f"loss_param {{ {options} }}", bottoms, tops=2
    )
    assert each.shape == (2, 1, 3, 2)
    assert loss.item() == pytest.approx(each.sum().item() / divisor)


def test_losses_of_two_axes_have_four():
    check_layer("SmoothL1LossOHEM", "", [(5, 8), (5, 8)], [(), (5, 1, 1, 1)])


def test_only_a_loss_weight_makes_a_box_loss_count():
    text = """
    layer { name: "in" type: "Input" top: "a" top: "b"
      input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "loss" type: "SmoothL1Loss" bottom: "a" bottom: "b" top: "loss"
      smooth_l1_loss_param { sigma: 1 } %s }
    """
    weights = [
        caffe.Net(caffe.parse_net(text % more), caffe.TEST).blob_loss_weights["loss"]
        for more in ("", "loss_weight: 3")
    ]
    assert weights == [0, 3]


def test_options_bottoms_and_tops_tell_whose_box_loss_is_meant():
    assert dialect_of(2) == "ssd"
    assert dialect_of(2, text=SIGMA) == "rcnn"
    assert dialect_of(3) == dialect_of(4) == dialect_of(2, tops=2) == "rcnn"


def test_three_bottoms_are_the_mined_form_under_its_first_name():
    bottoms = [spread(6, 8, seed=i) for i in range(3)]
    options = "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 256 }"
    early = run_layer("SmoothL1Loss", options, bottoms, tops=2)
    late = run_layer("SmoothL1LossOHEM", options, bottoms, tops=2)
    assert [top.tolist() for top in early] == [top.tolist() for top in late]


@pytest.mark.parametrize("kind", ["SoftmaxWithLossOHEM", "SoftmaxWithLoss"])
def test_each_position_has_its_softmax_loss_and_none_if_ignored(kind):
    scores, labels = spread(3, 4, 2, 1), np.array([0, 3, -1, 2, 1, -1])
    loss, p, each = run_layer(
        kind,
        "loss_param { ignore_label: -1 }",
        [scores, labels.reshape(3, 1, 2, 1)],
        tops=3,
    )
    picked = [
        -math.log(p[i // 2, label, i % 2, 0]) if label >= 0 else 0
        for i, label in enumerate(labels)
    ]
    np.testing.assert_allclose(each.flatten(), picked, rtol=1e-6)
    assert each.shape == (3, 1, 2, 1)
    assert loss.item() == pytest.approx(sum(picked) / 4)


def test_two_tops_are_a_plain_softmax_loss():
    layer = caffe_pb2.LayerParameter(type="SoftmaxWithLoss", top=["loss", "p"])
    assert layer_class(layer.type, layer).dialect == ""


def test_the_regions_of_largest_loss_are_kept_in_each_image():
    images = np.array([0, 1, 0, 1, 0, 1, 2])
    losses = np.array([3, 1, 5, 9, 4, 2, 0], np.float32)
    regions = np.zeros((7, 5, 1, 1))
    regions[:, 0, 0, 0] = images
    labels, weights = run_layer(
        "BoxAnnotatorOHEM",
        "box_annotator_ohem_param { roi_per_img: 2 ignore_label: 255 }",
        [
            regions,
            losses.reshape(7, 1, 1, 1),
            np.arange(7.0).reshape(7, 1, 1, 1),
            np.ones((7, 8, 1, 1)),
        ],
        tops=2,
    )
    assert labels.flatten().tolist() == [255, 255, 2, 3, 4, 5, 6]
    assert weights[:, 0].flatten().tolist() == [0, 0, 1, 1, 1, 1, 1]
    assert torch.equal(weights, weights[:, :1].expand(-1, 8, -1, -1))


def test_positions_are_regions_too():
    top = [(2, 1, 3, 4), (2, 8, 3, 4)]
    bottoms = [np.zeros((2, 5, 3, 4)), (2, 1, 3, 4), (2, 1, 3, 4), (2, 8, 3, 4)]
    check_layer(
        "BoxAnnotatorOHEM", "box_annotator_ohem_param { roi_per_img: 5 }", bottoms, top
    )


@pytest.mark.parametrize(
    ("kind", "options", "shapes", "message"),
    [
        ("SmoothL1Loss", SIGMA, [(2, 3), (2, 4)], "expected equal shapes"),
        (
            "SmoothL1Loss",
            "smooth_l1_loss_param { sigma: 0 }",
            [(2, 3), (2, 3)],
            "sigma is 0",
        ),
        ("SmoothL1LossOHEM", "", [(2,), (2,)], "expected 2 axes"),
        (
            "SoftmaxWithLossOHEM",
            "loss_param { normalization: PRE_FIXED }",
            [(2, 3), (2,)],
            "normalization is PRE_FIXED: expected one of FULL, VALID",
        ),
        (
            "BoxAnnotatorOHEM",
            "box_annotator_ohem_param { roi_per_img: 0 }",
            [(2, 5), (2, 1), (2, 1), (2, 4)],
            "roi_per_img is 0",
        ),
        (
            "BoxAnnotatorOHEM",
            "box_annotator_ohem_param { roi_per_img: 1 }",
            [(2, 5), (3, 1), (2, 1), (2, 4)],
            r"bottom 1 \(losses\) .* expected 2",
        ),
        (
            "BoxAnnotatorOHEM",
            "box_annotator_ohem_param { roi_per_img: 1 }",
            [(2, 5), (2, 1), (2, 1), (3, 4)],
            r"bottom 3 \(weights\)",
        ),
    ],
)
def test_bottoms_and_options_that_do_not_fit_are_refused(
    kind, options, shapes, message
):
    tops = 2 if kind == "BoxAnnotatorOHEM" else 1
    with pytest.raises(CheckError, match=message):
        shapes_of(kind, options, shapes, tops)
