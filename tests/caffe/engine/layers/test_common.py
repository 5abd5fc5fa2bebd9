import numpy as np
import pytest
import torch

from caffe.errors import CheckError
from tests.support.layers import (
    channels_last,
    check_gradient,
    check_layer,
    make_context,
    make_layer,
    run_layer,
    shapes_of,
)


def inner(text: str) -> str:
    return f'inner_product_param {{ {text} weight_filler {{ type: "xavier" }} }}'


class TestInnerProduct:
    def test_makes_a_vector_of_each_sample(self):
        check_layer(
            "InnerProduct",
            inner("num_output: 6"),
            [(2, 4, 3, 5)],
            tops=[(2, 6)],
            params=[(6, 60), (6,)],
        )

    def test_axis_keeps_the_axes_before(self):
        check_layer(
            "InnerProduct",
            inner("num_output: 6 axis: -1 bias_term: false"),
            [(2, 4, 3, 5)],
            tops=[(2, 4, 3, 6)],
            params=[(6, 5)],
        )

    def test_transpose_stores_the_matrix_the_other_way(self):
        check_layer(
            "InnerProduct",
            inner("num_output: 6 transpose: true"),
            [(2, 4, 3, 5)],
            tops=[(2, 6)],
            params=[(60, 6), (6,)],
        )

    def test_by_hand(self):
        layer = make_layer("InnerProduct", inner("num_output: 1"))
        weights = [torch.tensor([[1.0, 10.0]]), torch.tensor([5.0])]
        (top,) = layer.forward([torch.tensor([[2.0, 3.0]])], weights, make_context())
        assert top.tolist() == [[37]]

    @pytest.mark.parametrize("text", ["", "transpose: true", "axis: 2"])
    def test_gradient(self, text):
        check_gradient("InnerProduct", inner(f"num_output: 3 {text}"), [(2, 2, 3)])

    def test_refuses_no_outputs(self):
        with pytest.raises(CheckError, match="num_output is 0"):
            make_layer("InnerProduct", inner(""))

    def test_refuses_an_axis_that_is_not_there(self):
        with pytest.raises(CheckError, match="axis 4 is outside the 4 axes"):
            shapes_of("InnerProduct", inner("num_output: 3 axis: 4"), [(2, 2, 3, 4)])

    def test_refuses_other_inputs_than_the_weights_have(self):
        layer = make_layer("InnerProduct", inner("num_output: 3"))
        layer.parameters([(2, 8)])
        with pytest.raises(CheckError, match=r"has 9 inputs a sample: .* are for 8"):
            layer.shapes([(2, 9)])


class TestDropout:
    def test_passes_everything_in_test(self):
        bottom = torch.randn(2, 3, 4, 5)
        (top,) = run_layer("Dropout", "", [bottom])
        assert torch.equal(top, bottom)

    def test_keeps_the_shape(self):
        check_layer("Dropout", "", [(2, 3, 4)], tops=[(2, 3, 4)])

    def test_scales_what_it_keeps_in_train(self):
        context = make_context(train=True)
        (top,) = run_layer(
            "Dropout",
            "dropout_param { dropout_ratio: 0.2 }",
            [np.ones((100, 100))],
            context=context,
        )
        assert top.unique().tolist() == [0, 1.25]
        assert (top == 0).float().mean().item() == pytest.approx(0.2, abs=0.015)

    def test_draws_the_same_mask_whatever_the_memory_layout(self):
        bottom = torch.randn(2, 3, 4, 5)
        tops = [
            run_layer("Dropout", "", [x], context=make_context(train=True))[0]
            for x in (bottom, channels_last(bottom))
        ]
        assert torch.equal(*tops)
        assert tops[1].is_contiguous(memory_format=torch.channels_last)

    def test_draws_another_mask_at_each_forward(self):
        context = make_context(train=True)
        bottom = np.ones((10, 10))
        first, second = (
            run_layer("Dropout", "", [bottom], context=context)[0] for _ in range(2)
        )
        assert not torch.equal(first, second)

    def test_recomputing_draws_the_same_mask_and_nothing_new(self):
        context = make_context(train=True)
        bottom = torch.ones(10, 10)
        layer = make_layer("Dropout", context=context)
        layer.forward([bottom], [], context)
        (last,) = layer.forward([bottom], [], context)
        after = context.generator.get_state()
        context.recomputing = True
        (again,) = layer.forward([bottom], [], context)
        assert torch.equal(again, last)
        assert torch.equal(context.generator.get_state(), after)

    def test_gradient(self):
        check_gradient("Dropout", "", [(3, 4)], train=True)

    def test_dropping_everything_gives_zeros_and_a_warning(self):
        context = make_context(train=True)
        options = "dropout_param { dropout_ratio: 1 }"
        told = []
        context.log = lambda *words: told.append(words)
        (top,) = run_layer("Dropout", options, [(3, 4)], context=context)
        assert not top.any()
        assert [(level, "ratio is 1" in text) for _, text, level in told] == [
            ("W", True)
        ]
        (top,) = run_layer("Dropout", options, [(3, 4)])
        assert top.all()


def embed(text: str) -> str:
    return f'embed_param {{ {text} weight_filler {{ type: "gaussian" }} }}'


class TestEmbed:
    NUMBERS = np.array([[2, 0], [4, 2]])

    @pytest.mark.parametrize(
        ("text", "params"), [("", [(5, 3), (3,)]), ("bias_term: false", [(5, 3)])]
    )
    def test_adds_an_axis(self, text, params):
        text = embed(f"num_output: 3 input_dim: 5 {text}")
        check_layer("Embed", text, [self.NUMBERS], tops=[(2, 2, 3)], params=params)

    def test_takes_rows_of_the_table_and_adds_the_bias(self):
        layer = make_layer("Embed", embed("num_output: 2 input_dim: 3"))
        table = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
        params = [table, torch.tensor([0.5, 0.0])]
        (top,) = layer.forward([torch.tensor([2.0, 0.0])], params, make_context())
        assert top.tolist() == [[5.5, 6], [1.5, 2]]

    def test_gradient(self):
        text = embed("num_output: 3 input_dim: 5")
        check_gradient("Embed", text, [self.NUMBERS])

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("num_output: 3", "input_dim is 0: expected a number above 0"),
            ("input_dim: 3", "num_output is 0: expected a number above 0"),
        ],
    )
    def test_refuses_sizes(self, text, match):
        with pytest.raises(CheckError, match=match):
            make_layer("Embed", embed(text))

    @pytest.mark.parametrize("number", ["-1", "5", "1.5", "nan"])
    def test_refuses_a_number_without_a_vector(self, number):
        bottom = torch.tensor([0.0, float(number)])
        match = f"bottom 0 holds {number}: expected whole numbers from 0 to 4"
        with pytest.raises(CheckError, match=match):
            run_layer("Embed", embed("num_output: 3 input_dim: 5"), [bottom])
