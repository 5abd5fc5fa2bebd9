import cv2
import numpy as np
import pytest
import torch

from caffe.dialects.freiburg.layers.augmentation import look_up, lookup_operator
from caffe.errors import CheckError
from tests.support.layers import (
    as_tensor,
    check_layer,
    make_context,
    make_layer,
    run_layer,
    shapes_of,
)


def apply(image, field, options="", **shapes):
    context = make_context()
    context.shape_of = shapes.__getitem__
    text = f"apply_deformation_param {{ {options} }}"
    (top,) = run_layer("ApplyDeformation", text, [image, field], context=context)
    return top.numpy()


MODES = [(i, e) for i in ("linear", "nearest") for e in ("mirror", "zero")]


class TestApplyDeformation:
    # the numbers of caffe_unet_layers.md, section 3.5

    def test_shapes(self):
        check_layer(
            "ApplyDeformation", "", [(2, 3, 9, 8), (2, 5, 4, 2)], tops=[(2, 3, 5, 4)]
        )
        for components in (2, 3):
            bottoms = [(2, 3, 9, 8, 7), (2, 5, 4, 6, components)]
            check_layer("ApplyDeformation", "", bottoms, tops=[(2, 3, 5, 4, 6)])

    def row(self, extrapolation, interpolation="linear"):
        image = np.arange(5.0).reshape(1, 1, 1, 5)
        field = np.zeros((1, 1, 21, 2))
        field[..., 1] = np.arange(-10, 11)
        options = f'extrapolation: "{extrapolation}" interpolation: "{interpolation}"'
        return apply(image, field, options).reshape(-1).tolist()

    @pytest.mark.parametrize("interpolation", ["linear", "nearest"])
    def test_mirror_reflects_about_the_outermost_voxels(self, interpolation):
        want = [2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2]
        assert self.row("mirror", interpolation) == want

    @pytest.mark.parametrize("interpolation", ["linear", "nearest"])
    def test_zero_is_zero_outside(self, interpolation):
        want = [0] * 10 + [0, 1, 2, 3, 4] + [0] * 6
        assert self.row("zero", interpolation) == want

    @pytest.mark.parametrize(
        ("interpolation", "want"),
        [("linear", [0.5, 1, 0.75, 1.5]), ("nearest", [1, 1, 2, 2])],
    )
    def test_between_pixels(self, interpolation, want):
        image = np.array([[[[0.0, 1], [0, 2]]]])
        field = np.array([[[[0, 0.5], [0, 1], [0.5, 0.5], [0.5, 1]]]])
        got = apply(image, field, f'interpolation: "{interpolation}"')
        assert got.reshape(-1).tolist() == want

    @pytest.mark.parametrize(
        ("interpolation", "want"),
        [("linear", [0.5, 2, 0.75, 0.75]), ("nearest", [1, 2, 3, 0])],
    )
    def test_between_voxels(self, interpolation, want):
        image = np.array([[[[[0.0, 1], [0, 2]], [[0, 0], [0, 3]]]]])
        places = [[0, 0, 0.5], [0, 1, 1], [0.5, 0.5, 0.5], [1, 1, 0.25]]
        field = np.array(places).reshape(1, 1, 1, 4, 3)
        got = apply(image, field, f'interpolation: "{interpolation}"')
        assert got.reshape(-1).tolist() == want

    @pytest.mark.parametrize("extrapolation", ["mirror", "zero"])
    def test_agrees_with_opencv(self, extrapolation):
        rng = np.random.default_rng(0)
        image = rng.random((1, 1, 40, 30)).astype(np.float32)
        # steps of 1/32, as fine as OpenCV's interpolation
        field = (rng.integers(-640, 1920, (1, 25, 35, 2)) / 32).astype(np.float32)
        borders = {"mirror": cv2.BORDER_REFLECT_101, "zero": cv2.BORDER_CONSTANT}
        want = cv2.remap(
            image[0, 0],
            field[0, ..., 1],
            field[0, ..., 0],
            cv2.INTER_LINEAR,
            borderMode=borders[extrapolation],
        )
        got = apply(image, field, f'extrapolation: "{extrapolation}"')
        np.testing.assert_allclose(got[0, 0], want, atol=1e-5)

    def test_outside_by_a_fraction_fades_to_zero(self):
        image = np.full((1, 1, 1, 1), 8.0)
        field = np.array([[[[0, -0.25], [0, 0.5], [-0.5, -0.5], [0, 1]]]])
        got = apply(image, field, 'extrapolation: "zero"')
        assert got.reshape(-1).tolist() == [6, 4, 2, 0]

    def test_an_axis_of_one_voxel_mirrors_to_itself(self):
        field = np.array([[[[-7.5, 3], [0.25, 12]]]])
        assert apply(np.full((1, 1, 1, 1), 8.0), field).reshape(-1).tolist() == [8, 8]

    @pytest.mark.parametrize(("interpolation", "extrapolation"), MODES)
    def test_what_is_no_place_reads_no_other_memory(self, interpolation, extrapolation):
        field = np.array([[[[np.nan, 0], [np.inf, 0], [-1e30, 1e30], [0, 0]]]])
        options = f'interpolation: "{interpolation}" extrapolation: "{extrapolation}"'
        got = apply(np.full((1, 1, 4, 4), 8.0), field, options)
        assert got.reshape(-1)[3] == 8

    def test_the_middle_of_the_field_is_used_for_a_smaller_top(self):
        image, field = as_tensor((2, 3, 9, 8)), as_tensor((2, 8, 7, 2), 1) * 5
        got = apply(image, field, 'output_shape_from: "score"', score=(7, 1, 4, 5))
        want = apply(image, field)[:, :, 2:6, 1:6]
        assert got.shape == (2, 3, 4, 5)
        np.testing.assert_array_equal(got, want)

    def test_two_components_deform_planes_and_leave_their_order(self):
        image = as_tensor((1, 2, 4, 9, 8))
        field = as_tensor((1, 6, 5, 4, 2), 1) * 5
        options = 'output_shape_from: "score"'
        got = apply(image, field, options, score=(1, 1, 2, 5, 4))
        for z in range(2):
            # plane z of the image, by plane z of the middle of the field
            want = apply(image[:, :, z], field[:, z + 2])
            np.testing.assert_array_equal(got[:, :, z], want)

    @pytest.mark.parametrize(("interpolation", "extrapolation"), MODES)
    @pytest.mark.parametrize("shape", [(0, 1), (1, 0), (0, 0)])
    def test_nothing_is_made_of_nothing(self, interpolation, extrapolation, shape):
        options = f'interpolation: "{interpolation}" extrapolation: "{extrapolation}"'
        got = apply(as_tensor((*shape, 4, 4)), torch.zeros(shape[0], 3, 0, 2), options)
        assert got.shape == (*shape, 3, 0)

    def test_has_no_gradient(self):
        image = torch.randn(1, 1, 3, 3, requires_grad=True)
        (top,) = run_layer("ApplyDeformation", "", [image, (1, 3, 3, 2)])
        assert not top.requires_grad

    @pytest.mark.parametrize(
        "shapes",
        [
            [(1, 1, 4, 4), (1, 4, 4, 3)],
            [(1, 1, 4, 4), (2, 4, 4, 2)],
            [(1, 1, 4, 4, 4), (1, 4, 4, 2)],
            [(1, 1, 4), (1, 4, 1)],
        ],
    )
    def test_refuses_shapes(self, shapes):
        with pytest.raises(CheckError, match=r"bottom 1 \(field\) .* expected"):
            shapes_of("ApplyDeformation", "", shapes)

    @pytest.mark.parametrize("score", [(1, 1, 5, 3), (1, 1, 8, 4), (1, 1, 4)])
    def test_refuses_a_blob_that_the_field_can_not_be_cropped_to(self, score):
        with pytest.raises(CheckError, match="blob 'score' of output_shape_from has"):
            apply((1, 1, 9, 9), (1, 6, 6, 2), 'output_shape_from: "score"', score=score)

    def test_refuses_planes_that_the_image_has_not(self):
        with pytest.raises(CheckError, match="no voxel for all of the top's"):
            shapes_of("ApplyDeformation", "", [(1, 1, 3, 4, 4), (1, 4, 4, 4, 2)])
        with pytest.raises(CheckError, match="no voxel for all of the top's"):
            shapes_of("ApplyDeformation", "", [(1, 1, 0, 4), (1, 4, 4, 2)])

    @pytest.mark.parametrize("option", ["interpolation", "extrapolation"])
    def test_refuses_other_modes(self, option):
        with pytest.raises(CheckError, match=r"unsuppported combination: .*'cubic'"):
            apply((1, 1, 4, 4), (1, 4, 4, 2), f'{option}: "cubic"')


def augment(options, image, seed=0):
    context = make_context(seed=seed)
    text = f"value_augmentation_param {{ {options} }}"
    (top,) = run_layer("ValueAugmentation", text, [image], context=context)
    return top.numpy()


RAMP = np.linspace(0, 1, 101).reshape(1, 1, -1)


class TestValueAugmentation:
    # the numbers of caffe_unet_layers.md, section 4.6

    def test_shape(self):
        options = "value_augmentation_param { slope_min: 1 slope_max: 1 }"
        check_layer("ValueAugmentation", options, [(2, 3, 4, 5)], tops=[(2, 3, 4, 5)])
        check_layer("ValueAugmentation", options, [(2, 3)], tops=[(2, 3)])

    def test_slopes_of_one_change_nothing(self):
        got = augment("slope_min: 1 slope_max: 1", RAMP)
        np.testing.assert_allclose(got, RAMP, atol=1e-6)

    def test_slopes_of_two(self):
        options = "white_from: 2 white_to: 2 slope_min: 2 slope_max: 2"
        np.testing.assert_allclose(augment(options, RAMP), 2 * RAMP, atol=1e-6)

    def test_operator_of_five_values(self):
        want = [
            [1, 0, 0],
            [0.500132, 0.499736, 0.000132],
            [0.053489, 0.893021, 0.053489],
            [0.000132, 0.499736, 0.500132],
            [0, 0, 1],
        ]
        np.testing.assert_allclose(lookup_operator(1, 5), want, atol=1e-6)

    def test_table_of_256_values(self):
        operator = lookup_operator(2, 256)
        assert operator.shape == (256, 5)
        table = operator @ np.array([0.05, 0.2, 0.5, 0.85, 1.0], np.float32)
        at = [0, 1, 31, 63, 64, 127, 128, 191, 254, 255]
        want = [0.05, 0.052353, 0.123216, 0.212331, 0.215845, 0.502441, 0.507539]
        want += [0.829069, 0.997647, 1]
        np.testing.assert_allclose(table[at], want, atol=1e-6)
        values = torch.tensor([[[-0.3, 0.1, 0.25, 0.5, 0.7501, 1.4]]])
        got = look_up(values, torch.from_numpy(table)[None])
        want = [0.05, 0.110102, 0.214967, 0.50499, 0.830144, 1]
        np.testing.assert_allclose(got.reshape(-1), want, atol=2e-6)

    def test_a_table_without_insertions_is_linear(self):
        np.testing.assert_allclose(lookup_operator(0, 2), np.eye(2), atol=1e-6)

    def test_curves_keep_to_their_ranges(self):
        options = "black_from: -0.2 black_to: 0.1 white_from: 0.9 white_to: 1.2"
        curves = augment(options, np.broadcast_to(RAMP, (100, 3, 101)))
        assert -0.2 <= curves[..., 0].min() < -0.15
        assert 0.05 < curves[..., 0].max() <= 0.1
        assert 0.9 <= curves[..., -1].min() < 0.95
        assert 1.15 < curves[..., -1].max() <= 1.2
        slopes = np.diff(curves) * 100
        assert slopes.min() > 0.665
        assert slopes.max() < 1.501

    def test_every_sample_and_channel_has_its_own_curve(self):
        curves = augment("", np.broadcast_to(RAMP, (4, 3, 101))).reshape(12, -1)
        assert len(np.unique(curves, axis=0)) == 12

    def test_impossible_curves_are_drawn_again(self):
        # from 0 to 1.4 .. 1.6 at slopes up to 1.5: half of the draws are impossible
        options = "white_from: 1.42 white_to: 1.57"
        curves = augment(options, np.broadcast_to(RAMP, (20, 5, 101)))
        assert curves.shape == (20, 5, 101)
        assert curves.max() < 1.501

    def test_nothing_is_made_of_nothing(self):
        assert augment("", torch.zeros(0, 2, 3)).shape == (0, 2, 3)
        assert augment("", torch.zeros(2, 1, 0)).shape == (2, 1, 0)

    def test_what_is_no_number_stays_none(self):
        image = np.array([[[np.nan, 0.5]]])
        got = augment("slope_min: 1 slope_max: 1", image).reshape(-1)
        assert np.isnan(got[0])
        assert got[1] == pytest.approx(0.5)

    def test_logs_the_rate_of_impossible_curves(self):
        context = make_context()
        make_layer("ValueAugmentation", "", context=context)
        first, second = (line for _, line in context.lines)
        assert first == (
            "Generating 100000 random lookup tables with given parameters for "
            "ValueAugmentationLayer."
        )
        assert second == "Failure rate: 0%"
        options = "value_augmentation_param { white_from: 1.4 white_to: 1.6 }"
        make_layer("ValueAugmentation", options, context=context)
        rate = float(context.lines[3][1].removeprefix("Failure rate: ").rstrip("%"))
        assert rate == pytest.approx(50, abs=1)

    def test_refuses_options_that_allow_hardly_a_curve(self):
        with pytest.raises(CheckError, match="more than 50000 of 100000 random curves"):
            augment("white_from: 1.6 white_to: 1.7", RAMP)

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ("lut_size: 1", "lut_size is 1: expected 2 or more"),
            (
                "slope_min: 2 slope_max: 1",
                "slope_min is 2, slope_max 1: expected slope_min <=",
            ),
            ("n_control_point_insertions: -1", "insertions is -1: expected 0 to 12"),
            ("n_control_point_insertions: 40", "insertions is 40: expected 0 to 12"),
            (
                "black_from: 0.5",
                "black is 0.5 to 0, white 1 to 1: expected black_from <= bl",
            ),
            (
                "black_to: 2",
                "black is 0 to 2, white 1 to 1: expected black_from <= black_to",
            ),
            (
                "white_to: 0.5",
                "white 1 to 0.5: expected black_from <= black_to <= white_from",
            ),
        ],
    )
    def test_refuses_options(self, options, match):
        with pytest.raises(CheckError, match=match):
            augment(options, RAMP)

    def test_refuses_a_bottom_without_channels(self):
        with pytest.raises(
            CheckError, match=r"bottom 0 is \(5\): expected 2 or more axes"
        ):
            shapes_of("ValueAugmentation", "", [(5,)])
