import pytest
import torch

from caffe.engine.catalogue import layer_class
from caffe.errors import CheckError
from tests.support.layers import (
    check_gradient,
    check_layer,
    make_layer,
    run_layer,
    shapes_of,
)

DATA, SIZE = (2, 4, 5, 4), (2, 3, 4, 2)


class TestFlatten:
    @pytest.mark.parametrize(
        ("text", "top"),
        [
            ("", (2, 60)),
            ("axis: 0", (120,)),
            ("axis: 1 end_axis: 2", (2, 12, 5)),
            ("axis: -3 end_axis: -2", (2, 12, 5)),
            ("axis: 2 end_axis: 2", (2, 3, 4, 5)),
            ("axis: 2 end_axis: 1", (2, 3, 1, 4, 5)),
        ],
    )
    def test_joins_axes(self, text, top):
        options = f"flatten_param {{ {text} }}"
        check_layer("Flatten", options, [(2, 3, 4, 5)], tops=[top])

    def test_the_top_is_the_memory_of_the_bottom(self):
        bottom = torch.randn(2, 3, 4)
        (top,) = run_layer("Flatten", "", [bottom])
        assert top.data_ptr() == bottom.data_ptr()
        assert layer_class("Flatten").aliases_bottom

    def test_gradient(self):
        check_gradient("Flatten", "", [(2, 3, 2)])

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("axis: 2 end_axis: 0", r"end_axis 0 lies before axis 2 of .*\(2,3,4\)"),
            ("axis: 3", "axis 3 is outside the 3 axes"),
            ("end_axis: -4", "axis -4 is outside the 3 axes"),
        ],
    )
    def test_refuses(self, text, match):
        with pytest.raises(CheckError, match=match):
            shapes_of("Flatten", f"flatten_param {{ {text} }}", [(2, 3, 4)])

    def test_refuses_to_work_in_place(self):
        with pytest.raises(
            CheckError, match="top 'a' is bottom 'a': expected another name"
        ):
            make_layer("Flatten", "bottom: 'a' top: 'a'")


def reshape(dims: str, text: str = "") -> str:
    shape = " ".join(f"dim: {d}" for d in dims.split())
    return f"reshape_param {{ shape {{ {shape} }} {text} }}"


class TestReshape:
    @pytest.mark.parametrize(
        ("dims", "text", "top"),
        [
            ("4 6", "", (4, 6)),
            ("0 -1", "", (2, 12)),
            ("-1 0", "", (8, 3)),
            ("0 0 2 2", "", (2, 3, 2, 2)),
            ("-1", "axis: 1", (2, 12)),
            ("3 1", "axis: 1 num_axes: 1", (2, 3, 1, 4)),
            ("1", "axis: 1 num_axes: 0", (2, 1, 3, 4)),
            ("1", "axis: -1", (2, 3, 4, 1)),
            ("2 2", "axis: -2", (2, 3, 2, 2)),
            ("1 1", "axis: 3 num_axes: 0", (2, 3, 4, 1, 1)),
            ("-1", "axis: -2 num_axes: 0", (2, 3, 1, 4)),
            ("", "axis: 3", (2, 3, 4)),
        ],
    )
    def test_replaces_axes(self, dims, text, top):
        check_layer("Reshape", reshape(dims, text), [(2, 3, 4)], tops=[top])

    def test_a_number_has_no_axes(self):
        check_layer("Reshape", reshape(""), [(1, 1)], tops=[()])
        check_layer("Reshape", reshape("1 -1"), [()], tops=[(1, 1)])

    def test_a_zero_stands_for_an_empty_axis_too(self):
        assert shapes_of("Reshape", reshape("0 5"), [(0, 3)]) == [(0, 5)]

    def test_the_top_is_the_memory_of_the_bottom(self):
        bottom = torch.randn(2, 3, 4)
        (top,) = run_layer("Reshape", reshape("-1"), [bottom])
        assert top.data_ptr() == bottom.data_ptr()
        assert layer_class("Reshape").aliases_bottom

    def test_gradient(self):
        check_gradient("Reshape", reshape("3 -1"), [(2, 3, 2)])

    @pytest.mark.parametrize(
        ("dims", "text", "match"),
        [
            ("-1 -1", "", r"shape is \(-1,-1\): expected sizes, 0 and at most one -1"),
            ("-2", "", r"shape is \(-2\): expected sizes, 0 and at most one -1"),
            ("5 -1", "", "has 24 elements: expected a multiple of 5"),
            ("5 5", "", r"has 24 elements, the top \(5,5\) would have 25"),
            ("24 1 1 0", "", r"has a 0 for axis 3: bottom 0 \(2,3,4\) has 3 axes"),
            ("24", "axis: 4", "axis is 4: expected -4 to 3"),
            ("24", "axis: -5", "axis is -5: expected -4 to 3"),
            ("12", "axis: 1 num_axes: 3", "num_axes is 3: expected -1 to 2"),
            ("12", "axis: 1 num_axes: -2", "num_axes is -2: expected -1 to 2"),
        ],
    )
    def test_refuses(self, dims, text, match):
        with pytest.raises(CheckError, match=match):
            shapes_of("Reshape", reshape(dims, text), [(2, 3, 4)])

    def test_refuses_to_infer_a_size_of_an_empty_bottom(self):
        with pytest.raises(
            CheckError, match="has 0 elements: expected a multiple of 0"
        ):
            shapes_of("Reshape", reshape("0 -1"), [(0, 3)])

    def test_refuses_to_work_in_place(self):
        with pytest.raises(CheckError, match="does not work in place"):
            make_layer("Reshape", "bottom: 'a' top: 'a' " + reshape("-1"))
