import math

import numpy as np
import pytest
import torch
from scipy import special

from caffe.errors import CheckError
from tests.support.layers import (
    as_tensor,
    check_gradient,
    check_layer,
    forward,
    make_context,
    make_layer,
    run_layer,
)
from tests.support.numbers import check_in_place, gradient_at, value

LEAKY = "relu_param { negative_slope: 0.1 }"
SHAPE = (2, 3, 4)
IMAGES = (2, 3, 4, 5)


class TestReLU:
    def test_keeps_the_shape(self):
        check_layer("ReLU", "", [SHAPE], tops=[SHAPE])

    def test_negative_values_become_zero(self):
        assert value("ReLU", "", [-2, 0, 3]) == [0, 0, 3]

    def test_negative_slope_multiplies_negative_values(self):
        options = "relu_param { negative_slope: 0.25 }"
        assert value("ReLU", options, [-2, 0, 3]) == [-0.5, 0, 3]

    @pytest.mark.parametrize("text", ["", LEAKY])
    def test_gradient(self, text):
        check_gradient("ReLU", text, [SHAPE])

    @pytest.mark.parametrize("slope", [0, 0.25, -0.5])
    def test_gradient_at_zero_is_the_slope(self, slope):
        options = f"relu_param {{ negative_slope: {slope} }}"
        assert gradient_at("ReLU", options, [0.0]) == [slope]

    @pytest.mark.parametrize(("slope", "same"), [(0, True), (0.1, True), (-0.5, False)])
    def test_in_place_overwrites_where_the_gradient_allows_it(self, slope, same):
        options = f"relu_param {{ negative_slope: {slope} }}"
        check_in_place("ReLU", options, SHAPE, overwrites=same)


class TestELU:
    def test_keeps_the_shape(self):
        check_layer("ELU", "", [IMAGES], tops=[IMAGES])

    @pytest.mark.parametrize("alpha", [1, 0.5, 0, -2])
    def test_by_hand(self, alpha):
        options = f"elu_param {{ alpha: {alpha} }}"
        want = [alpha * (math.exp(-1) - 1), 0, 2]
        assert value("ELU", options, [-1, 0, 2]) == pytest.approx(want)

    @pytest.mark.parametrize("alpha", [1, 0.5, -2])
    def test_gradient(self, alpha):
        check_gradient("ELU", f"elu_param {{ alpha: {alpha} }}", [SHAPE])

    @pytest.mark.parametrize("alpha", [1, 0.5, -2])
    def test_gradient_at_zero_is_alpha(self, alpha):
        options = f"elu_param {{ alpha: {alpha} }}"
        assert gradient_at("ELU", options, [0.0]) == [alpha]

    @pytest.mark.parametrize(("alpha", "same"), [(1, True), (0, True), (-2, False)])
    def test_in_place_overwrites_where_the_gradient_allows_it(self, alpha, same):
        options = f"elu_param {{ alpha: {alpha} }}"
        check_in_place("ELU", options, SHAPE, overwrites=same)


class TestSigmoid:
    def test_keeps_the_shape(self):
        check_layer("Sigmoid", "", [IMAGES], tops=[IMAGES])

    def test_is_the_logistic_function(self):
        x = np.array([-100, -1, 0, 0.5, 100])
        assert value("Sigmoid", "", x) == pytest.approx(special.expit(x).tolist())

    def test_gradient(self):
        check_gradient("Sigmoid", "", [SHAPE])

    def test_in_place_overwrites(self):
        check_in_place("Sigmoid", "", SHAPE, overwrites=True)


class TestTanH:
    def test_keeps_the_shape(self):
        check_layer("TanH", "", [IMAGES], tops=[IMAGES])

    def test_is_the_hyperbolic_tangent(self):
        x = np.array([-100, -1, 0, 0.5, 100])
        assert value("TanH", "", x) == pytest.approx(np.tanh(x).tolist())

    def test_gradient(self):
        check_gradient("TanH", "", [SHAPE])

    def test_in_place_overwrites(self):
        check_in_place("TanH", "", SHAPE, overwrites=True)


class TestSwish:
    def test_keeps_the_shape(self):
        check_layer("Swish", "", [IMAGES], tops=[IMAGES])

    @pytest.mark.parametrize("beta", [1, 1.5, 0, -2])
    def test_is_a_logistic_gate(self, beta):
        x = np.array([-3, -1, 0, 0.5, 4])
        want = (x * special.expit(beta * x)).tolist()
        got = value("Swish", f"swish_param {{ beta: {beta} }}", x)
        assert got == pytest.approx(want)

    @pytest.mark.parametrize("beta", [1, 1.5, 0])
    def test_gradient(self, beta):
        check_gradient("Swish", f"swish_param {{ beta: {beta} }}", [SHAPE])


class TestBNLL:
    def test_keeps_the_shape(self):
        check_layer("BNLL", "", [IMAGES], tops=[IMAGES])

    def test_is_the_logarithm_of_one_more_than_the_exponential(self):
        x = np.array([-200, -40, -1, 0, 1, 30, 60, 200])
        want = np.logaddexp(0, x.astype(float)).tolist()
        assert value("BNLL", "", x) == pytest.approx(want)

    def test_gradient(self):
        check_gradient("BNLL", "", [SHAPE])

    def test_gradient_of_great_values(self):
        assert gradient_at("BNLL", "", [-200.0, 60.0, 200.0]) == [0, 1, 1]


class TestAbsVal:
    def test_keeps_the_shape(self):
        check_layer("AbsVal", "", [IMAGES], tops=[IMAGES])

    def test_drops_the_sign(self):
        assert value("AbsVal", "", [-2, 0, 3]) == [2, 0, 3]

    def test_gradient(self):
        check_gradient("AbsVal", "", [SHAPE])

    def test_gradient_at_zero_is_zero(self):
        assert gradient_at("AbsVal", "", [-2.0, 0.0, 3.0]) == [-1, 0, 1]

    def test_refuses_to_work_in_place(self):
        with pytest.raises(CheckError, match=r"'a': .* not allow in-place computation"):
            make_layer("AbsVal", "bottom: 'a' top: 'a'")


class TestClip:
    OPTIONS = "clip_param { min: -1 max: 2 }"

    def test_keeps_the_shape(self):
        check_layer("Clip", self.OPTIONS, [IMAGES], tops=[IMAGES])

    def test_limits(self):
        assert value("Clip", self.OPTIONS, [-3, -1, 0, 2, 5]) == [-1, -1, 0, 2, 2]

    def test_gradient(self):
        check_gradient("Clip", self.OPTIONS, [SHAPE])

    def test_gradient_passes_at_both_ends(self):
        at = [-1.5, -1.0, 0.0, 2.0, 2.5]
        assert gradient_at("Clip", self.OPTIONS, at) == [0, 1, 1, 1, 0]

    def test_min_above_max_is_min_everywhere(self):
        options = "clip_param { min: 2 max: -1 }"
        assert value("Clip", options, [-3, 0, 5]) == [2, 2, 2]
        assert gradient_at("Clip", options, [-3.0, 0.0, 5.0]) == [0, 0, 0]

    def test_needs_min_and_max(self):
        with pytest.raises(CheckError, match="clip_param has no min: min and max"):
            make_layer("Clip", "clip_param { max: 2 }")

    def test_without_options_everything_becomes_zero(self):
        assert value("Clip", "", [-3.0, 0.0, 5.0]) == [0, 0, 0]


class TestThreshold:
    OPTIONS = "threshold_param { threshold: 0.5 }"

    def test_keeps_the_shape(self):
        check_layer("Threshold", self.OPTIONS, [IMAGES], tops=[IMAGES])

    def test_only_what_is_greater_is_one(self):
        assert value("Threshold", self.OPTIONS, [-1, 0.5, 0.75]) == [0, 0, 1]
        assert value("Threshold", "", [-1, 0, 0.1]) == [0, 0, 1]

    def test_has_no_gradient(self):
        layer = make_layer("Threshold")
        assert layer.differentiable_bottoms == ()
        (top,) = forward(layer, [torch.ones(3, requires_grad=True)], make_context())
        assert not top.requires_grad


class TestExp:
    def test_keeps_the_shape(self):
        check_layer("Exp", "", [IMAGES], tops=[IMAGES])

    @pytest.mark.parametrize("base", [-1, 2, 0.5, 1])
    def test_is_a_power_of_the_base(self, base):
        x = np.array([-2, 0, 0.5, 3])
        real = math.e if base == -1 else base
        options = f"exp_param {{ base: {base} scale: 0.75 shift: -1.5 }}"
        want = (real ** (-1.5 + 0.75 * x)).tolist()
        assert value("Exp", options, x) == pytest.approx(want, rel=1e-5)

    @pytest.mark.parametrize("base", [-1, 2, 1])
    def test_gradient(self, base):
        options = f"exp_param {{ base: {base} scale: 0.75 shift: -1.5 }}"
        check_gradient("Exp", options, [SHAPE])

    def test_in_place_overwrites(self):
        options = "exp_param { base: 2 scale: 0.75 shift: -1.5 }"
        check_in_place("Exp", options, SHAPE, overwrites=True)

    @pytest.mark.parametrize("base", ["0", "-2", "inf", "nan"])
    def test_refuses_a_base_that_has_no_logarithm(self, base):
        with pytest.raises(CheckError, match=f"base is {base}: .* strictly positive"):
            make_layer("Exp", f"exp_param {{ base: {base} }}")


class TestLog:
    POSITIVE = np.array([[0.5, 1, 2], [3, 0.25, 7]])

    def test_keeps_the_shape(self):
        x = as_tensor(IMAGES).abs()
        check_layer("Log", "log_param { shift: 1 }", [x], tops=[IMAGES])

    @pytest.mark.parametrize("base", [-1, 2, 0.5])
    def test_is_the_logarithm_to_the_base(self, base):
        real = math.e if base == -1 else base
        options = f"log_param {{ base: {base} scale: 0.75 shift: 1.5 }}"
        want = np.log(1.5 + 0.75 * self.POSITIVE) / math.log(real)
        (top,) = run_layer("Log", options, [self.POSITIVE])
        np.testing.assert_allclose(top, want, rtol=1e-6)

    @pytest.mark.parametrize("base", [-1, 2])
    def test_gradient(self, base):
        options = f"log_param {{ base: {base} scale: 0.75 shift: 1.5 }}"
        check_gradient("Log", options, [self.POSITIVE])

    @pytest.mark.parametrize("base", ["0", "-2", "inf"])
    def test_refuses_a_base_that_has_no_logarithm(self, base):
        with pytest.raises(CheckError, match=f"base is {base}: .* strictly positive"):
            make_layer("Log", f"log_param {{ base: {base} }}")

    def test_refuses_base_one(self):
        with pytest.raises(CheckError, match=r"base is 1, and 1/log\(1\) is inf"):
            make_layer("Log", "log_param { base: 1 }")


class TestPower:
    X = np.array([-1.5, 0, 0.5, 2])

    def test_keeps_the_shape(self):
        check_layer("Power", "power_param { power: 2 }", [IMAGES], tops=[IMAGES])

    @pytest.mark.parametrize("power", [1, 2, 3, -1, 0.5])
    def test_by_formula(self, power):
        options = f"power_param {{ power: {power} scale: 0.5 shift: 1.5 }}"
        want = ((1.5 + 0.5 * self.X) ** power).tolist()
        assert value("Power", options, self.X) == pytest.approx(want)

    @pytest.mark.parametrize(
        ("text", "want"),
        [
            ("power: 0", 1),
            ("power: 0 shift: 0 scale: 0", 1),
            ("power: 3 scale: 0 shift: -2", -8),
            ("power: -1 scale: 0", math.inf),
            ("power: 0.5 scale: 0 shift: -1", math.nan),
        ],
    )
    def test_without_power_or_scale_it_is_a_constant(self, text, want):
        options = f"power_param {{ {text} }}"
        got = value("Power", options, [-1, 0, math.nan, math.inf])
        assert got == pytest.approx([want] * 4, nan_ok=True)
        assert gradient_at("Power", options, [-1.0, 0.0, math.inf]) == [0, 0, 0]

    @pytest.mark.parametrize("power", [0, 1, 2, 3, -1])
    def test_gradient(self, power):
        options = f"power_param {{ power: {power} scale: 0.5 shift: 1.5 }}"
        check_gradient("Power", options, [SHAPE])

    def test_gradient_where_nothing_is_raised(self):
        assert gradient_at("Power", "power_param { power: 2 }", [0.0, 3.0]) == [0, 6]
        assert gradient_at("Power", "power_param { power: 3 }", [0.0, 1.0]) == [0, 3]

    @pytest.mark.parametrize(
        ("text", "same"),
        [
            ("scale: 2 shift: 1", True),
            ("power: 2 shift: 1", False),
            ("scale: 0", False),
        ],
    )
    def test_in_place_overwrites_where_the_gradient_allows_it(self, text, same):
        check_in_place("Power", f"power_param {{ {text} }}", SHAPE, overwrites=same)
