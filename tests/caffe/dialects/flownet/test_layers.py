"""Layers of FlowNet 2, beyond the stored answers of the fork."""

import math

import cv2
import numpy as np
import pytest
import torch

from caffe.errors import CheckError
from tests.support.layers import (
    as_tensor,
    check_gradient,
    loss_and_gradients,
    make_layer,
    run_layer,
    shapes_of,
)

IMAGE = (1, 2, 6, 7)
CORRELATION = "kernel_size: 1 max_displacement: 2 pad: 2"


class TestFlowWarp:
    def test_opencv_agrees_inside(self):
        x = as_tensor(IMAGE)
        flow = as_tensor((1, 2, 6, 7), 3) / 3
        (found,) = run_layer("FlowWarp", "", [x, flow])
        rows, columns = np.indices((6, 7)).astype(np.float32)
        places = columns + flow[0, 0].numpy(), rows + flow[0, 1].numpy()
        inside = (places[0] >= 0) & (places[0] < 6) & (places[1] >= 0) & (places[1] < 5)
        assert inside.sum() > 10
        for image, top in zip(x[0].numpy(), found[0].numpy(), strict=True):
            want = cv2.remap(image, *places, cv2.INTER_LINEAR)
            # OpenCV has 32 steps a pixel
            np.testing.assert_allclose(top[inside], want[inside], atol=0.1)

    @pytest.mark.parametrize(("fill", "value"), [("ZERO", 0), ("NOT_A_NUMBER", None)])
    def test_outside_is_what_the_net_says(self, fill, value):
        flow = torch.full((1, 2, 6, 7), -7.0)
        (found,) = run_layer(
            "FlowWarp", f"flow_warp_param {{ fill_value: {fill} }}", [IMAGE, flow]
        )
        assert found.isnan().all() if value is None else (found == value).all()

    def test_gradients(self):
        flow = torch.full((1, 2, 3, 3), 0.3) + 0.2 * torch.rand(1, 2, 3, 3)
        check_gradient("FlowWarp", "", [(1, 2, 3, 3), flow])

    def test_other_flows_are_refused(self):
        with pytest.raises(CheckError, match="flow"):
            shapes_of("FlowWarp", "", [IMAGE, (1, 3, 6, 7)])


class TestChannelNorm:
    def test_gradients_but_at_0(self):
        check_gradient("ChannelNorm", "", [(2, 3, 2, 2)])
        layer = make_layer("ChannelNorm")
        x = torch.zeros(1, 2, 1, 1, requires_grad=True)
        layer.forward([x], [], None)[0].sum().backward()
        assert not x.grad.any()


class TestResample:
    def test_a_plane_stays_one_where_both_axes_grow_alike(self):
        x = torch.arange(8.0).expand(1, 1, 8, 8).contiguous()
        options = "resample_param { height: 16 width: 16 type: LINEAR }"
        (found,) = run_layer("Resample", options, [x])
        expected = (torch.arange(16) + 0.5) / 2 - 0.5
        torch.testing.assert_close(found[0, 0, 5, 1:-1], expected[1:-1])

    def test_constants_stay_constant(self):
        for kind in ("NEAREST", "LINEAR", "CUBIC"):
            options = f"resample_param {{ height: 5 width: 9 type: {kind} }}"
            (found,) = run_layer("Resample", options, [torch.full(IMAGE, 3.0)])
            torch.testing.assert_close(found, torch.full((1, 2, 5, 9), 3.0))

    def test_a_second_bottom_gives_the_size(self):
        assert shapes_of("Resample", "", [IMAGE, (1, 9, 3, 4)]) == [(1, 2, 3, 4)]

    @pytest.mark.parametrize(
        ("options", "message"),
        [("", "height is 0"), ("height: 1 width: 1 type: AREA", "type is AREA")],
    )
    def test_what_is_not_built_is_refused(self, options, message):
        with pytest.raises(CheckError, match=message):
            make_layer("Resample", f"resample_param {{ {options} }}")


class TestCorrelation:
    def test_each_channel_is_a_displacement(self):
        x = as_tensor(IMAGE)
        moved = torch.zeros(IMAGE)
        moved[:, :, 1:, 2:] = x[:, :, :-1, :-2]
        options = f"correlation_param {{ {CORRELATION} }}"
        (found,) = run_layer("Correlation", options, [x, moved])
        assert found.shape == (1, 25, 6, 7)
        # down 1, to the right 2: row 3, column 4 of five each
        expected = x.square().mean(1)[:, :-1, :-2]
        torch.testing.assert_close(found[:, 3 * 5 + 4, :-1, :-2], expected)

    def test_places_and_displacements_have_steps(self):
        options = (
            "correlation_param { kernel_size: 3 max_displacement: 5 stride_1: 2 "
            "stride_2: 2 pad: 5 }"
        )
        # five displacements an axis; ceil((6 + 10 - 12) / 2), ceil((7 + 10 - 12) / 2)
        assert shapes_of("Correlation", options, [IMAGE, IMAGE]) == [(1, 25, 2, 3)]
        (found,) = run_layer("Correlation", options, [IMAGE, IMAGE])
        assert found.shape == (1, 25, 2, 3)

    def test_gradients(self):
        options = "correlation_param { kernel_size: 1 max_displacement: 1 pad: 1 }"
        check_gradient("Correlation", options, [(1, 1, 2, 3), (1, 1, 2, 3)])

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ("", "no kernel_size"),
            ("kernel_size: 2 max_displacement: 1", "odd"),
            ("kernel_size: 1 max_displacement: 1 single_direction: 1", "single_dir"),
        ],
    )
    def test_what_is_not_built_is_refused(self, options, message):
        with pytest.raises(CheckError, match=message):
            make_layer("Correlation", f"correlation_param {{ {options} }}", bottoms=2)


class TestL1Loss:
    def test_magnitudes_by_samples(self):
        bottoms = [torch.tensor([[1.0, -2], [0, 4]]), torch.zeros(2, 2)]
        loss, gradients = loss_and_gradients("L1Loss", "", bottoms)
        assert loss == 3.5
        assert gradients[0].tolist() == [[0.5, -0.5], [0, 0.5]]

    def test_unknown_flow_does_not_count(self):
        unknown = torch.tensor([[[3.0, math.nan]], [[4, math.nan]]]).transpose(0, 1)
        options = """l1_loss_param { l2_per_location: true epsilon: 0
            normalize_by_num_entries: true }"""
        loss, (gradient, _) = loss_and_gradients(
            "L1Loss", options, [unknown, torch.zeros(1, 2, 2)]
        )
        assert loss == 5
        assert np.isfinite(gradient).all()
