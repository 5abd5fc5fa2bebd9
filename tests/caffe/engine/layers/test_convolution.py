import pytest
import torch

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
                "stride has 2 values: 1 or 3 are accepted",
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
            (
                "num_output: 4 kernel_size: 3",
                (1, 3, 4, 4, 4, 4),
                "4 spatial axes: 0 to 3 are accepted",
            ),
        ],
    )
    def test_refuses(self, text, shape, match):
        with pytest.raises(CheckError, match=match):
            shapes_of("Convolution", options(text), [shape])

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

    def test_refuses_padding_that_leaves_nothing(self):
        with pytest.raises(CheckError, match=r"the top would be \(0,0\)"):
            shapes_of(
                "Deconvolution",
                options("num_output: 1 kernel_size: 2 pad: 1"),
                [(1, 1, 1, 1)],
            )
