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


class TestEltwise:
    @pytest.mark.parametrize(
        ("text", "want"),
        [
            ("", [1 + 4 + 2, 5 + 3 + 3]),
            ("coeff: 1 coeff: -2 coeff: 0.5", [1 - 8 + 1, 5 - 6 + 1.5]),
            ("coeff: 2 coeff: 1 coeff: 1", [2 + 4 + 2, 10 + 3 + 3]),
            ("operation: PROD", [8, 45]),
            ("operation: MAX", [4, 5]),
            ("operation: MAX coeff: 1 coeff: -2 coeff: 0.5", [4, 5]),
        ],
    )
    def test_combines_three_bottoms(self, text, want):
        bottoms = [np.array(pair) for pair in ([1, 5], [4, 3], [2, 3])]
        (top,) = run_layer("Eltwise", f"eltwise_param {{ {text} }}", bottoms)
        assert top.tolist() == want

    def test_keeps_the_shape(self):
        check_layer("Eltwise", "", [(2, 3, 4, 5)] * 2, tops=[(2, 3, 4, 5)])

    @pytest.mark.parametrize(
        "text",
        ["coeff: 0.5 coeff: -2 coeff: 1", "operation: PROD", "operation: MAX"],
    )
    def test_gradient(self, text):
        check_gradient("Eltwise", f"eltwise_param {{ {text} }}", [(3, 4)] * 3)

    def test_equal_maxima_give_the_gradient_to_the_second_bottom(self):
        bottoms = [torch.ones(1, requires_grad=True) for _ in range(3)]
        (top,) = run_layer("Eltwise", "eltwise_param { operation: MAX }", bottoms)
        top.backward()
        assert [bottom.grad.item() for bottom in bottoms] == [0, 1, 0]

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("coeff: 1", "1 values of coeff for 2 bottoms"),
            ("operation: PROD coeff: 1 coeff: 1", "operation PROD takes none"),
        ],
    )
    def test_refuses_factors(self, text, match):
        with pytest.raises(CheckError, match=match):
            make_layer("Eltwise", f"eltwise_param {{ {text} }}", bottoms=2)

    def test_refuses_different_shapes(self):
        with pytest.raises(
            CheckError, match=r"bottom 1 is \(3,2\), bottom 0 is \(2,3\)"
        ):
            shapes_of("Eltwise", "", [(2, 3), (3, 2)])


class TestSoftmax:
    def test_classes_are_axis_one_by_default(self):
        scores = np.log([[1, 3], [1, 1]])
        (top,) = run_layer("Softmax", "", [scores])
        np.testing.assert_allclose(top, [[0.25, 0.75], [0.5, 0.5]], rtol=1e-6)

    def test_axis(self):
        scores = np.log([[1, 3], [1, 1]])
        (top,) = run_layer("Softmax", "softmax_param { axis: 0 }", [scores])
        np.testing.assert_allclose(top, [[0.5, 0.75], [0.5, 0.25]], rtol=1e-6)

    def test_keeps_the_shape(self):
        check_layer("Softmax", "", [(2, 3, 4, 5)], tops=[(2, 3, 4, 5)])

    def test_gradient(self):
        check_gradient("Softmax", "", [(2, 3, 2)])

    def test_refuses_an_axis_that_is_not_there(self):
        with pytest.raises(CheckError, match="axis 2 is outside the 2 axes"):
            shapes_of("Softmax", "softmax_param { axis: 2 }", [(2, 3)])


class TestSilence:
    def test_takes_everything_and_gives_nothing(self):
        layer = make_layer("Silence", "bottom: 'a' bottom: 'b'")
        del layer.param.top[:]
        assert layer.shapes([(2, 3), (4,)]) == []
        assert layer.forward([torch.ones(2, 3), torch.ones(4)], [], None) == []
        assert layer.tops == (0, 0)


class TestParameter:
    TEXT = "parameter_param { shape { dim: 2 dim: 3 } }"

    def test_has_one_blob_of_zeros(self):
        layer = make_layer("Parameter", self.TEXT, bottoms=0)
        (spec,) = layer.parameters([])
        assert (spec.shape, spec.filler.type, spec.filler.value) == (
            (2, 3),
            "constant",
            0,
        )
        assert layer.shapes([]) == [(2, 3)]

    def test_the_top_is_the_blob(self):
        layer = make_layer("Parameter", self.TEXT, bottoms=0)
        blob = torch.randn(2, 3)
        (top,) = layer.forward([], [blob], make_context())
        assert top is blob
        assert layer.aliases_parameter

    def test_without_a_shape_it_is_a_number(self):
        assert shapes_of("Parameter", "", []) == [()]

    def test_gradient(self):
        check_gradient("Parameter", self.TEXT, [])

    def test_refuses_a_negative_size(self):
        with pytest.raises(
            CheckError, match=r"shape is \(-1\): expected sizes from 0 on"
        ):
            make_layer("Parameter", "parameter_param { shape { dim: -1 } }")


class TestTile:
    @pytest.mark.parametrize(
        ("axis", "top"), [("", (2, 9)), ("axis: 0", (6, 3)), ("axis: -1", (2, 9))]
    )
    def test_multiplies_the_size(self, axis, top):
        check_layer("Tile", f"tile_param {{ tiles: 3 {axis} }}", [(2, 3)], tops=[top])

    def test_copies_the_whole_axis_again_and_again(self):
        bottom = np.arange(8).reshape(2, 2, 2)
        (top,) = run_layer("Tile", "tile_param { tiles: 2 }", [bottom])
        np.testing.assert_array_equal(top, np.tile(bottom, (1, 2, 1)))

    def test_gradient(self):
        check_gradient("Tile", "tile_param { tiles: 3 }", [(2, 2, 3)])

    @pytest.mark.parametrize("tiles", ["", "tiles: 0", "tiles: -2"])
    def test_refuses_no_copies(self, tiles):
        with pytest.raises(CheckError, match="expected a number above 0"):
            make_layer("Tile", f"tile_param {{ {tiles} }}")
