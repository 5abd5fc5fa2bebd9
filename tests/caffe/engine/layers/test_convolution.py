import itertools

import numpy as np
import pytest
import torch
from scipy import signal
from torch.nn import functional

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
    return f'convolution_param {{ {text} weight_filler {{ type: "msra" }} }}'


class TestConvolution:
    def test_valid_filter_makes_the_image_smaller(self):
        check_layer(
            "Convolution",
            options("num_output: 6 kernel_size: 3"),
            [(2, 4, 9, 12)],
            tops=[(2, 6, 7, 10)],
            params=[(6, 4, 3, 3), (6,)],
        )

    def test_the_size_is_rounded_down(self):
        top = shapes_of(
            "Convolution",
            options("num_output: 2 kernel_size: 3 stride: 2"),
            [(1, 1, 572, 573)],
        )
        assert top == [(1, 2, 285, 286)]

    def test_works_on_volumes(self):
        check_layer(
            "Convolution",
            options("num_output: 2 kernel_size: 1 kernel_size: 2 kernel_size: 3"),
            [(1, 3, 4, 5, 6)],
            tops=[(1, 2, 4, 4, 4)],
            params=[(2, 3, 1, 2, 3), (2,)],
        )

    def test_works_without_spatial_axes(self):
        check_layer(
            "Convolution",
            options("num_output: 5"),
            [(7, 3)],
            tops=[(7, 5)],
            params=[(5, 3), (5,)],
        )

    def test_axes_before_the_channels_are_samples(self):
        check_layer(
            "Convolution",
            options("num_output: 2 kernel_size: 3 axis: 2"),
            [(2, 3, 4, 6, 6)],
            tops=[(2, 3, 2, 4, 4)],
            params=[(2, 4, 3, 3), (2,)],
        )

    def test_several_bottoms_are_filtered_with_the_same_weights(self):
        bottom = torch.randn(1, 2, 4, 4)
        first, second = run_layer(
            "Convolution",
            options("num_output: 3 kernel_size: 3"),
            [bottom, bottom * 2],
            tops=2,
        )
        torch.testing.assert_close(second, first * 2)

    def test_one_pixel_by_hand(self):
        context = make_context()
        layer = make_layer("Convolution", options("num_output: 1 kernel_size: 2"))
        bottom = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
        weight = torch.tensor([[[[10.0, 20.0], [30.0, 40.0]]]])
        (top,) = layer.forward([bottom], [weight, torch.tensor([5.0])], context)
        assert top.item() == 10 + 40 + 90 + 160 + 5

    def test_gradient(self):
        check_gradient(
            "Convolution",
            options("num_output: 4 kernel_size: 3 pad: 1 stride: 2 group: 2"),
            [(2, 2, 4, 5)],
        )

    def test_gradient_without_spatial_axes(self):
        check_gradient("Convolution", options("num_output: 2"), [(3, 4)])

    @pytest.mark.parametrize(
        ("text", "shape", "match"),
        [
            ("kernel_size: 3", (1, 1, 8, 8), "num_output is 0"),
            ("num_output: 3 kernel_size: 3 group: 2", (1, 2, 8, 8), "multiple of grou"),
            ("num_output: 4 kernel_size: 3 group: 2", (1, 3, 8, 8), "has 3 channels"),
            ("num_output: 4", (1, 3, 8, 8), "no kernel_size is given"),
            (
                "num_output: 4 kernel_size: 3 kernel_h: 3 kernel_w: 2",
                (1, 3, 8, 8),
                "kernel_size is given, and kernel_h/kernel_w too",
            ),
            (
                "num_output: 4 kernel_h: 3 kernel_w: 2",
                (1, 3, 8, 8, 8),
                "kernel_h and kernel_w are for 2 spatial axes, bottom 0 has 3",
            ),
            (
                "num_output: 4 kernel_size: 3 stride: 1 stride: 2",
                (1, 3, 8, 8, 8),
                "stride has 2 values: expected 1 or 3",
            ),
            (
                "num_output: 4 kernel_size: 0",
                (1, 3, 8, 8),
                r"kernel_size is \(0\): every value must be above 0",
            ),
            (
                "num_output: 4 kernel_size: 3",
                (1, 3, 2, 8),
                r"bottom 0 is \(1,3,2,8\), too small for kernel_size \(3,3\)",
            ),
            ("num_output: 4 kernel_size: 3 axis: 4", (1, 3, 8, 8), "axis 4 is outside"),
        ],
    )
    def test_refuses(self, text, shape, match):
        with pytest.raises(CheckError, match=match):
            shapes_of("Convolution", options(text), [shape])

    def test_works_over_four_axes(self):
        text = options("num_output: 4 kernel_size: 2 stride: 2 pad: 1 group: 2")
        x, weight = torch.randn(2, 2, 3, 2, 4, 3), torch.randn(4, 1, 2, 2, 2, 2)
        layer = make_layer("Convolution", text)
        (top,) = layer.forward([x], [weight, torch.arange(4.0)], make_context())
        padded = np.pad(x.numpy(), [(0, 0)] * 2 + [(1, 1)] * 4)
        want = [
            [
                signal.correlate(padded[n, o // 2], weight[o, 0].numpy(), "valid") + o
                for o in range(4)
            ]
            for n in range(2)
        ]
        np.testing.assert_allclose(
            top.numpy(), np.array(want)[:, :, ::2, ::2, ::2, ::2], rtol=1e-4, atol=1e-5
        )
        check_layer(
            "Convolution",
            text.replace("num_output", "bias_term: false num_output"),
            [(2, 2, 3, 2, 4, 3)],
            tops=[(2, 4, 2, 2, 3, 2)],
            params=[(4, 1, 2, 2, 2, 2)],
        )

    def test_accepts_force_nd_im2col(self):
        text = options("num_output: 1 kernel_size: 2 force_nd_im2col: true")
        assert shapes_of("Convolution", text, [(1, 1, 4, 4)]) == [(1, 1, 3, 3)]

    def test_refuses_bottoms_of_different_shapes(self):
        with pytest.raises(CheckError, match=r"bottom 1 is \(1,2,5,4\), bottom 0 is"):
            shapes_of(
                "Convolution",
                options("num_output: 4 kernel_size: 3"),
                [(1, 2, 4, 4), (1, 2, 5, 4)],
                tops=2,
            )

    def test_refuses_other_channels_than_the_weights_have(self):
        layer = make_layer("Convolution", options("num_output: 4 kernel_size: 3"))
        layer.parameters([(1, 2, 5, 5)])
        with pytest.raises(CheckError, match="has 3 channels: the weights are for 2"):
            layer.shapes([(1, 3, 5, 5)])


class TestDeconvolution:
    def test_doubles_the_size(self):
        check_layer(
            "Deconvolution",
            options("num_output: 2 kernel_size: 2 stride: 2"),
            [(1, 4, 3, 5)],
            tops=[(1, 2, 6, 10)],
            params=[(4, 2, 2, 2), (2,)],
        )

    def test_padding_cuts_the_border(self):
        top = shapes_of(
            "Deconvolution",
            options("num_output: 2 kernel_size: 4 stride: 2 pad: 1"),
            [(1, 4, 9, 12)],
        )
        assert top == [(1, 2, 18, 24)]

    def test_works_on_volumes_in_groups(self):
        check_layer(
            "Deconvolution",
            options("num_output: 4 kernel_size: 2 stride: 2 group: 2 bias_term: false"),
            [(1, 2, 2, 3, 4)],
            tops=[(1, 4, 4, 6, 8)],
            params=[(2, 2, 2, 2, 2)],
        )

    def test_works_without_spatial_axes(self):
        check_layer(
            "Deconvolution",
            options("num_output: 5"),
            [(7, 3)],
            tops=[(7, 5)],
            params=[(3, 5), (5,)],
        )

    def test_each_pixel_adds_its_kernel(self):
        layer = make_layer(
            "Deconvolution",
            options("num_output: 1 kernel_size: 2 stride: 2 bias_term: false"),
        )
        bottom = torch.tensor([[[[1.0, 2.0]]]])
        weight = torch.tensor([[[[1.0, 10.0], [100.0, 1000.0]]]])
        (top,) = layer.forward([bottom], [weight], make_context())
        assert top.tolist() == [[[[1, 10, 2, 20], [100, 1000, 200, 2000]]]]

    def test_gradient(self):
        check_gradient(
            "Deconvolution",
            options("num_output: 4 kernel_size: 3 stride: 2 pad: 1 group: 2"),
            [(1, 2, 3, 3)],
        )

    def test_is_the_transpose_over_four_axes_too(self):
        text = options(
            "num_output: 2 kernel_size: 2 kernel_size: 3 kernel_size: 2 kernel_size: 1 "
            "stride: 2 pad: 1 pad: 1 pad: 0 pad: 0 dilation: 2 group: 2"
        )
        context = make_context()
        small, weight = torch.randn(1, 4, 2, 3, 2, 2), torch.randn(4, 1, 2, 3, 2, 1)
        layer = make_layer("Deconvolution", text)
        (large,) = layer.forward([small], [weight, torch.zeros(2)], context)
        assert [tuple(large.shape)] == layer.shapes([(1, 4, 2, 3, 2, 2)])
        other = torch.randn(large.shape)
        forward = make_layer("Convolution", text.replace("put: 2", "put: 4"))
        (back,) = forward.forward([other], [weight], context)
        # <deconvolve(a), b> = <a, convolve(b)>
        torch.testing.assert_close((large * other).sum(), (small * back).sum())

    def test_gradient_over_four_axes(self):
        text = options("num_output: 2 kernel_size: 2 pad: 1 bias_term: false")
        check_gradient("Deconvolution", text, [(1, 1, 2, 2, 2, 2)])

    def test_refuses_padding_that_leaves_nothing(self):
        with pytest.raises(CheckError, match=r"the top would be \(0,0\)"):
            shapes_of(
                "Deconvolution",
                options("num_output: 1 kernel_size: 2 pad: 1"),
                [(1, 1, 1, 1)],
            )


def im2col_in_loops(x, kernel, stride, pad, dilation):
    """Channel, then kernel element, then place, each in row-major order."""
    x = np.pad(x, [(0, 0)] * 2 + [(p, p) for p in pad])
    out = [
        (n - (d * (k - 1) + 1)) // s + 1
        for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)
    ]
    elements = list(itertools.product(*map(range, kernel)))
    top = np.zeros((x.shape[0], x.shape[1] * len(elements), *out), np.float32)
    for c, (i, element) in itertools.product(range(x.shape[1]), enumerate(elements)):
        for place in itertools.product(*map(range, out)):
            rows = zip(place, element, stride, dilation, strict=True)
            point = tuple(o * s + k * d for o, k, s, d in rows)
            top[(slice(None), c * len(elements) + i, *place)] = x[
                (slice(None), c, *point)
            ]
    return top


class TestIm2col:
    @pytest.mark.parametrize(
        ("text", "args", "shape"),
        [
            ("kernel_size: 3", ((3,), (1,), (0,), (1,)), (1, 2, 5)),
            (
                "kernel_h: 2 kernel_w: 3 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 0",
                ((2, 3), (2, 1), (1, 0), (1, 1)),
                (2, 3, 5, 4),
            ),
            (
                "kernel_size: 2 kernel_size: 1 kernel_size: 3 stride: 2 pad: 1 "
                "dilation: 1 dilation: 1 dilation: 2",
                ((2, 1, 3), (2, 2, 2), (1, 1, 1), (1, 1, 2)),
                (1, 2, 3, 4, 5),
            ),
        ],
    )
    def test_follows_caffes_order(self, text, args, shape):
        x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        want = im2col_in_loops(x, *args)
        (top,) = run_layer("Im2col", options(text), [x])
        np.testing.assert_array_equal(top.numpy(), want)
        check_layer("Im2col", options(text), [shape], tops=[want.shape])

    def test_is_torchs_unfold_over_two_axes(self):
        x = torch.randn(2, 3, 7, 6)
        text = options("kernel_size: 3 stride: 2 pad: 1 dilation: 2")
        (top,) = run_layer("Im2col", text, [x])
        want = functional.unfold(x, 3, dilation=2, padding=1, stride=2)
        assert torch.equal(top.flatten(2), want)

    def test_axis_moves_the_channels(self):
        text = options("kernel_size: 2 axis: -2")
        check_layer("Im2col", text, [(2, 3, 4, 5)], tops=[(2, 3, 8, 4)])

    def test_gradient(self):
        text = options("kernel_size: 2 stride: 1 pad: 1 dilation: 2")
        check_gradient("Im2col", text, [(1, 2, 3, 3)])

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("kernel_size: 2 axis: 3", "has no spatial axes behind axis 3"),
            ("kernel_size: 2 axis: 4", "axis 4 is outside the 4 axes"),
            ("kernel_size: 7", r"bottom 0 is \(1,2,5,6\), too small for kernel_size"),
            ("", "no kernel_size is given"),
        ],
    )
    def test_refuses(self, text, match):
        with pytest.raises(CheckError, match=match):
            shapes_of("Im2col", options(text), [(1, 2, 5, 6)])
