import pytest
import torch

from caffe.errors import CheckError
from tests.support.layers import (
    as_tensor,
    check_gradient,
    check_layer,
    run_layer,
    shapes_of,
)
from tests.support.numbers import check_in_place, value

SHAPE = (2, 3, 4, 5)


class TestValueTransformation:
    def options(self, offset=(), scale=()):
        texts = {"offset": offset, "scale": scale}
        inner = " ".join(
            f"{name} {{ {' '.join(f'v: {v}' for v in values)} }}"
            for name, values in texts.items()
            if values
        )
        return f"value_transformation_param {{ {inner} }}"

    def test_keeps_the_shape(self):
        options = self.options((1, 2, 3))
        for shape in ((2, 3), (2, 3, 4), SHAPE, (1, 3, 2, 2, 2)):
            check_layer("ValueTransformation", options, [shape], tops=[shape])

    def test_without_values_it_passes_its_bottom(self):
        x = as_tensor(SHAPE)
        (top,) = run_layer("ValueTransformation", "", [x])
        assert torch.equal(top, x)

    def test_the_offset_is_added_before_scaling(self):
        options = self.options((-0.5,), (4,))
        assert value("ValueTransformation", options, [[0, 1, 2]]) == [[-2, 2, 6]]

    def test_each_channel_has_its_values(self):
        options = self.options((1, 2), (10, -1))
        got = value("ValueTransformation", options, [[[1, 2], [3, 4]]])
        assert got == [[[20, 30], [-5, -6]]]

    def test_one_value_and_one_a_channel(self):
        options = self.options((1,), (10, -1))
        got = value("ValueTransformation", options, [[[1, 2], [3, 4]]])
        assert got == [[[20, 30], [-4, -5]]]

    def test_gradient(self):
        options = self.options((1, 2, 3), (0.5, -1, 4))
        check_gradient("ValueTransformation", options, [(2, 3, 4)])

    def test_in_place_overwrites(self):
        options = self.options((1, 2, 3), (0.5, -1, 4))
        check_in_place("ValueTransformation", options, SHAPE, overwrites=True)

    @pytest.mark.parametrize("name", ["offset", "scale"])
    def test_refuses_other_numbers_of_values(self, name):
        options = self.options(**{name: (1, 2)})
        with pytest.raises(
            CheckError, match=f"{name} has 2 values: expected 0, 1 or 3"
        ):
            shapes_of("ValueTransformation", options, [SHAPE])

    def test_refuses_a_bottom_without_channels(self):
        with pytest.raises(CheckError, match=r"\(3\) has 1 axes: expected 2 or more"):
            shapes_of("ValueTransformation", "", [(3,)])
