import numpy as np
import pytest
import torch

from tests.support.layers import check_gradient, check_layer, make_layer, run_layer

LEAKY = "relu_param { negative_slope: 0.1 }"


class TestReLU:
    def test_keeps_the_shape(self):
        check_layer("ReLU", "", [(2, 3, 4)], tops=[(2, 3, 4)])

    def test_negative_values_become_zero(self):
        (top,) = run_layer("ReLU", "", [np.array([-2, 0, 3])])
        assert top.tolist() == [0, 0, 3]

    def test_negative_slope_multiplies_negative_values(self):
        (top,) = run_layer(
            "ReLU", "relu_param { negative_slope: 0.25 }", [np.array([-2, 0, 3])]
        )
        assert top.tolist() == [-0.5, 0, 3]

    @pytest.mark.parametrize("text", ["", LEAKY])
    def test_gradient(self, text):
        check_gradient("ReLU", text, [(2, 3, 4)])

    @pytest.mark.parametrize("slope", [0, 0.1, -0.5])
    def test_in_place_gives_the_same_numbers_and_gradient(self, slope):
        layer = make_layer("ReLU", f"relu_param {{ negative_slope: {slope} }}")
        values = torch.tensor([-2.0, -1.0, 0.5, 3.0])
        results = []
        for function in (
            lambda x: layer.forward([x], [], None)[0],
            lambda x: layer.forward_in_place(x, None),
        ):
            x = values.clone().requires_grad_()
            top = function(x * 1)
            top.sum().backward()
            results.append((top.detach(), x.grad))
        torch.testing.assert_close(results[0], results[1])

    @pytest.mark.parametrize(("slope", "same"), [(0, True), (0.1, True), (-0.5, False)])
    def test_in_place_overwrites_where_the_gradient_allows_it(self, slope, same):
        layer = make_layer("ReLU", f"relu_param {{ negative_slope: {slope} }}")
        x = torch.tensor([-1.0, 1.0])
        assert (layer.forward_in_place(x, None) is x) == same
