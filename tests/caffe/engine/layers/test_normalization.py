import numpy as np
import pytest
import torch
from torch.nn import functional

from caffe.errors import CheckError
from tests.support.layers import (
    as_tensor,
    check_gradient,
    check_layer,
    forward,
    make_context,
    make_layer,
    run_layer,
    shapes_of,
)
from tests.support.numbers import check_in_place


class TestLRN:
    @pytest.mark.parametrize("region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
    def test_keeps_the_shape(self, region):
        text = f"lrn_param {{ local_size: 3 norm_region: {region} }}"
        check_layer("LRN", text, [(2, 4, 5, 6)], tops=[(2, 4, 5, 6)])

    def test_across_channels_by_hand(self):
        text = "lrn_param { local_size: 3 alpha: 3 beta: 1 k: 2 }"
        (top,) = run_layer("LRN", text, [np.array([1, 2, 3]).reshape(1, 3, 1, 1)])
        want = [1 / (2 + 5), 2 / (2 + 14), 3 / (2 + 13)]
        np.testing.assert_allclose(top.flatten(), want, rtol=1e-6)

    @pytest.mark.parametrize("size", [1, 3, 5, 7, 11, 15])
    def test_across_channels_as_torch_does(self, size):
        x = as_tensor((2, 7, 3, 5))
        text = f"lrn_param {{ local_size: {size} alpha: 0.5 beta: 0.6 k: 1.5 }}"
        (top,) = run_layer("LRN", text, [x])
        want = functional.local_response_norm(x, size, 0.5, 0.6, 1.5)
        torch.testing.assert_close(top, want)

    def test_within_a_channel_by_hand(self):
        text = (
            "lrn_param { local_size: 3 alpha: 9 beta: 1 k: 7 "
            "norm_region: WITHIN_CHANNEL }"
        )
        (top,) = run_layer("LRN", text, [np.array([1, 2, 3]).reshape(1, 1, 1, 3)])
        want = [1 / (1 + 5), 2 / (1 + 14), 3 / (1 + 13)]
        np.testing.assert_allclose(top.flatten(), want, rtol=1e-6)

    @pytest.mark.parametrize("size", [1, 3, 5, 9])
    def test_within_a_channel_the_divisor_counts_pixels_outside(self, size):
        x = as_tensor((2, 3, 4, 7))
        text = (
            f"lrn_param {{ local_size: {size} alpha: 2 beta: 0.75 "
            "norm_region: WITHIN_CHANNEL }"
        )
        (top,) = run_layer("LRN", text, [x])
        half = size // 2
        pad = np.pad(x.double() ** 2, ((0, 0), (0, 0), (half, half), (half, half)))
        windows = np.lib.stride_tricks.sliding_window_view(pad, (size, size), (2, 3))
        energy = windows.sum((4, 5)) / size**2
        want = x.numpy() * (1 + 2 * energy) ** -0.75
        np.testing.assert_allclose(top, want, rtol=1e-5)

    @pytest.mark.parametrize("region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
    @pytest.mark.parametrize("size", [3, 5, 9])
    def test_gradient(self, region, size):
        text = f"lrn_param {{ local_size: {size} alpha: 0.7 norm_region: {region} }}"
        check_gradient("LRN", text, [(2, 4, 3, 2)])

    def test_refuses_an_even_size(self):
        with pytest.raises(CheckError, match="local_size is 4: expected an odd number"):
            make_layer("LRN", "lrn_param { local_size: 4 }")

    def test_refuses_other_than_four_axes(self):
        with pytest.raises(CheckError, match=r"\(2,3,4\) has 3 axes: expected 4"):
            shapes_of("LRN", "", [(2, 3, 4)])


SHAPE = (2, 3, 4, 5)
STORED = "batch_norm_param { use_global_stats: true eps: 0.5 }"
BATCH = "batch_norm_param { use_global_stats: false eps: 0.5 }"


def statistics():
    """Sums of three batches that weigh 2.5 together."""
    return [
        torch.tensor([0.5, -1.0, 2.0]),
        torch.tensor([1.0, 0.0, 4.0]),
        torch.tensor([2.5]),
    ]


def normalise(options, x, params, **context):
    layer = make_layer("BatchNorm", options, context=make_context(**context))
    (top,) = layer.forward([x], params, make_context(**context))
    return top


class TestBatchNorm:
    @pytest.mark.parametrize("options", [STORED, BATCH])
    @pytest.mark.parametrize("shape", [(4, 3), (2, 3, 4), SHAPE, (2, 3, 2, 2, 2)])
    def test_has_statistics_for_each_channel(self, options, shape):
        params = [(3,), (3,), (1,)]
        check_layer("BatchNorm", options, [shape], tops=[shape], params=params)

    @pytest.mark.parametrize("options", [STORED, BATCH])
    def test_a_vector_is_one_channel(self, options):
        params = [(1,), (1,), (1,)]
        check_layer("BatchNorm", options, [(5,)], tops=[(5,)], params=params)

    def test_its_blobs_are_zero_at_first_and_no_learnable_parameters(self):
        specs = make_layer("BatchNorm").parameters([SHAPE])
        assert all(spec.statistics for spec in specs)
        assert [spec.filler.value for spec in specs] == [0, 0, 0]

    @pytest.mark.parametrize(
        ("text", "train", "stored"),
        [
            ("", True, False),
            ("", False, True),
            ("use_global_stats: true", True, True),
            ("use_global_stats: false", False, False),
        ],
    )
    def test_phase_and_option_decide_on_the_statistics(self, text, train, stored):
        params = statistics()
        options = f"batch_norm_param {{ {text} }}"
        normalise(options, as_tensor(SHAPE), params, train=train)
        assert (params[2].item() == 2.5) == stored

    @pytest.mark.parametrize("shape", [(4, 3), SHAPE, (2, 3, 2, 2, 2)])
    def test_statistics_of_the_batch(self, shape):
        x = as_tensor(shape) * 3 + 2
        axes = tuple(i for i in range(x.dim()) if i != 1)
        values = x.double().numpy()
        mean = values.mean(axes, keepdims=True)
        want = (values - mean) / np.sqrt(values.var(axes, keepdims=True) + 0.5)
        got = normalise(BATCH, x, statistics())
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)

    def test_stored_statistics(self):
        x = as_tensor(SHAPE)
        mean = np.array([0.2, -0.4, 0.8]).reshape(3, 1, 1)
        variance = np.array([0.4, 0, 1.6]).reshape(3, 1, 1)
        params = statistics()
        want = (x.double().numpy() - mean) / np.sqrt(variance + 0.5)
        got = normalise(STORED, x, params)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
        for kept, old in zip(params, statistics(), strict=True):
            assert torch.equal(kept, old)

    def test_no_stored_statistics_are_mean_and_variance_zero(self):
        params = [torch.ones(3), torch.ones(3), torch.zeros(1)]
        x = as_tensor(SHAPE)
        torch.testing.assert_close(normalise(STORED, x, params), x / 0.5**0.5)

    @pytest.mark.parametrize("shape", [(4, 3), SHAPE, (2, 3, 2, 2, 2)])
    def test_a_batch_moves_the_stored_sums(self, shape):
        options = (
            "batch_norm_param { use_global_stats: false moving_average_fraction: 0.9 }"
        )
        x = as_tensor(shape) * 3 + 2
        axes = tuple(i for i in range(x.dim()) if i != 1)
        values = x.double().numpy()
        params = statistics()
        normalise(options, x, params)
        want = (values.mean(axes), values.var(axes, ddof=1), [1])
        for got, old, new in zip(params, statistics(), want, strict=True):
            np.testing.assert_allclose(got, 0.9 * old.numpy() + new, rtol=1e-5)

    def test_a_vector_moves_the_stored_sums(self):
        params = [torch.zeros(1), torch.zeros(1), torch.zeros(1)]
        top = normalise(BATCH, torch.tensor([1.0, 2.0, 6.0]), params)
        assert [p.item() for p in params] == pytest.approx([3, 7, 1])
        want = np.array([-2, -1, 3]) / np.sqrt(14 / 3 + 0.5)
        np.testing.assert_allclose(top, want, rtol=1e-6)

    def test_one_value_a_channel_has_no_variance(self):
        params = statistics()
        top = normalise(
            "batch_norm_param { use_global_stats: false moving_average_fraction: 0 }",
            torch.tensor([[1.0, 0.1, 6.7]]),
            params,
        )
        assert top.tolist() == [[0, 0, 0]]
        assert [p.tolist() for p in params] == [
            pytest.approx([1, 0.1, 6.7]),
            [0, 0, 0],
            [1],
        ]

    def test_computed_again_it_leaves_the_statistics(self):
        params, x = statistics(), as_tensor(SHAPE)
        context = make_context(train=True)
        layer = make_layer("BatchNorm", context=context)
        context.recomputing = True
        (again,) = layer.forward([x], params, context)
        for kept, old in zip(params, statistics(), strict=True):
            assert torch.equal(kept, old)
        context.recomputing = False
        torch.testing.assert_close(layer.forward([x], params, context)[0], again)
        assert params[2].item() == pytest.approx(2.5 * 0.999 + 1)

    @pytest.mark.parametrize("options", [STORED, BATCH])
    @pytest.mark.parametrize("shape", [(4, 3), SHAPE, (1, 3, 2, 2, 2), (5,)])
    def test_gradient(self, options, shape):
        layer = make_layer("BatchNorm", options)
        params = [p.double()[: (3 if len(shape) > 1 else 1)] for p in statistics()]
        x = as_tensor(shape).double().requires_grad_()

        def function(x):
            return layer.forward([x], params, make_context())[0]

        assert torch.autograd.gradcheck(function, (x,))

    def test_by_stored_statistics_the_gradient_is_that_of_a_scaling(self):
        x, factors = as_tensor(SHAPE).requires_grad_(), as_tensor(SHAPE, 1)
        normalise(STORED, x, statistics()).backward(factors)
        deviation = torch.tensor([0.9, 0.5, 2.1]).sqrt().reshape(3, 1, 1)
        torch.testing.assert_close(x.grad, factors / deviation)

    @pytest.mark.parametrize(("options", "same"), [(STORED, True), (BATCH, False)])
    @pytest.mark.parametrize("shape", [(4, 3), SHAPE])
    def test_in_place_overwrites_where_the_gradient_allows_it(
        self, options, same, shape
    ):
        check_in_place(
            "BatchNorm", options, shape, overwrites=same, params=statistics()
        )

    def test_refuses_a_number(self):
        with pytest.raises(
            CheckError, match=r"bottom 0 \(\) has 0 axes: expected 1 \(N\) or"
        ):
            shapes_of("BatchNorm", "", [()])

    def test_refuses_other_channels_than_there_are_statistics(self):
        layer = make_layer("BatchNorm")
        layer.parameters([SHAPE])
        with pytest.raises(CheckError, match=r"has 4 channels: the statistics .* 3"):
            layer.shapes([(2, 4, 4, 5)])

    def test_a_channel_of_equal_values_becomes_zero_with_the_gradient_of_a_scaling(
        self,
    ):
        x = torch.stack([torch.full((2, 5, 3), 0.7994), as_tensor((2, 5, 3))], 1)
        x.requires_grad_()
        context = make_context(train=True)
        (top,) = forward(make_layer("BatchNorm", context=context), [x], context)
        assert not top[:, 0].any()
        assert top[:, 1].all()
        grad = as_tensor((2, 2, 5, 3), 3)
        top.backward(grad)
        want = (grad[:, 0] - grad[:, 0].mean()) / 1e-5**0.5
        np.testing.assert_allclose(x.grad[:, 0], want, rtol=1e-4, atol=1e-3)


def standardise(x, axes, eps, variance=True):
    centred = x - x.mean(axes, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axes, keepdims=True)) + eps
    return centred / deviation if variance else centred


class TestMVN:
    @pytest.mark.parametrize("across", ["true", "false"])
    @pytest.mark.parametrize("shape", [(), (4,), (4, 3), (2, 3, 4), SHAPE])
    def test_the_top_always_has_four_axes(self, across, shape):
        options = f"mvn_param {{ across_channels: {across} }}"
        check_layer("MVN", options, [shape], tops=[(*shape, *[1] * (4 - len(shape)))])

    @pytest.mark.parametrize("variance", ["true", "false"])
    def test_many_equal_values_leave_no_rounding_error(self, variance):
        options = f"mvn_param {{ normalize_variance: {variance} }}"
        (top,) = run_layer("MVN", options, [np.full((2, 3, 5, 7), 0.7994)])
        assert not top.any()

    @pytest.mark.parametrize(
        ("across", "axes"), [("true", (1, 2, 3)), ("false", (2, 3))]
    )
    @pytest.mark.parametrize("variance", [True, False])
    def test_by_formula(self, across, axes, variance):
        options = (
            f"mvn_param {{ across_channels: {across} eps: 0.25 "
            f"normalize_variance: {str(variance).lower()} }}"
        )
        x = as_tensor(SHAPE) * 3 + 2
        (top,) = run_layer("MVN", options, [x])
        want = standardise(x.double().numpy(), axes, 0.25, variance)
        np.testing.assert_allclose(top, want, rtol=1e-5, atol=1e-6)

    def test_absent_axes_are_of_size_one(self):
        x = as_tensor((4, 3))
        (top,) = run_layer("MVN", "", [x])
        assert not top.any()
        (top,) = run_layer("MVN", "mvn_param { across_channels: true }", [x])
        want = standardise(x.numpy(), (1,), 0)
        np.testing.assert_allclose(top[:, :, 0, 0], want, rtol=1e-4)

    @pytest.mark.parametrize("across", ["true", "false"])
    @pytest.mark.parametrize("variance", ["true", "false"])
    def test_gradient(self, across, variance):
        options = (
            f"mvn_param {{ across_channels: {across} normalize_variance: {variance} }}"
        )
        check_gradient("MVN", options, [SHAPE])

    def test_eps_has_no_part_in_the_derivative_of_the_deviation(self):
        x = torch.tensor([1.0, 2.0, 6.0]).reshape(1, 1, 1, 3).requires_grad_()
        (top,) = forward(make_layer("MVN", "mvn_param { eps: 2 }"), [x], make_context())
        grad = np.array([1.0, -2.0, 0.5])
        top.backward(torch.from_numpy(grad).float().reshape(x.shape))
        scale = np.sqrt(14 / 3) + 2
        y = np.array([-2, -1, 3]) / scale
        want = (grad - grad.mean() - y * (grad * y).mean()) / scale
        np.testing.assert_allclose(x.grad.flatten(), want, rtol=1e-5)

    def test_an_image_of_one_value_becomes_zero_and_has_a_gradient(self):
        x = torch.full((1, 1, 2, 2), 3.0, requires_grad=True)
        (top,) = forward(make_layer("MVN"), [x], make_context())
        top.backward(torch.tensor([[[[4.0, 0.0], [0.0, 0.0]]]]))
        assert not top.any()
        want = np.array([3, -1, -1, -1]) / 1e-9
        np.testing.assert_allclose(x.grad.flatten(), want, rtol=1e-5)

    def test_refuses_more_than_four_axes(self):
        with pytest.raises(
            CheckError, match=r"\(1,2,3,4,5\) has 5 axes: expected 0 to 4"
        ):
            shapes_of("MVN", "", [(1, 2, 3, 4, 5)])
