import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe.errors import CheckError
from tests.support.layers import (
    check_gradient,
    check_layer,
    make_context,
    make_layer,
    run_layer,
    shapes_of,
)


def options(text: str) -> str:
    return f"pooling_param {{ {text} }}"


def pool_in_loops(x, kernel, stride, pad, ceil, method):
    """Caffe's rules as sections 12.2 of the layer specification words them."""
    size = x.shape[2:]
    rounding = math.ceil if ceil else math.floor
    out = [
        rounding((n + 2 * p - k) / s) + 1
        for n, k, s, p in zip(size, kernel, stride, pad, strict=True)
    ]
    if sum(pad):
        out = [
            o - 1 if (o - 1) * s >= n + p else o
            for o, n, s, p in zip(out, size, stride, pad, strict=True)
        ]
    top = np.zeros((*x.shape[:2], *out), np.float32)
    mask = np.zeros_like(top)
    for place in itertools.product(*map(range, out)):
        start = [i * s - p for i, s, p in zip(place, stride, pad, strict=True)]
        end = [
            min(a + k, n + p)
            for a, k, n, p in zip(start, kernel, size, pad, strict=True)
        ]
        area = math.prod(b - a for a, b in zip(start, end, strict=True))
        inside = [
            range(max(a, 0), min(b, n))
            for a, b, n in zip(start, end, size, strict=True)
        ]
        for plane in np.ndindex(*x.shape[:2]):
            best, index, total = -np.finfo(np.float32).max, -1, 0.0
            for point in itertools.product(*inside):
                value = x[plane][point]
                total += value
                if value > best:
                    best, index = value, np.ravel_multi_index(point, size)
            top[(*plane, *place)] = best if method == "MAX" else total / area
            mask[(*plane, *place)] = index
    return top, mask


@st.composite
def pooling_cases(draw, *, gaps):
    axes = draw(st.integers(1, 3))
    kernel = [draw(st.integers(1, 3)) for _ in range(axes)]
    stride = [draw(st.integers(1, 4 if gaps else k)) for k in kernel]
    pad = [draw(st.integers(0, k - 1)) for k in kernel]
    size = [draw(st.integers(k - p, 5)) for k, p in zip(kernel, pad, strict=True)]
    return kernel, stride, pad, size, draw(st.booleans())


def text_of(kernel, stride, pad, ceil, method):
    parts = [f"kernel_size: {k}" for k in kernel]
    parts += [f"stride: {s}" for s in stride] + [f"pad: {p}" for p in pad]
    mode = "CEIL" if ceil else "FLOOR"
    return options(f"pool: {method} round_mode: {mode} " + " ".join(parts))


class TestPooling:
    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(pooling_cases(gaps=True))
    def test_maximum_and_its_index_follow_caffes_loops(self, case):
        kernel, stride, pad, size, ceil = case
        x = np.random.default_rng(0).integers(0, 4, (2, 1, *size)).astype(np.float32)
        text = text_of(kernel, stride, pad, ceil, "MAX")
        top, mask = run_layer("Pooling", text, [x], tops=2)
        want, index = pool_in_loops(x, kernel, stride, pad, ceil, "MAX")
        np.testing.assert_array_equal(top.numpy(), want)
        np.testing.assert_array_equal(mask.numpy(), index)
        (alone,) = run_layer("Pooling", text, [x])
        np.testing.assert_array_equal(alone.numpy(), want)

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(pooling_cases(gaps=False))
    def test_average_follows_caffes_loops(self, case):
        kernel, stride, pad, size, ceil = case
        x = np.random.default_rng(0).normal(size=(2, 1, *size)).astype(np.float32)
        text = text_of(kernel, stride, pad, ceil, "AVE")
        (top,) = run_layer("Pooling", text, [x])
        want, _ = pool_in_loops(x, kernel, stride, pad, ceil, "AVE")
        np.testing.assert_allclose(top.numpy(), want, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("method", ["MAX", "AVE"])
    def test_a_kernel_may_be_longer_than_a_volume_with_padding(self, method):
        kernel, stride, pad = [4, 4, 2], [3, 2, 1], [1, 2, 1]
        x = np.random.default_rng(0).normal(size=(2, 1, 3, 2, 1)).astype(np.float32)
        text = text_of(kernel, stride, pad, True, method)
        (top,) = run_layer("Pooling", text, [x])
        want, _ = pool_in_loops(x, kernel, stride, pad, True, method)
        np.testing.assert_allclose(top.numpy(), want, rtol=1e-5)

    def test_odd_sizes_are_rounded_up(self):
        check_layer(
            "Pooling",
            options("kernel_size: 2 stride: 2"),
            [(2, 3, 9, 12)],
            tops=[(2, 3, 5, 6)],
        )

    def test_round_mode_floor_rounds_down(self):
        text = options("kernel_size: 2 stride: 2 round_mode: FLOOR")
        assert shapes_of("Pooling", text, [(2, 3, 9, 12)]) == [(2, 3, 4, 6)]

    def test_volumes_take_one_value_for_each_axis(self):
        text = options("kernel_size: 1 kernel_size: 2 kernel_size: 2 stride: 2")
        check_layer("Pooling", text, [(1, 2, 3, 4, 6)], tops=[(1, 2, 2, 2, 3)])

    def test_axis_moves_the_channels(self):
        text = options("kernel_size: 2 stride: 2 axis: 2")
        check_layer("Pooling", text, [(1, 2, 3, 4, 6)], tops=[(1, 2, 3, 2, 3)])

    def test_global_pooling_takes_the_whole_channel(self):
        bottom = np.arange(12).reshape(1, 2, 2, 3)
        (top,) = run_layer(
            "Pooling", options("pool: AVE global_pooling: true"), [bottom]
        )
        assert top.tolist() == [[[[2.5]], [[8.5]]]]

    @pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
    def test_the_first_of_equal_maxima_gets_the_gradient(self, layout):
        bottom = torch.ones(1, 3, 4, 4).contiguous(memory_format=layout)
        bottom.requires_grad_()
        (top,) = run_layer("Pooling", options("kernel_size: 2 stride: 2"), [bottom])
        top.sum().backward()
        plane = [[1, 0, 1, 0], [0] * 4, [1, 0, 1, 0], [0] * 4]
        assert bottom.grad.tolist() == [[plane] * 3]

    @pytest.mark.parametrize(
        "text",
        [
            "kernel_size: 3 stride: 2 pad: 1",
            "kernel_size: 3 stride: 2 pad: 2",
            "pool: AVE kernel_size: 3 stride: 2 pad: 1",
            "pool: AVE kernel_size: 3 stride: 2 pad: 2",
        ],
    )
    def test_gradient(self, text):
        check_gradient("Pooling", options(text), [(1, 2, 5, 4)])

    def test_padded_average_of_a_volume_has_the_gradient_of_a_cpu_caffe(self):
        text = options("pool: AVE kernel_size: 2 stride: 2 pad: 1")
        layer = make_layer("Pooling", text)
        grads = []
        for gpu in (False, True):
            bottom = torch.zeros(1, 1, 2, 2, 2, requires_grad=True)
            (top,) = layer.forward([bottom], [], make_context(gpu=gpu))
            top.sum().backward()
            grads.append(bottom.grad)
        # each voxel is alone in a window of 8, which has 1 voxel inside the bottom
        assert torch.equal(grads[0], torch.ones(1, 1, 2, 2, 2))
        assert torch.equal(grads[1], torch.full((1, 1, 2, 2, 2), 1 / 8))

    def test_stochastic_takes_elements_in_proportion_to_their_value(self):
        bottom = torch.tensor([1.0, 0.0, 3.0, 0.0]).repeat(1, 4000, 1).view(1, -1, 2, 2)
        text = options("pool: STOCHASTIC kernel_size: 2 stride: 2")
        (top,) = run_layer("Pooling", text, [bottom], context=make_context(train=True))
        assert set(top.unique().tolist()) == {1.0, 3.0}
        assert (top == 3).float().mean().item() == pytest.approx(0.75, abs=0.02)

    def test_stochastic_weights_by_the_values_in_test(self):
        bottom = np.array([[[[1, 0], [3, 0]], [[0, 0], [0, 0]], [[-2, 0], [0, 1]]]])
        text = options("pool: STOCHASTIC kernel_size: 2")
        (top,) = run_layer("Pooling", text, [bottom])
        # windows without a positive sum give 0
        assert top.flatten().tolist() == [2.5, 0, 0]

    def test_stochastic_gives_the_gradient_to_the_element_it_took(self):
        bottom = torch.rand(1, 2, 5, 6, requires_grad=True)
        text = options("pool: STOCHASTIC kernel_size: 3 stride: 3")
        (top,) = run_layer("Pooling", text, [bottom], context=make_context(train=True))
        assert top.shape == (1, 2, 2, 2)
        top.sum().backward()
        taken = bottom.grad == 1
        assert taken.sum() == 8
        assert set(bottom[taken].tolist()) == set(top.flatten().tolist())
        assert not bottom.grad[~taken].any()

    def test_stochastic_recomputes_with_the_same_draws(self):
        context = make_context(train=True)
        layer = make_layer("Pooling", options("pool: STOCHASTIC kernel_size: 4"))
        bottom = torch.rand(5, 5, 8, 8)
        (first,) = layer.forward([bottom], [], context)
        context.recomputing = True
        (again,) = layer.forward([bottom], [], context)
        assert torch.equal(again, first)
        context.recomputing = False
        (other,) = layer.forward([bottom], [], context)
        assert not torch.equal(other, first)

    @pytest.mark.parametrize("train", [False, True])
    def test_stochastic_gradient(self, train):
        bottom = torch.rand(1, 2, 4, 4) + 0.1
        text = options("pool: STOCHASTIC kernel_size: 2 stride: 2")
        check_gradient("Pooling", text, [bottom], train=train)

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            (
                "kernel_size: 2 pad: 2",
                r"pad is \(2,2\): expected values below kernel_size",
            ),
            ("kernel_h: 2", "kernel_h and kernel_w must be given together"),
            ("global_pooling: true kernel_size: 2", "takes no kernel_size"),
            ("global_pooling: true stride: 2", "needs pad 0 and stride 1"),
            ("pool: STOCHASTIC kernel_size: 2 pad: 1", "STOCHASTIC pooling accepts 0"),
            ("kernel_size: 2 axis: 3", "has 0 spatial axes: expected 1 to 3"),
            ("kernel_size: 9", r"too small for kernel_size \(9,9\)"),
        ],
    )
    def test_refuses(self, text, match):
        with pytest.raises(CheckError, match=match):
            shapes_of("Pooling", options(text), [(1, 2, 4, 4)])

    def test_refuses_a_second_top_but_for_the_maximum(self):
        with pytest.raises(CheckError, match="only MAX pooling has a second one"):
            make_layer("Pooling", options("pool: AVE kernel_size: 2"), tops=2)


class TestSPP:
    @pytest.mark.parametrize("pool", ["MAX", "AVE"])
    @pytest.mark.parametrize("size", [(8, 8), (9, 12), (7, 13), (20, 11)])
    def test_joins_pooling_layers(self, pool, size):
        x = np.random.default_rng(0).normal(size=(2, 3, *size)).astype(np.float32)
        text = f"spp_param {{ pyramid_height: 3 pool: {pool} }}"
        (top,) = run_layer("SPP", text, [x])
        levels = []
        for level in range(3):
            kernel = [math.ceil(n / 2**level) for n in size]
            pairs = zip(kernel, size, strict=True)
            pad = [(k * 2**level - n + 1) // 2 for k, n in pairs]
            want, _ = pool_in_loops(x, kernel, kernel, pad, True, pool)
            levels.append(want.reshape(2, -1))
        np.testing.assert_allclose(top, np.hstack(levels), rtol=1e-5, atol=1e-6)
        check_layer("SPP", text, [(2, 3, *size)], tops=[(2, 3 * (1 + 4 + 16))])

    def test_one_level_keeps_its_axes(self):
        text = "spp_param { pyramid_height: 1 }"
        check_layer("SPP", text, [(2, 3, 5, 7)], tops=[(2, 3, 1, 1)])

    def test_stochastic_weights_by_the_values_in_test(self):
        x = np.zeros((1, 1, 2, 2))
        x[0, 0] = [[1, 0], [3, 0]]
        text = "spp_param { pyramid_height: 2 pool: STOCHASTIC }"
        (top,) = run_layer("SPP", text, [x])
        assert top.tolist() == [[2.5, 1, 0, 3, 0]]

    @pytest.mark.parametrize("pool", ["MAX", "AVE"])
    def test_gradient(self, pool):
        text = f"spp_param {{ pyramid_height: 2 pool: {pool} }}"
        check_gradient("SPP", text, [(1, 2, 5, 4)])

    @pytest.mark.parametrize(
        ("text", "shape", "match"),
        [
            ("", (1, 2, 4, 4), "pyramid_height is 0: expected a number above 0"),
            ("pyramid_height: 1", (2, 4, 4), r"bottom 0 is \(2,4,4\): expected 4 axes"),
            ("pyramid_height: 1", (1, 2, 4, 0), "4 axes, the last two not empty"),
            (
                "pyramid_height: 3",
                (1, 2, 5, 5),
                r"3 cannot divide: pad is \(2,2\): expected values below",
            ),
            (
                "pyramid_height: 2 pool: STOCHASTIC",
                (1, 2, 5, 4),
                r"pad is \(1,0\): STOCHASTIC pooling accepts 0",
            ),
        ],
    )
    def test_refuses(self, text, shape, match):
        with pytest.raises(CheckError, match=match):
            shapes_of("SPP", f"spp_param {{ {text} }}", [shape])
