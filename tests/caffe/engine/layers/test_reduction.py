import numpy as np
import pytest
import torch

from caffe.errors import CheckError
from tests.support.layers import (
    as_tensor,
    check_gradient,
    check_layer,
    make_context,
    make_layer,
    run_layer,
    shapes_of,
)


class TestReduction:
    @pytest.mark.parametrize(
        ("operation", "function"),
        [
            ("SUM", lambda x: x),
            ("ASUM", np.abs),
            ("SUMSQ", np.square),
            ("MEAN", lambda x: x / 12),
        ],
    )
    def test_sums_up_the_last_axes(self, operation, function):
        x = as_tensor((2, 3, 4)).numpy()
        text = f"reduction_param {{ operation: {operation} axis: 1 coeff: -1.5 }}"
        (top,) = run_layer("Reduction", text, [x])
        want = -1.5 * function(x).sum((1, 2))
        np.testing.assert_allclose(top, want, rtol=1e-5)

    @pytest.mark.parametrize(
        ("axis", "top"), [("", ()), ("axis: 2", (2, 3)), ("axis: -1", (2, 3))]
    )
    def test_keeps_the_axes_before(self, axis, top):
        text = f"reduction_param {{ {axis} }}"
        check_layer("Reduction", text, [(2, 3, 4)], tops=[top])

    @pytest.mark.parametrize("operation", ["SUM", "ASUM", "SUMSQ", "MEAN"])
    def test_gradient(self, operation):
        text = f"reduction_param {{ operation: {operation} axis: 1 coeff: 0.5 }}"
        check_gradient("Reduction", text, [(2, 3, 2)])

    def test_absolute_values_have_no_slope_at_zero(self):
        bottom = torch.tensor([-2.0, 0.0, 3.0], requires_grad=True)
        text = "reduction_param { operation: ASUM }"
        (top,) = run_layer("Reduction", text, [bottom])
        top.backward()
        assert bottom.grad.tolist() == [-1, 0, 1]

    def test_refuses_an_axis_that_is_not_there(self):
        with pytest.raises(CheckError, match="axis 2 is outside the 2 axes"):
            shapes_of("Reduction", "reduction_param { axis: 2 }", [(2, 3)])


def argmax(text: str) -> str:
    return f"argmax_param {{ {text} }}"


class TestArgMax:
    @pytest.mark.parametrize(
        ("text", "shape", "top"),
        [
            ("", (4, 5), (4, 1, 1)),
            ("", (4,), (4, 1, 1)),
            ("top_k: 3", (4, 5, 2), (4, 1, 3)),
            ("top_k: 3 out_max_val: true", (4, 5, 2, 2), (4, 2, 3, 1)),
            ("top_k: 2", (4, 5, 2, 2, 1), (4, 1, 2, 1, 1)),
            ("top_k: 2 axis: -2", (4, 5, 3), (4, 2, 3)),
            ("top_k: 2 axis: 0 out_max_val: true", (4, 5), (2, 5)),
        ],
    )
    def test_shapes(self, text, shape, top):
        check_layer("ArgMax", argmax(text), [shape], tops=[top])

    def test_finds_the_greatest_of_each_sample(self):
        x = as_tensor((3, 2, 4)).numpy()
        (top,) = run_layer("ArgMax", argmax("top_k: 2 out_max_val: true"), [x])
        order = np.argsort(-x.reshape(3, 8))[:, :2]
        np.testing.assert_array_equal(top[:, 0], order)
        np.testing.assert_array_equal(top[:, 1], -np.sort(-x.reshape(3, 8))[:, :2])

    def test_finds_the_greatest_along_an_axis(self):
        x = as_tensor((3, 4, 2)).numpy()
        (top,) = run_layer("ArgMax", argmax("top_k: 2 axis: 1"), [x])
        np.testing.assert_array_equal(top, np.argsort(-x, 1)[:, :2])
        (top,) = run_layer("ArgMax", argmax("axis: 1 out_max_val: true"), [x])
        np.testing.assert_array_equal(top, x.max(1, keepdims=True))

    @pytest.mark.parametrize("text", ["top_k: 4", "top_k: 4 axis: -1"])
    def test_of_equal_values_the_higher_index_comes_first(self, text):
        x = np.array([[1, 7, 7, 1, 7]])
        (top,) = run_layer("ArgMax", argmax(text), [x])
        assert top.flatten().tolist() == [4, 2, 1, 3]

    def test_has_no_gradient(self):
        assert make_layer("ArgMax").differentiable_bottoms == ()

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("top_k: 0", "top_k is 0: expected 1 to 12"),
            ("top_k: 13", "top_k is 13: expected 1 to 12"),
            (
                "top_k: 4 axis: 1",
                r"top_k is 4: expected 1 to 3, .* bottom 0 is \(2,3,4\)",
            ),
            ("axis: 3", "axis 3 is outside the 3 axes"),
        ],
    )
    def test_refuses(self, text, match):
        with pytest.raises(CheckError, match=match):
            shapes_of("ArgMax", argmax(text), [(2, 3, 4)])


class TestBatchReindex:
    def test_picks_items(self):
        bottom = np.arange(6).reshape(3, 2)
        (top,) = run_layer("BatchReindex", "", [bottom, np.array([2, 0, 2, 1.9])])
        assert top.tolist() == [[4, 5], [0, 1], [4, 5], [2, 3]]

    @pytest.mark.parametrize("numbers", [[0, 2], [1, 1, 1, 1], []])
    def test_shapes(self, numbers):
        tops = [(len(numbers), 2, 4)]
        check_layer("BatchReindex", "", [(3, 2, 4), np.array(numbers)], tops=tops)

    def test_gradient(self):
        check_gradient("BatchReindex", "", [(3, 2), np.array([2, 0, 2, 2])])

    def test_gradients_of_repeated_items_add_up(self):
        bottom = torch.ones(3, 1, requires_grad=True)
        (top,) = run_layer("BatchReindex", "", [bottom, np.array([2, 0, 2])])
        (top * torch.tensor([[1.0], [2.0], [4.0]])).sum().backward()
        assert bottom.grad.flatten().tolist() == [2, 0, 5]

    @pytest.mark.parametrize("number", ["-1", "-0.5", "3", "nan"])
    def test_refuses_a_number_without_an_item(self, number):
        numbers = np.array([0, float(number)])
        with pytest.raises(
            CheckError, match=r"expected 0 to 2, .* bottom 0 is \(3,2\)"
        ):
            run_layer("BatchReindex", "", [(3, 2), numbers])

    @pytest.mark.parametrize(
        ("shapes", "match"),
        [
            ([(3, 2), (2, 1)], r"bottom 1 \(2,1\) has 2 axes: expected 1"),
            ([(), (2,)], "bottom 0 has 0 axes: expected 1 or more"),
        ],
    )
    def test_refuses_shapes(self, shapes, match):
        with pytest.raises(CheckError, match=match):
            shapes_of("BatchReindex", "", shapes)


class TestFilter:
    def test_passes_on_what_is_selected(self):
        first, second = np.arange(6).reshape(3, 2), np.arange(3)
        selector = np.array([-1, 0, 0.5]).reshape(3, 1, 1)
        tops = run_layer("Filter", "", [first, second, selector], tops=2)
        assert [top.tolist() for top in tops] == [[[0, 1], [4, 5]], [0, 2]]

    def test_nothing_may_be_selected(self):
        bottom = torch.ones(3, 2, requires_grad=True)
        (top,) = run_layer("Filter", "", [bottom, np.zeros(3)])
        assert top.shape == (0, 2)
        top.sum().backward()
        assert not bottom.grad.any()

    def test_shapes_are_those_of_the_bottoms_before_the_first_forward(self):
        assert shapes_of("Filter", "", [(3, 2), (3, 4, 5), (3,)], tops=2) == [
            (3, 2),
            (3, 4, 5),
        ]

    def test_gradient(self):
        check_gradient("Filter", "", [(4, 2), np.array([0, 1, 1, 0])])

    def test_dropped_items_have_the_gradient_zero_and_the_selector_none(self):
        bottom = torch.ones(3, requires_grad=True)
        selector = torch.tensor([1.0, 0.0, 2.0], requires_grad=True)
        layer = make_layer("Filter", bottoms=2)
        (top,) = layer.forward([bottom, selector], [], make_context())
        (top * torch.tensor([3.0, 4.0])).sum().backward()
        assert bottom.grad.tolist() == [3, 0, 4]
        assert selector.grad is None
        assert layer.differentiable_bottoms == (0,)

    @pytest.mark.parametrize(("bottoms", "tops"), [(2, 1), (4, 3)])
    def test_has_a_top_for_each_bottom_but_the_selector(self, bottoms, tops):
        layer = make_layer("Filter", bottoms=bottoms, tops=tops)
        assert layer.arity(layer.param) == ((2, None), (tops, tops))

    @pytest.mark.parametrize(
        ("shapes", "match"),
        [
            (
                [(3, 2), (3, 2)],
                r"bottom 1 \(selector\) is \(3,2\): expected axes of 1 element",
            ),
            (
                [(3, 2), ()],
                r"bottom 1 \(selector\) is \(\): expected axes of 1 element",
            ),
            ([(3, 2), (4, 2), (3, 1)], r"bottom 1 is \(4,2\): expected 3 items"),
        ],
    )
    def test_refuses(self, shapes, match):
        with pytest.raises(CheckError, match=match):
            shapes_of("Filter", "", shapes)
