"""Layers of nets for faces, beyond the stored answers of the forks."""

import math

import numpy as np
import pytest
import torch

import caffe
from caffe.engine.catalogue import layer_class
from caffe.errors import CheckError
from caffe.proto import caffe_pb2
from tests.support.layers import (
    as_tensor,
    check_gradient,
    loss_and_gradients,
    make_context,
    make_layer,
    run_layer,
    shapes_of,
)

MARGIN = "weight_filler { type: 'gaussian' std: 1 }"


def normalize(options="", tops=1):
    """Happynear's Normalize as a net of one layer."""
    named = " ".join(f'top: "y{i}"' for i in range(tops))
    text = f"""input: "x" input_shape {{ dim: 2 dim: 3 dim: 2 dim: 2 }}
        layer {{ name: "n" type: "Normalize" bottom: "x" {named} {options} }}"""
    return caffe.Net(caffe.parse_net(text), caffe.TEST)


class TestNormalize:
    def test_two_tops_are_vectors_of_length_1_and_lengths(self):
        net = normalize(tops=2)
        net.blobs["x"].data[...] = as_tensor((2, 3, 2, 2)).numpy()
        net.forward()
        x, (unit, norm) = net.blobs["x"].data, [net.blobs[f"y{i}"].data for i in (0, 1)]
        np.testing.assert_allclose(norm, np.linalg.norm(x, axis=1, keepdims=True))
        np.testing.assert_allclose(unit * norm, x, rtol=1e-5)

    def test_its_options_show_whose_it_is_and_ssds_is_meant_else(self):
        assert layer_class("Normalize").dialect == "ssd"
        ours = caffe_pb2.LayerParameter(type="Normalize", top=["y"])
        ours.normalize_param.normalize_type = "L1"
        assert layer_class("Normalize", ours).dialect == "faces"
        ssds = caffe_pb2.LayerParameter(type="Normalize", top=["y"])
        ssds.norm_param.across_spatial = False
        assert layer_class("Normalize", ssds).dialect == "ssd"
        assert layer_class("Normalize", ours, lambda: 1).dialect == "ssd"

    def test_l1_is_the_sum_of_magnitudes(self):
        net = normalize('normalize_param { normalize_type: "L1" }')
        net.blobs["x"].data[...] = as_tensor((2, 3, 2, 2)).numpy()
        (found,) = net.forward().values()
        np.testing.assert_allclose(np.abs(found).sum(1), 1, rtol=1e-5)

    def test_other_norms_are_refused(self):
        with pytest.raises(CheckError, match="normalize_type is 'L3'"):
            normalize('normalize_param { normalize_type: "L3" }')
        with pytest.raises(CheckError, match="fix_gradient"):
            normalize("normalize_param { fix_gradient: true }")


@pytest.mark.parametrize("kind", ["L2Normalize", "Normalization"])
def test_rows_get_the_length_1(kind):
    (found,) = run_layer(kind, "", [as_tensor((3, 4, 2, 1))])
    torch.testing.assert_close(found.flatten(1).norm(dim=1), torch.ones(3))
    check_gradient(kind, "", [(2, 3, 2)])


def test_the_l1_norm_of_normalization_is_refused():
    with pytest.raises(CheckError, match="norm is L1"):
        make_layer("Normalization", "normalization_param { norm: L1 }")


class TestMargins:
    KIND, PARAM = "LargeMarginInnerProduct", "largemargin_inner_product_param"

    @pytest.mark.parametrize(
        ("kind", "times"), [("DOUBLE", 2), ("TRIPLE", 3), ("QUADRUPLE", 4)]
    )
    def test_the_true_score_is_of_the_angle_times_m_and_falls(self, kind, times):
        options = f"{self.PARAM} {{ num_output: 1 type: {kind} base: 0 }}"
        angles = torch.linspace(0.01, math.pi - 0.01, 50)
        x = torch.stack([angles.cos(), angles.sin()], 1)
        layer = make_layer(self.KIND, options, bottoms=2, tops=1)
        layer.parameters([tuple(x.shape), (50,)])
        weight = torch.tensor([[1.0, 0]])
        (top,) = layer.forward([x, torch.zeros(50)], [weight], make_context())
        k = (angles * times / math.pi).floor()
        expected = (-1) ** k * (times * angles).cos() - 2 * k
        torch.testing.assert_close(top[:, 0], expected, atol=1e-4, rtol=1e-4)
        assert (top[1:] < top[:-1]).all()

    @pytest.mark.parametrize("kind", ["DOUBLE", "TRIPLE", "QUADRUPLE"])
    def test_gradients_of_a_large_margin_are_derivatives(self, kind):
        options = f"{self.PARAM} {{ num_output: 3 type: {kind} base: 2 {MARGIN} }}"
        check_gradient(self.KIND, options, [(4, 3), torch.tensor([0.0, 2, 1, 0])])

    def test_lambda_falls_with_every_forward(self):
        options = (
            f"{self.PARAM} {{ num_output: 2 base: 8 gamma: 1 iteration: 2 "
            "lambda_min: 1.7 }"
        )
        layer = make_layer(self.KIND, options, bottoms=2, tops=2)
        bottoms, context = [torch.ones(1, 2), torch.zeros(1)], make_context()
        found = [
            layer.forward(bottoms, [torch.ones(2, 2)], context)[1].item()
            for _ in range(3)
        ]
        assert found == pytest.approx([2, 1.7, 1.7])

    def test_the_stored_weights_get_the_length_1(self):
        options = "margin_inner_product_param { num_output: 2 }"
        layer = make_layer("MarginInnerProduct", options, bottoms=2)
        weight = torch.tensor([[3.0, 4], [0, 2]])
        layer.forward([torch.ones(1, 2), torch.zeros(1)], [weight], make_context())
        torch.testing.assert_close(weight, torch.tensor([[0.6, 0.8], [0, 1]]))

    @pytest.mark.parametrize("label", [-1, 3])
    def test_labels_beyond_the_classes_are_refused(self, label):
        options = f"{self.PARAM} {{ num_output: 3 {MARGIN} }}"
        with pytest.raises(CheckError, match=f"label {label}"):
            run_layer(self.KIND, options, [(1, 2), torch.tensor([float(label)])])

    def test_other_sizes_are_refused(self):
        with pytest.raises(CheckError, match="num_output is 0"):
            make_layer(self.KIND, "", bottoms=2)
        options = f"{self.PARAM} {{ num_output: 3 }}"
        with pytest.raises(CheckError, match="expected 4, one for each sample"):
            shapes_of(self.KIND, options, [(4, 2), (3,)])


class TestCenterLoss:
    def test_it_has_no_weight_of_its_own(self):
        assert not layer_class("CenterLoss").loss

    def test_centres_go_to_the_vectors_whatever_the_loss_weighs(self):
        layer = make_layer("CenterLoss", "center_loss_param { num_output: 2 }")
        x = torch.tensor([[1.0, 0], [3, 0], [0, 5]], requires_grad=True)
        centres = torch.zeros(2, 2, requires_grad=True)
        (loss,) = layer.forward(
            [x, torch.tensor([0.0, 0, 1])], [centres], make_context()
        )
        assert loss.item() == pytest.approx((1 + 9 + 25) / 6)
        loss.backward(torch.tensor(3.0))
        torch.testing.assert_close(x.grad, x.detach())
        torch.testing.assert_close(centres.grad, torch.tensor([[-4 / 3, 0], [0, -2.5]]))

    def test_other_distances_are_refused(self):
        with pytest.raises(CheckError, match="distance_type is 'L1'"):
            make_layer(
                "CenterLoss", 'center_loss_param { num_output: 2 distance_type: "L1" }'
            )


class TestTripletLoss:
    def test_gradients(self):
        check_gradient("TripletLoss", "", [(3, 2), (3, 2), (3, 2)])

    def test_who_is_near_enough_costs_nothing(self):
        bottoms = [torch.zeros(1, 2), torch.zeros(1, 2), torch.full((1, 2), 3.0)]
        loss, gradients = loss_and_gradients("TripletLoss", "", bottoms)
        assert loss == 0
        assert not any(gradient.any() for gradient in gradients)

    def test_other_shapes_are_refused(self):
        with pytest.raises(CheckError, match="equal shapes"):
            shapes_of("TripletLoss", "", [(2, 3), (2, 3), (2, 4)])
