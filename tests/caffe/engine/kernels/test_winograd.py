"""Winograd's filtering gives what a plain sum in float64 gives, and its gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from caffe.engine.kernels import onednn, winograd

pytestmark = pytest.mark.skipif(
    not onednn.available(), reason="this torch has no oneDNN operators"
)


def draw(seed, *shape):
    """Normal numbers, channels last."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator)
    return x.to(memory_format=torch.channels_last) if len(shape) == 4 else x


def relative(got, want):
    """Relative L2 distance."""
    return float((got - want).norm() / want.norm())


shapes = st.tuples(
    st.integers(1, 2),
    st.integers(2, 9),
    st.integers(2, 7),
    st.integers(3, 21),
    st.integers(3, 26),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
)


@settings(deadline=None, max_examples=40)
@given(shapes, st.booleans(), st.sampled_from([None, 0.0, 0.1]))
def test_any_shape_and_pad_gives_the_plain_convolution(shape, with_bias, slope):
    count, inside, outside, down, across, pad = shape
    x, weight = draw(0, count, inside, down, across), draw(1, outside, inside, 3, 3)
    bias = draw(2, outside) if with_bias else None
    y = winograd.convolve(
        x,
        winograd.change_weights(weight),
        bias,
        channels=outside,
        pad=pad,
        slope=slope,
    )
    want = functional.conv2d(
        x.double(),
        weight.double(),
        None if bias is None else bias.double(),
        padding=pad,
    )
    if slope is not None:
        want = functional.leaky_relu(want, slope)
    assert y.shape == want.shape
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(y.double(), want, rtol=0, atol=2e-4)


@pytest.mark.parametrize("tiles", [4, 512])  # all windows at once, or in chunks
@pytest.mark.parametrize("pad", [(0, 0), (1, 2)])
def test_gradients_are_those_of_the_plain_convolution(tiles, pad, monkeypatch):
    monkeypatch.setattr(winograd, "_CHUNK", tiles)
    monkeypatch.setattr(winograd, "_MOST_SUMS", 36 * 6 * 3)  # several blocks
    monkeypatch.setattr(winograd, "_LEAST_PRODUCT_ANEW", 0)
    monkeypatch.setattr(winograd, "_LEAST_WINDOWS_ANEW", 0)
    found, wanted = [], []
    for dtype, answers in ((torch.float32, found), (torch.float64, wanted)):
        x, weight, bias = (
            t.to(dtype).requires_grad_()
            for t in (draw(0, 2, 6, 17, 22), draw(1, 8, 6, 3, 3), draw(2, 8))
        )
        if dtype is torch.float32:
            y = winograd.convolve_differentiably(x, weight, bias, pad=pad, slope=None)
        else:
            y = functional.conv2d(x, weight, bias, padding=pad)
        direction = draw(3, *y.shape).to(dtype)
        answers.extend([y, *torch.autograd.grad(y, (x, weight, bias), direction)])
    for got, want in zip(found, wanted, strict=True):
        assert relative(got.detach().double(), want.detach()) < 5e-6


def test_where_changing_the_weights_does_not_pay_the_gradients_are_the_same():
    x, weight = draw(0, 1, 5, 12, 12), draw(1, 4, 5, 3, 3)
    found = []
    for kernel in (winograd.convolve_differentiably, None):
        leaf, kernels = x.clone().requires_grad_(), weight.clone().requires_grad_()
        if kernel is None:
            y = functional.leaky_relu(functional.conv2d(leaf, kernels), 0.1)
        else:
            y = kernel(leaf, kernels, None, pad=(0, 0), slope=0.1)
        found.append([y, *torch.autograd.grad(y.sum(), (leaf, kernels))])
    for got, want in zip(*found, strict=True):
        assert relative(got.detach(), want.detach()) < 1e-5


def test_many_channels_round_away_little_more_than_a_plain_sum():
    x, weight = draw(0, 1, 512, 30, 30).relu(), draw(1, 16, 512, 3, 3) * 0.02
    want = functional.conv2d(x.double(), weight.double())
    changed = winograd.change_weights(weight)
    y = winograd.convolve(x, changed, None, channels=16, pad=(0, 0))
    plain = functional.conv2d(x, weight)
    assert relative(y.double(), want) < 1e-5
    assert relative(y.double(), want) < 8 * relative(plain.double(), want)


def test_it_is_chosen_for_wide_layers_and_enough_windows_only():
    wide = (256, 256, 3, 3)
    assert winograd.suits((1, 256, 102, 102), wide, (0, 0))
    assert not winograd.suits((1, 256, 14, 14), wide, (0, 0))  # weights weigh more
    assert not winograd.suits((1, 64, 570, 570), (64, 64, 3, 3), (0, 0))
    assert not winograd.suits((1, 256, 2, 102), wide, (0, 0))  # too small for a kernel
    assert not winograd.suits((1, 256, 102, 102), wide, (3, 3))
