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
from tests.support.numbers import check_in_place, gradient_at, value

SHAPE = (2, 3, 4, 5)
# text of the options, axes of SHAPE that the parameter goes along
SPANS = [
    ("", (1, 2)),
    ("axis: 0", (0, 1)),
    ("axis: 1 num_axes: 2", (1, 3)),
    ("axis: -2", (2, 3)),
    ("axis: -1", (3, 4)),
    ("axis: 2 num_axes: -1", (2, 4)),
    ("axis: 0 num_axes: -1", (0, 4)),
    ("num_axes: 0", (1, 1)),
]
spans = pytest.mark.parametrize(("text", "span"), SPANS)


def along(operand, span):
    """View of the operand that numpy broadcasts against SHAPE."""
    return operand.numpy().reshape(SHAPE[slice(*span)] + (1,) * (4 - span[1]))


class TestBias:
    @spans
    def test_adds_along_its_axes(self, text, span):
        options = f"bias_param {{ {text} }}"
        shape = SHAPE[slice(*span)]
        check_layer("Bias", options, [SHAPE], tops=[SHAPE], params=[shape])
        x, bias = as_tensor(SHAPE), as_tensor(shape, 3)
        (top,) = make_layer("Bias", options).forward([x], [bias], make_context())
        np.testing.assert_allclose(top, x.numpy() + along(bias, span), rtol=1e-6)

    def test_adds_nothing_at_first(self):
        x = as_tensor(SHAPE)
        assert torch.equal(run_layer("Bias", "", [x])[0], x)

    def test_takes_a_filler(self):
        options = "bias_param { filler { type: 'constant' value: 2 } }"
        (top,) = run_layer("Bias", options, [np.array([[1, 5]])])
        assert top.tolist() == [[3, 7]]

    @spans
    def test_the_second_bottom_is_added(self, text, span):
        options = f"bias_param {{ {text} }}"
        shape = SHAPE[slice(*span)]
        check_layer("Bias", options, [SHAPE, shape], tops=[SHAPE])
        x, bias = as_tensor(SHAPE), as_tensor(shape, 3)
        (top,) = run_layer("Bias", options, [x, bias])
        np.testing.assert_allclose(top, x.numpy() + along(bias, span), rtol=1e-6)

    @spans
    def test_gradient(self, text, span):
        options = f"bias_param {{ {text} }}"
        check_gradient("Bias", options, [SHAPE])
        check_gradient("Bias", options, [SHAPE, SHAPE[slice(*span)]])

    @pytest.mark.parametrize("learned", [False, True])
    def test_in_place_overwrites(self, learned):
        bias = as_tensor((3,), 3).requires_grad_(learned)
        check_in_place("Bias", "", SHAPE, overwrites=True, params=[bias])

    def test_an_empty_bottom(self):
        check_layer("Bias", "", [(0, 3, 4)], tops=[(0, 3, 4)], params=[(3,)])

    def test_refuses_more_axes_than_there_are(self):
        options = "bias_param { axis: 2 num_axes: 3 }"
        match = r"shape of 3 axes extends past bottom 0 .* axis 2 on: expected 2"
        with pytest.raises(CheckError, match=match):
            shapes_of("Bias", options, [SHAPE])


class TestScale:
    @spans
    @pytest.mark.parametrize("bias", [False, True])
    def test_multiplies_along_its_axes(self, text, span, bias):
        options = f"scale_param {{ {text} bias_term: {str(bias).lower()} }}"
        shape = SHAPE[slice(*span)]
        params = [as_tensor(shape, 3 + i) for i in range(1 + bias)]
        check_layer(
            "Scale", options, [SHAPE], tops=[SHAPE], params=[shape] * len(params)
        )
        x = as_tensor(SHAPE)
        (top,) = make_layer("Scale", options).forward([x], params, make_context())
        want = x.numpy() * along(params[0], span)
        if bias:
            want = want + along(params[1], span)
        np.testing.assert_allclose(top, want, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("options", ["", "scale_param { bias_term: true }"])
    def test_changes_nothing_at_first(self, options):
        x = as_tensor(SHAPE)
        assert torch.equal(run_layer("Scale", options, [x])[0], x)

    def test_takes_fillers(self):
        options = (
            "scale_param { filler { type: 'constant' value: 2 } bias_term: true "
            "bias_filler { type: 'constant' value: -1 } }"
        )
        (top,) = run_layer("Scale", options, [np.array([[1, 5]])])
        assert top.tolist() == [[1, 9]]

    @pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (1, 3, 2, 2, 2)])
    def test_channels_of_any_number_of_axes(self, shape):
        options = "scale_param { bias_term: true }"
        check_layer("Scale", options, [shape], tops=[shape], params=[(3,), (3,)])
        x, scale, bias = as_tensor(shape), as_tensor((3,), 3), as_tensor((3,), 4)
        layer = make_layer("Scale", options)
        (top,) = layer.forward([x], [scale, bias], make_context())
        behind = (3,) + (1,) * (len(shape) - 2)
        want = x * scale.reshape(behind) + bias.reshape(behind)
        torch.testing.assert_close(top, want)

    @spans
    @pytest.mark.parametrize("bias", [False, True])
    def test_the_second_bottom_multiplies(self, text, span, bias):
        options = f"scale_param {{ {text} bias_term: {str(bias).lower()} }}"
        shape = SHAPE[slice(*span)]
        params = [shape] * bias
        check_layer("Scale", options, [SHAPE, shape], tops=[SHAPE], params=params)
        x, scale = as_tensor(SHAPE), as_tensor(shape, 3)
        values = [as_tensor(shape, 4)] * bias
        layer = make_layer("Scale", options, bottoms=2)
        (top,) = layer.forward([x, scale], values, make_context())
        want = x.numpy() * along(scale, span)
        for bias_value in values:
            want = want + along(bias_value, span)
        np.testing.assert_allclose(top, want, rtol=1e-5, atol=1e-6)

    def test_the_second_bottom_decides_on_the_axes(self):
        options = "scale_param { num_axes: 1 bias_term: true }"
        check_layer("Scale", options, [SHAPE, (3, 4)], tops=[SHAPE], params=[(3, 4)])

    @spans
    @pytest.mark.parametrize("bias", ["true", "false"])
    def test_gradient(self, text, span, bias):
        options = f"scale_param {{ {text} bias_term: {bias} }}"
        check_gradient("Scale", options, [SHAPE])
        check_gradient("Scale", options, [SHAPE, SHAPE[slice(*span)]])

    @pytest.mark.parametrize("span", [(1, 2), (2, 4)])
    @pytest.mark.parametrize("bias", [False, True])
    @pytest.mark.parametrize("learned", [False, True])
    def test_in_place_overwrites_where_the_scale_is_not_learned(
        self, span, bias, learned
    ):
        shape = SHAPE[slice(*span)]
        text = f"axis: {span[0]} num_axes: {len(shape)} bias_term: {str(bias).lower()}"
        params = [as_tensor(shape, 3).requires_grad_(learned)]
        if bias:
            params.append(as_tensor(shape, 4).requires_grad_())
        options = f"scale_param {{ {text} }}"
        check_in_place("Scale", options, SHAPE, overwrites=not learned, params=params)

    def test_in_place_overwrites_where_no_gradient_is_wanted(self):
        x, scale = as_tensor(SHAPE), as_tensor((3,), 3).requires_grad_()
        want = x * scale.detach().reshape(3, 1, 1)
        with torch.no_grad():
            top = make_layer("Scale").forward_in_place(x, [scale], make_context())
        assert top is x
        torch.testing.assert_close(top, want)

    @pytest.mark.parametrize("options", ["", "scale_param { bias_term: true }"])
    def test_an_empty_bottom(self, options):
        (top,) = run_layer("Scale", options, [torch.ones(0, 3, 4)])
        assert top.shape == (0, 3, 4)

    @pytest.mark.parametrize(("bias", "lines"), [("true", 1), ("false", 0)])
    def test_logs_the_bias_layer_inside_as_caffe_does(self, bias, lines):
        context = make_context()
        make_layer("Scale", f"scale_param {{ bias_term: {bias} }}", context=context)
        line = ("layer_factory.hpp:77", "Creating layer x")
        assert context.lines == [line] * lines

    def test_refuses_a_negative_number_of_axes(self):
        with pytest.raises(CheckError, match="num_axes is -2: num_axes must be non-"):
            make_layer("Scale", "scale_param { num_axes: -2 }")

    def test_refuses_more_axes_than_there_are(self):
        options = "scale_param { axis: 3 num_axes: 2 }"
        match = r"shape of 2 axes extends past bottom 0 .* axis 3 on: expected 1"
        with pytest.raises(CheckError, match=match):
            make_layer("Scale", options).shapes([SHAPE])
        with pytest.raises(CheckError, match=match):
            make_layer("Scale", "scale_param { axis: 3 }", bottoms=2).shapes(
                [SHAPE, (5, 1)]
            )

    def test_refuses_an_axis_that_is_not_there(self):
        with pytest.raises(CheckError, match="axis 4 is outside"):
            shapes_of("Scale", "scale_param { axis: 4 }", [SHAPE])

    def test_refuses_other_sizes(self):
        match = r"from axis 1 on and the scale \(4\): expected equal sizes"
        with pytest.raises(CheckError, match=match):
            shapes_of("Scale", "", [SHAPE, (4,)])

    def test_refuses_another_bottom_than_the_parameter_was_made_for(self):
        layer = make_layer("Scale")
        layer.parameters([SHAPE])
        with pytest.raises(CheckError, match=r"\(2,4,4,5\) .* scale \(3\)"):
            layer.shapes([(2, 4, 4, 5)])


class TestPReLU:
    def test_has_a_slope_for_each_channel(self):
        for shape in ((2, 3), (2, 3, 4), SHAPE, (1, 3, 2, 2, 2)):
            check_layer("PReLU", "", [shape], tops=[shape], params=[(3,)])

    def test_channels_may_share_a_slope(self):
        options = "prelu_param { channel_shared: true }"
        check_layer("PReLU", options, [SHAPE], tops=[SHAPE], params=[()])

    def test_slopes_are_a_quarter_at_first(self):
        assert value("PReLU", "", [[-2, 0, 3]]) == [[-0.5, 0, 3]]

    def test_slopes_multiply_negative_values_of_their_channel(self):
        layer = make_layer("PReLU", "")
        x, slopes = as_tensor(SHAPE), torch.tensor([0.5, -1.0, 2.0])
        (top,) = layer.forward([x], [slopes], make_context())
        want = np.where(x > 0, x, x.numpy() * slopes.numpy().reshape(3, 1, 1))
        np.testing.assert_allclose(top, want, rtol=1e-6)

    def test_takes_a_filler(self):
        options = "prelu_param { filler { type: 'constant' value: 2 } }"
        assert value("PReLU", options, [[-1, 1]]) == [[-2, 1]]

    @pytest.mark.parametrize("shared", ["true", "false"])
    @pytest.mark.parametrize("shape", [(3, 2), SHAPE])
    def test_gradient(self, shared, shape):
        options = f"prelu_param {{ channel_shared: {shared} }}"
        check_gradient("PReLU", options, [shape])

    def test_gradient_at_zero_is_the_slope(self):
        slopes = [torch.tensor([0.5, -2.0])]
        assert gradient_at("PReLU", "", [[0.0, 0.0]], slopes) == [[0.5, -2]]

    def test_slopes_that_are_not_learned_have_no_gradient(self):
        slopes = [torch.tensor([0.5, 0.25])]
        assert gradient_at("PReLU", "", [[-1.0, 1.0]], slopes) == [[0.5, 1]]

    def test_the_bottom_may_be_without_a_gradient(self):
        slope = torch.tensor([0.5], requires_grad=True)
        x = torch.tensor([[-3.0], [4.0], [-1.0]])
        make_layer("PReLU").forward([x], [slope], make_context())[0].sum().backward()
        assert slope.grad.tolist() == [-4]

    @pytest.mark.parametrize("learned", [False, True])
    def test_in_place_gives_the_same_numbers(self, learned):
        slopes = [torch.tensor([0.5, -2.0, 1.5], requires_grad=learned)]
        check_in_place("PReLU", "", SHAPE, overwrites=False, params=slopes)

    def test_refuses_a_bottom_without_channels(self):
        with pytest.raises(CheckError, match=r"\(3\) has 1 axes: expected 2 or more"):
            shapes_of("PReLU", "", [(3,)])
        with pytest.raises(CheckError, match=r"\(3\) has 1 axes: expected 2 or more"):
            make_layer("PReLU").shapes([(3,)])

    def test_refuses_other_channels_than_there_are_slopes(self):
        layer = make_layer("PReLU")
        layer.parameters([(2, 3)])
        with pytest.raises(CheckError, match=r"\(2,4\) has 4 channels: .* for 3"):
            layer.shapes([(2, 4)])
