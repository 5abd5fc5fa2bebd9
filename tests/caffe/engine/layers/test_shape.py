import numpy as np
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

DATA, SIZE = (2, 4, 5, 4), (2, 3, 4, 2)


class TestConcat:
    def test_joins_channels_by_default(self):
        check_layer("Concat", "", [(2, 3, 4), (2, 5, 4)], tops=[(2, 8, 4)])

    @pytest.mark.parametrize("option", ["axis: 0", "axis: -3", "concat_dim: 0"])
    def test_joins_along_the_axis(self, option):
        text = f"concat_param {{ {option} }}"
        check_layer("Concat", text, [(2, 3, 4), (1, 3, 4)], tops=[(3, 3, 4)])

    def test_cuts_later_bottoms_to_their_centre(self):
        small = np.zeros((1, 1, 1, 2))
        large = np.arange(12).reshape(1, 1, 3, 4)
        (top,) = run_layer("Concat", "", [small, large])
        assert top.tolist() == [[[[0, 0]], [[5, 6]]]]

    def test_cuts_volumes(self):
        check_layer(
            "Concat",
            "",
            [(1, 2, 2, 4, 3), (1, 3, 6, 4, 5)],
            tops=[(1, 5, 2, 4, 3)],
        )

    def test_one_bottom_is_the_top(self):
        bottom = torch.randn(2, 3)
        (top,) = run_layer("Concat", "", [bottom])
        assert top.data_ptr() == bottom.data_ptr()

    def test_a_cut_is_logged_when_shapes_change(self):
        context = make_context()
        layer = make_layer("Concat", "", bottoms=2, context=context)
        for size in (6, 6, 8):
            layer.shapes([(1, 1, 4, 4), (1, 1, 4, size)])
        assert [text for _, text in context.lines] == [
            f"bottom blob 1 (1,1,4,{size}) will be cropped to (1,1,4,4)"
            for size in (6, 8)
        ]

    def test_gradient(self):
        check_gradient("Concat", "", [(1, 2, 2, 3), (1, 1, 4, 3), (1, 1, 2, 5)])

    @pytest.mark.parametrize(
        ("shape", "match"),
        [
            ((2, 3), r"bottom 1 \(2,3\) has 2 axes: expected 3"),
            (
                (2, 3, 5),
                "has 5 elements along axis 2: expected 4 as in bottom 0 .* even number",
            ),
            ((2, 3, 2), "has 2 elements along axis 2: expected 4 as in bottom 0"),
        ],
    )
    def test_refuses(self, shape, match):
        with pytest.raises(CheckError, match=match):
            shapes_of("Concat", "", [(2, 3, 4), shape])

    def test_refuses_two_names_of_the_axis(self):
        with pytest.raises(CheckError, match="both axis and concat_dim are given"):
            make_layer("Concat", "concat_param { axis: 1 concat_dim: 1 }")


class TestSlice:
    def test_cuts_at_the_points(self):
        text = "slice_param { slice_point: 1 slice_point: 3 }"
        tops = [(2, 1, 5), (2, 2, 5), (2, 1, 5)]
        check_layer("Slice", text, [(2, 4, 5)], tops=tops)

    @pytest.mark.parametrize("option", ["axis: 0", "axis: -3", "slice_dim: 0"])
    def test_cuts_equally_without_points(self, option):
        text = f"slice_param {{ {option} }}"
        check_layer("Slice", text, [(4, 3, 2)], tops=[(2, 3, 2), (2, 3, 2)])

    def test_keeps_the_order(self):
        first, second = run_layer(
            "Slice", "slice_param { axis: 0 slice_point: 1 }", [np.arange(3)], tops=2
        )
        assert (first.tolist(), second.tolist()) == ([0], [1, 2])

    def test_gradient(self):
        check_gradient("Slice", "slice_param { slice_point: 1 }", [(2, 3)], tops=2)

    def test_refuses_another_number_of_points(self):
        with pytest.raises(CheckError, match="1 values of slice_point for 3 tops"):
            make_layer("Slice", "slice_param { slice_point: 1 }", tops=3)

    @pytest.mark.parametrize("points", [(2, 2), (3, 1), (1, 4), (0, 2)])
    def test_refuses_points_that_do_not_rise_within_the_axis(self, points):
        text = "slice_param {{ slice_point: {} slice_point: {} }}".format(*points)
        with pytest.raises(CheckError, match="rising values between 0 and 4"):
            shapes_of("Slice", text, [(2, 4)], tops=3)

    def test_refuses_pieces_that_are_not_equal(self):
        with pytest.raises(CheckError, match=r"has 5 elements .* a multiple of 2 tops"):
            shapes_of("Slice", "", [(2, 5)], tops=2)


class TestSplit:
    def test_every_top_is_the_bottom(self):
        bottom = torch.randn(2, 3)
        tops = run_layer("Split", "", [bottom], tops=3)
        assert [top.data_ptr() for top in tops] == [bottom.data_ptr()] * 3

    def test_keeps_the_shape(self):
        check_layer("Split", "", [(2, 3)], tops=[(2, 3), (2, 3)])

    def test_gradients_add_up(self):
        bottom = torch.ones(2, requires_grad=True)
        first, second = run_layer("Split", "", [bottom], tops=2)
        (2 * first + 3 * second).sum().backward()
        assert bottom.grad.tolist() == [5, 5]


class TestCrop:
    def test_cuts_from_the_origin_of_axis_two_by_default(self):
        check_layer("Crop", "", [DATA, SIZE], tops=[(2, 4, 4, 2)])
        (top,) = run_layer("Crop", "", [np.arange(6).reshape(1, 1, 2, 3), (1, 9, 1, 2)])
        assert top.tolist() == [[[[0, 1]]]]

    def test_one_offset_is_for_every_axis(self):
        text = "crop_param { axis: 1 offset: 1 }"
        check_layer("Crop", text, [DATA, SIZE], tops=[(2, 3, 4, 2)])
        (top,) = run_layer("Crop", text, [np.arange(8).reshape(1, 2, 2, 2), (1,) * 4])
        assert top.item() == 7

    def test_an_offset_for_each_axis(self):
        text = "crop_param { axis: -2 offset: 0 offset: 2 }"
        (top,) = run_layer("Crop", text, [np.arange(8).reshape(2, 4), (2, 1)])
        assert top.tolist() == [[2], [6]]

    def test_axes_of_the_second_bottom_beyond_the_first_do_not_matter(self):
        assert shapes_of("Crop", "", [DATA, (*SIZE, 9)]) == [(2, 4, 4, 2)]

    def test_is_a_view(self):
        bottom = torch.randn(DATA)
        (top,) = run_layer("Crop", "", [bottom, SIZE])
        assert top.untyped_storage().data_ptr() == bottom.untyped_storage().data_ptr()

    def test_gradient(self):
        check_gradient("Crop", "crop_param { axis: 1 offset: 1 }", [DATA, SIZE])

    @pytest.mark.parametrize(
        ("text", "shapes", "match"),
        [
            ("offset: 0 offset: 3", [DATA, SIZE], "axis 3, the cut needs 5"),
            (
                "offset: 0 offset: 1 offset: 1",
                [DATA, SIZE],
                "has 3 values: expected 1 or 2",
            ),
            ("axis: 4", [DATA, SIZE], "axis 4 is outside the 4 axes"),
            ("", [DATA, (2, 3, 4)], r"bottom 1 \(2,3,4\) has 3 axes: expected 4"),
        ],
    )
    def test_refuses(self, text, shapes, match):
        with pytest.raises(CheckError, match=match):
            shapes_of("Crop", f"crop_param {{ {text} }}", shapes)
