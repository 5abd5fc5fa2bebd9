"""Layers of PSPNet and DeepLab."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from scipy.io import loadmat

import caffe
from caffe.engine.catalogue import layer_class
from caffe.errors import CheckError
from tests.support.layers import (
    check_gradient,
    check_layer,
    forward,
    make_context,
    make_layer,
    run_layer,
    shapes_of,
)

BN = "bn_param { slope_filler { value: 2 } bias_filler { value: 1 } %s }"


def train_net(param: str = "", bn: str = "") -> caffe.Net:
    text = f"""
    layer {{ name: "in" type: "Input" top: "x"
      input_param {{ shape {{ dim: 2 dim: 3 dim: 4 dim: 4 }} }} }}
    layer {{ name: "bn" type: "BN" bottom: "x" top: "y" {param} {BN % bn} }}
    layer {{ name: "sum" type: "Reduction" bottom: "y" top: "s" loss_weight: 1 }}
    """
    return caffe.Net(caffe.parse_net(text), caffe.TRAIN)


def dialect_of(options: str, blobs: int | None = None) -> str:
    (layer,) = caffe.parse_net(f'layer {{ type: "BN" {options} }}').layer
    return layer_class(layer.type, layer, lambda: blobs).dialect


def test_fields_then_blobs_tell_whose_normalization_is_meant():
    assert dialect_of("bn_param { frozen: true }") == "pspnet"
    assert dialect_of("bn_param { bn_mode: INFERENCE }", 4) == "segnet"
    assert dialect_of("", 2) == "segnet"
    assert dialect_of("", 4) == dialect_of("") == "pspnet"


def test_a_batch_has_mean_and_deviation_of_bias_and_slope():
    (top,) = run_layer("BN", BN % "", [(4, 3, 5, 5)], context=make_context(train=True))
    assert top.mean((0, 2, 3)).tolist() == pytest.approx([1] * 3)
    assert top.std((0, 2, 3), correction=0).tolist() == pytest.approx([2] * 3, rel=1e-4)


def test_running_statistics_follow_the_batches():
    net = train_net(bn="momentum: 0.75")
    net.blobs["x"].data[...] = x = np.random.default_rng(1).normal(3, 2, (2, 3, 4, 4))
    net.forward()
    net.forward()
    kept = 0.75 * 0.25 + 0.25
    mean, variance = (net.params["bn"][i].data.ravel() for i in (2, 3))
    np.testing.assert_allclose(mean, kept * x.mean((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(variance, kept * x.var((0, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize("bn", ["", "frozen: true"])
def test_statistics_do_not_learn_whatever_the_net_says(bn):
    net = train_net("param { lr_mult: 1 } " * 4, bn)
    rates = [item.lr_mult for item in net._wiring.learnable]
    assert rates == ([0, 0, 0, 0] if bn else [1, 1, 0, 0])


@pytest.mark.parametrize(("options", "learnt"), [("", 3), ("frozen: true", 1)])
def test_the_gradient_in_training_is_the_derivative(options, learnt):
    context = make_context(train=True)
    layer = make_layer("BN", BN % options, context=context)
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(3, 2, 2, 3, generator=generator, dtype=torch.float64)]
    values += [torch.rand(1, 2, 1, 1, generator=generator).double() for _ in range(4)]

    def function(*some: torch.Tensor) -> torch.Tensor:
        x, *params = [*some, *values[len(some) :]]
        return layer.forward([x], [param.clone() for param in params], context)[0]

    leaves = [value.clone().requires_grad_() for value in values[:learnt]]
    assert torch.autograd.gradcheck(function, leaves)


def test_in_phase_test_the_gradient_takes_the_statistics_for_the_batchs():
    layer = make_layer("BN", BN % "")
    x = torch.randn(2, 3, 4, 4, requires_grad=True)
    mean, variance = torch.randn(3), torch.rand(3) + 0.5
    shape = (1, 3, 1, 1)
    params = [torch.full(shape, 2.0), torch.ones(shape)]
    params += [mean.view(shape), variance.view(shape)]
    (top,) = layer.forward([x], params, make_context())
    grad = torch.randn(top.shape)
    top.backward(grad)
    inverse = (variance + 1e-5).rsqrt().view(shape)
    normal = (x.detach() - mean.view(shape)) * inverse
    axes = (0, 2, 3)
    expected = grad - grad.mean(axes, keepdim=True)
    expected -= normal * (grad * normal).mean(axes, keepdim=True)
    torch.testing.assert_close(x.grad, 2 * inverse * expected)


def test_a_stored_normalization_may_be_written_over_its_bottom():
    layer = make_layer("BN", BN % "")
    x = torch.randn(2, 3, 4, 4)
    params = [torch.rand(1, 3, 1, 1) for _ in range(4)]
    (want,) = layer.forward([x.clone()], params, make_context())
    got = layer.forward_in_place(x, params, make_context())
    assert got is x
    torch.testing.assert_close(got, want)


def test_interpolation_of_opencv_is_the_same():
    text = """
    layer { name: "x" type: "Input" top: "x"
      input_param { shape { dim: 1 dim: 2 dim: 5 dim: 7 } } }
    layer { name: "y" type: "Interp" bottom: "x" top: "y"
      interp_param { height: 9 width: 12 } }
    """
    x = np.random.default_rng(0).normal(size=(1, 2, 5, 7)).astype(np.float32)
    theirs = cv2.dnn.readNetFromCaffe(bytearray(text.encode()))
    theirs.setInput(x)
    (ours,) = run_layer("Interp", "interp_param { height: 9 width: 12 }", [x])
    np.testing.assert_allclose(ours, theirs.forward(), rtol=1e-5, atol=1e-6)


def test_the_gradient_of_an_interpolation_is_the_derivative():
    options = "interp_param { height: 5 width: 4 pad_beg: -1 pad_end: -1 }"
    check_gradient("Interp", options, [(1, 2, 5, 6)])


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ("shrink_factor: 3", (4, 3)),
        ("zoom_factor: 2", (19, 15)),
        ("shrink_factor: 2 zoom_factor: 4 height: 50", (17, 13)),
        ("height: 3 width: 4", (3, 4)),
        ("zoom_factor: 2 pad_beg: -2 pad_end: -1", (13, 9)),
        ("zoom_factor: 1", (10, 8)),
    ],
)
def test_factors_or_sizes_say_how_large_the_top_is(options, size):
    options = f"interp_param {{ {options} }}"
    check_layer("Interp", options, [(2, 3, 10, 8)], [(2, 3, *size)])


def test_a_second_bottom_says_how_large_the_top_is():
    check_layer("Interp", "", [(2, 3, 4, 5), (1, 1, 9, 6)], [(2, 3, 9, 6)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "expected shrink_factor"),
        ("interp_param { height: 4 }", "expected shrink_factor"),
        ("interp_param { zoom_factor: 0 }", "zoom_factor is 0"),
        ("interp_param { zoom_factor: 2 pad_beg: 1 }", "pad_beg is 1"),
        ("interp_param { zoom_factor: 2 pad_beg: -9 }", "leave nothing"),
    ],
)
def test_an_interpolation_without_a_size_is_refused(options, message):
    with pytest.raises(CheckError, match=message):
        shapes_of("Interp", options, [(1, 1, 8, 8)])


def confusion(
    truth: list[int], found: list[int]
) -> tuple[list, np.ndarray, np.ndarray]:
    scores = np.zeros((1, 4, 1, len(found)))
    scores[0, found, 0, range(len(found))] = 1
    return scores, np.array(truth, np.float32).reshape(1, 1, 1, -1)


def test_shares_of_a_segmentation_are_as_counted_by_hand():
    (top,) = run_layer(
        "SegAccuracy",
        "seg_accuracy_param { ignore_label: 255 ignore_label: 9 }",
        confusion([0, 0, 1, 1, 255, 9], [0, 1, 1, 1, 0, 3]),
    )
    # classes 2 and 3 are nowhere: their intersection is their union
    assert top.flatten().tolist() == pytest.approx(
        [3 / 4, (1 / 2 + 1) / 2, (1 / 2 + 2 / 3 + 1 + 1) / 4]
    )


def test_of_equal_scores_the_last_class_wins():
    bottoms = [np.zeros((1, 3, 1, 2)), np.array([2, 0]).reshape(1, 1, 1, 2)]
    (top,) = run_layer("SegAccuracy", "", bottoms)
    assert top[0, 0, 0, 0] == 0.5


def test_counts_are_kept_over_forwards_unless_reset():
    context = make_context()
    layer = make_layer(
        "SegAccuracy", "seg_accuracy_param { reset: false }", bottoms=2, context=context
    )
    for found, share in (([0, 1], 1), ([1, 0], 0.5), ([1, 0], 1 / 3)):
        bottoms = [torch.tensor(value) for value in confusion([0, 1], found)]
        (top,) = forward(layer, bottoms, context)
        assert top[0, 0, 0, 0].item() == pytest.approx(share)


def test_a_label_that_is_no_class_is_refused():
    with pytest.raises(CheckError, match="label 4"):
        run_layer("SegAccuracy", "", confusion([4], [0]))


def test_margins_are_zeros_or_cut_off():
    x = np.arange(12.0).reshape(1, 1, 3, 4)
    (top,) = run_layer("Padding", "padding_param { pad_beg: 1 pad_end: -1 }", [x])
    expected = np.pad(x[:, :, :-1, :-1], ((0, 0), (0, 0), (1, 0), (1, 0)))
    assert np.array_equal(top, expected)
    options = "padding_param { pad_beg: -2 pad_end: 3 }"
    check_layer("Padding", options, [(2, 3, 4, 5)], [(2, 3, 5, 6)])
    check_gradient("Padding", options, [(1, 1, 3, 4)])
    with pytest.raises(CheckError, match="leave nothing"):
        shapes_of("Padding", options, [(1, 1, 2, 4)])


def test_scores_are_written_for_matlab(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.txt").write_text("first.png\nsecond.png\nthird.png\n")
    context = make_context()
    layer = make_layer(
        "MatWrite",
        'mat_write_param { prefix: "out_" source: "names.txt" strip: 4 period: 2 }',
        context=context,
    )
    scores = torch.randn(1, 3, 4, 5)
    for _ in range(3):
        forward(layer, [scores], context)
    files = sorted(path.name for path in tmp_path.glob("*.mat"))
    assert files == ["out_first_blob_0.mat", "out_third_blob_0.mat"]
    data = loadmat(files[0])["data"]
    assert data.dtype == np.float32
    np.testing.assert_array_equal(data[..., 0], scores[0].permute(2, 1, 0))
    forward(layer, [scores], context)
    with pytest.raises(CheckError, match=r"names\.txt: has 3 names"):
        forward(layer, [scores], context)
