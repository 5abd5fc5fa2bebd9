import torch

from tests.support.layers import check_layer, make_context, make_layer
from tests.support.numbers import gradient_at, value

IMAGES = (2, 3, 4, 5)


class TestGradientReversal:
    def test_keeps_the_shape(self):
        check_layer("GradientReversal", "", [IMAGES], tops=[IMAGES])

    def test_passes_its_bottom(self):
        assert value("GradientReversal", "", [-2, 0, 3]) == [-2, 0, 3]

    def test_gradient_is_reversed(self):
        assert gradient_at("GradientReversal", "", [-2.0, 3.0]) == [-1, -1]

    def test_nobody_may_write_over_its_top_which_is_its_bottom(self):
        layer = make_layer("GradientReversal")
        x = torch.ones(3)
        (top,) = layer.forward([x], [], make_context())
        assert top.data_ptr() == x.data_ptr()
        assert layer.backward_needs_top
