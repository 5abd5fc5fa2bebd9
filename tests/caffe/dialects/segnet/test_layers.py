"""Layers of SegNet."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

import caffe
from caffe.engine.catalogue import layer_class
from caffe.errors import CheckError
from tests.support.layers import (
    check_gradient,
    check_layer,
    make_context,
    make_layer,
    run_layer,
    shapes_of,
)

BN = "bn_param { scale_filler { value: 2 } shift_filler { value: 1 } %s }"
CLASSES = """loss_param { weight_by_label_freqs: true ignore_label: 9
  class_weighting: 0.5 class_weighting: 2 class_weighting: 3 }"""


def dialect_of(kind: str, text: str = "") -> str:
    (layer,) = caffe.parse_net(f'layer {{ type: "{kind}" {text} }}').layer
    return layer_class(layer.type, layer).dialect


def places(*shape: int, pixels: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    flat = torch.rand(*shape[:2], pixels, generator=generator).argsort(2)
    return flat[..., : shape[2] * shape[3]].reshape(shape).float()


@pytest.mark.parametrize("train", [True, False])
def test_each_channel_is_normalised_by_its_batch_in_every_phase(train):
    context = make_context(train=train)
    top, mean, variance = run_layer(
        "BN", BN % "", [(4, 3, 5, 5)], tops=3, context=context
    )
    x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    assert top.mean((0, 2, 3)).tolist() == pytest.approx([1] * 3)
    torch.testing.assert_close(mean.flatten(), x.mean((0, 2, 3)))
    torch.testing.assert_close(variance.flatten(), x.var((0, 2, 3), correction=0))
    assert mean.shape == variance.shape == (1, 3, 1, 1)


@pytest.mark.parametrize("mode", ["LEARN", "INFERENCE"])
def test_the_gradient_of_a_normalization_is_the_derivative(mode):
    check_gradient("BN", BN % f"bn_mode: {mode}", [(3, 2, 2, 3)])


def test_folded_statistics_leave_a_scale_and_a_shift():
    layer = make_layer("BN", BN % "bn_mode: INFERENCE")
    x, params = torch.randn(2, 3, 4, 4), [torch.rand(1, 3, 1, 1) for _ in range(2)]
    (top,) = layer.forward([x], params, make_context())
    torch.testing.assert_close(top, params[0] * x + params[1])
    torch.testing.assert_close(
        layer.forward_in_place(x.clone(), params, make_context()), top
    )


def test_one_value_a_channel_is_the_shift():
    (top,) = run_layer("BN", BN % "", [(1, 3, 1, 1)])
    assert top.flatten().tolist() == [1, 1, 1]


def test_what_pooling_took_away_is_put_back_where_it_was():
    text = """
    layer { name: "in" type: "Input" top: "x"
      input_param { shape { dim: 2 dim: 3 dim: 7 dim: 9 } } }
    layer { name: "pool" type: "Pooling" bottom: "x" top: "p" top: "mask"
      pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
    layer { name: "up" type: "Upsample" bottom: "p" bottom: "mask" top: "y"
      upsample_param { upsample_h: 7 upsample_w: 9 } }
    """
    net = caffe.Net(caffe.parse_net(text), caffe.TEST)
    x = np.random.default_rng(0).normal(size=(2, 3, 7, 9)).astype(np.float32)
    net.blobs["x"].data[...] = x
    y = net.forward()["y"]
    padded = np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=-np.inf)
    windows = padded.reshape(2, 3, 4, 2, 5, 2).max((3, 5))
    largest = windows.repeat(2, 2).repeat(2, 3)[:, :, :7, :9]
    np.testing.assert_array_equal(y, np.where(x == largest, x, 0))


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ("", (8, 10)),
        ("scale: 3", (12, 15)),
        ("scale_h: 1 scale_w: 2", (4, 10)),
        ("pad_out_h: true", (7, 10)),
        ("pad_out_w: true", (8, 9)),
        ("upsample_h: 6 upsample_w: 11", (6, 11)),
    ],
)
def test_options_say_how_large_the_top_is(options, size):
    bottoms = [(2, 3, 4, 5), places(2, 3, 4, 5, pixels=size[0] * size[1])]
    check_layer("Upsample", f"upsample_param {{ {options} }}", bottoms, [(2, 3, *size)])


def test_the_gradient_of_an_upsampling_is_the_derivative():
    check_gradient("Upsample", "", [(1, 2, 2, 3), places(1, 2, 2, 3, pixels=24)])


@pytest.mark.parametrize("place", [-1, 24])
def test_a_place_beyond_the_plane_is_refused(place):
    bottoms = [(1, 1, 2, 3), np.full((1, 1, 2, 3), place)]
    with pytest.raises(CheckError, match=f"place {place}: expected 0 to 23"):
        run_layer("Upsample", "", bottoms)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("scale_h: 2", "scale_h and scale_w"),
        ("upsample_w: 2", "upsample_h and upsample_w"),
        ("scale: 0", "scale is"),
        ("scale: 3 pad_out_h: true", "with scale 3: expected 2"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(CheckError, match=message):
        shapes_of(
            "Upsample", f"upsample_param {{ {options} }}", [(1, 1, 2, 2), (1, 1, 2, 2)]
        )


def test_classes_have_weights_in_the_loss():
    scores = torch.randn(2, 3, 2, 2, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 9, 2, 1, 0, 0]).reshape(2, 1, 2, 2)
    loss, p = run_layer("SoftmaxWithLoss", CLASSES, [scores, labels.float()], tops=2)
    expected = functional.cross_entropy(
        scores,
        labels.squeeze(1),
        torch.tensor([0.5, 2, 3]),
        ignore_index=9,
        reduction="sum",
    )
    torch.testing.assert_close(loss, expected / 7)
    torch.testing.assert_close(p, scores.softmax(1))


def test_every_class_needs_its_weight():
    with pytest.raises(CheckError, match="class_weighting has 3 values: expected 4"):
        run_layer("SoftmaxWithLoss", CLASSES, [(2, 4), np.zeros(2)])


def test_only_the_options_of_segnet_make_a_layer_segnets():
    assert dialect_of("SoftmaxWithLoss", CLASSES) == "segnet"
    assert dialect_of("SoftmaxWithLoss", "loss_param { ignore_label: 9 }") == ""
    assert dialect_of("Dropout", "dropout_param { dropout_ratio: 0.2 }") == ""


def test_a_sampling_dropout_drops_in_phase_test():
    options = "dropout_param { sample_weights_test: true dropout_ratio: 0.5 }"
    (top,) = run_layer("Dropout", options, [np.ones((100, 10))])
    assert sorted(set(top.flatten().tolist())) == [0, 2]
