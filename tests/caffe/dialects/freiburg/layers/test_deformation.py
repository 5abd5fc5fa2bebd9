import numpy as np
import pytest
import scipy.interpolate
import torch

from caffe.errors import CheckError
from tests.support.layers import (
    check_layer,
    forward,
    make_context,
    make_layer,
    run_layer,
)


def create(options, bottom=None, seed=0):
    """One field as an array, sample first."""
    (top,) = run_layer(
        "CreateDeformation",
        f"create_deformation_param {{ {options} }}",
        [] if bottom is None else [bottom],
        context=make_context(seed=seed),
    )
    assert top.dtype == torch.float32
    return top.numpy()


def fixed(name, *values):
    """A range that holds one value only."""
    v = " ".join(f"v: {value}" for value in values)
    return f" random_{name}_from {{ {v} }} random_{name}_to {{ {v} }} "


def spot(shape, place):
    image = np.zeros((1, 1, *shape))
    image[(0, 0, *place)] = 3.5
    return image


class TestCreateDeformation:
    # the numbers of caffe_unet_layers.md, section 2.7

    @pytest.mark.parametrize(
        ("options", "bottoms", "top"),
        [
            ("ny: 4 nx: 5", [], (1, 4, 5, 2)),
            ("ny: 4 nx: 5 batch_size: 3", [], (3, 4, 5, 2)),
            ("ny: 4 nx: 5 batch_size: 3", [(2, 1, 6, 6)], (2, 4, 5, 2)),
            ("nz: 3 ny: 4 nx: 5", [(2, 1, 6, 6, 6)], (2, 3, 4, 5, 2)),
            ("nz: 3 ny: 4 nx: 5 ncomponents: 3", [], (1, 3, 4, 5, 3)),
            ("", [], (1, 0, 0, 2)),
        ],
    )
    def test_shapes(self, options, bottoms, top):
        text = f"create_deformation_param {{ {options} }}"
        check_layer("CreateDeformation", text, bottoms, tops=[top])

    def test_without_options_every_voxel_stays(self):
        grid = np.stack(np.mgrid[:4, :5], -1)
        np.testing.assert_allclose(create("ny: 4 nx: 5")[0], grid, atol=1e-6)
        grid = np.stack(np.mgrid[:3, :4, :5], -1)
        field = create("nz: 3 ny: 4 nx: 5 ncomponents: 3")
        np.testing.assert_allclose(field[0], grid, atol=1e-6)
        field = create("nz: 3 ny: 4 nx: 5")
        np.testing.assert_allclose(field[0], grid[..., 1:], atol=1e-6)

    def test_a_quarter_turn(self):
        field = create("ny: 4 nx: 4" + fixed("rotate", 90))
        y, x = np.mgrid[:4, :4]
        np.testing.assert_allclose(field[0], np.stack([4 - x, y], -1), atol=1e-6)

    def test_half_a_turn_is_about_half_the_extent(self):
        field = create("ny: 3 nx: 3" + fixed("rotate", 180))
        y, x = np.mgrid[:3, :3]
        np.testing.assert_allclose(field[0], np.stack([3 - y, 3 - x], -1), atol=1e-6)

    def test_the_field_lies_in_the_middle_of_the_bottom(self):
        field = create("ny: 2 nx: 2" + fixed("offset", 1, -2), (1, 1, 5, 6))
        want = [[[2.5, 0], [2.5, 1]], [[3.5, 0], [3.5, 1]]]
        np.testing.assert_allclose(field[0], want, atol=1e-6)

    def test_rotation_and_offset(self):
        options = fixed("rotate", 30) + fixed("offset", 0.5, -1.5)
        field = create("ny: 3 nx: 5" + options, (1, 1, 7, 8))[0]
        np.testing.assert_allclose(field[0, 0], [3.95096, -0.41506], atol=1e-5)
        np.testing.assert_allclose(field[-1, -1], [3.68301, 4.04904], atol=1e-5)

    def test_rotation_about_three_axes(self):
        field = create(
            "nz: 4 ny: 6 nx: 8 ncomponents: 3 voxel_relsize_z: 2.5"
            + fixed("rotate", 20, 35, -50)
            + fixed("offset", 1, -2, 0.5),
            (1, 1, 10, 12, 14),
        )[0]
        matrix = np.array(
            [
                [0.526541, 0.237499, -0.243382, 5.207951],
                [-1.568767, 0.754301, 0.193041, 4.102468],
                [1.433941, 0.280166, 0.769751, 0.712614],
            ]
        )
        grid = np.stack([*np.mgrid[:4, :6, :8], np.ones((4, 6, 8))], -1)
        np.testing.assert_allclose(field, grid @ matrix.T, atol=2e-5)
        np.testing.assert_allclose(
            field[3, 5, 7], [6.27139, 4.51896, 11.80353], atol=1e-5
        )

    @pytest.mark.parametrize(
        ("top", "bottom", "place", "want"),
        [
            ((1, 5, 3), (7, 8, 9), (3, 2, 6), (3, 0, 5)),
            ((1, 5, 3), (7, 8, 9), (0, 0, 0), (0, -2, -1)),
            ((1, 5, 3), (7, 8, 9), (6, 7, 8), (6, 5, 7)),
            ((7, 8, 9), (7, 8, 9), (3, 2, 6), (0, -1.5, 2)),
            ((7, 8, 9), (7, 8, 9), (0, 0, 0), (-3, -3.5, -4)),
            ((5, 3), (8, 9), (2, 6), (0, 5)),
            ((5, 3), (8, 9), (7, 8), (5, 7)),
        ],
    )
    @pytest.mark.parametrize("kind", ["pdf: true", "ignore_label: 2"])
    def test_the_centre_is_drawn_from_the_bottom(self, top, bottom, place, want, kind):
        names = ("nz", "ny", "nx")[-len(top) :]
        options = " ".join(f"{n}: {v}" for n, v in zip(names, top, strict=True))
        options += f" ncomponents: {len(top)} random_offset_range_from_{kind}"
        image = spot(bottom, place)
        image = image if kind == "pdf: true" else np.where(image, 3.5, 2.5)
        first = create(options, image)[(0,) * (1 + len(top))]
        np.testing.assert_allclose(first, want, atol=1e-6)

    def test_places_are_drawn_as_often_as_the_pdf_says(self):
        pdf = np.array([[0, 1, 0], [3, 0, 0]], float)
        bottom = np.broadcast_to(pdf, (1000, 2, 2, 3))
        field = create("ny: 1 nx: 1 random_offset_range_from_pdf: true", bottom)
        places, counts = np.unique(field.reshape(-1, 2), axis=0, return_counts=True)
        np.testing.assert_allclose(places, [[0, 1], [1, 0]], atol=1e-6)
        assert 200 < counts[0] < 300

    def test_every_place_of_the_bottom_may_be_the_centre(self):
        options = "ny: 1 nx: 1 random_offset_range_from_in_blob_shape: true"
        places = create(options, (500, 1, 2, 3)).reshape(-1, 2)
        want = [[y, x] for y in range(2) for x in range(3)]
        np.testing.assert_allclose(np.unique(places, axis=0), want, atol=1e-6)
        places = create(options + fixed("offset", 5, 0), (1, 1, 1, 1))
        np.testing.assert_allclose(places.reshape(-1), [5, 0], atol=1e-6)

    def test_a_pdf_of_zeros_is_the_first_place(self):
        options = "ny: 1 nx: 1 random_offset_range_from_pdf: true"
        field = create(options, np.zeros((1, 1, 3, 3)))
        np.testing.assert_allclose(field.reshape(-1), [0, 0], atol=1e-6)

    @pytest.mark.parametrize("value", [-1, np.nan, np.inf])
    def test_refuses_a_pdf_that_is_none(self, value):
        options = "ny: 1 nx: 1 random_offset_range_from_pdf: true"
        with pytest.raises(CheckError, match="expected 0 or more for a pdf"):
            create(options, np.full((1, 1, 2, 2), value))

    def test_angles_and_offsets_are_uniform(self):
        options = (
            "ny: 1 nx: 1 batch_size: 2000 random_rotate_from { v: 0 } "
            "random_rotate_to { v: 90 } random_offset_from { v: -3 v: 10 } "
            "random_offset_to { v: 3 v: 20 }"
        )
        # with one voxel at (0, 0) the centre is half a voxel away from it
        field = create(options).reshape(-1, 2) - 0.5
        assert -3.8 < field[:, 0].min() < -3
        assert 2.9 < field[:, 0].max() < 3.4
        assert abs(field[:, 1].mean() + 0.6366 - 15) < 0.3
        assert len(np.unique(field, axis=0)) == 2000

    def test_elastic_deformation_is_a_cubic_b_spline(self):
        options = (
            "ny: 10 nx: 9 random_elastic_grid_spacing { v: 4 v: 3 } "
            "random_elastic_deform_magnitude { v: 2 v: 0.5 } batch_size: 2"
        )
        field = create(options, seed=5)
        rng = np.random.default_rng(5)
        for sample in field:
            for component, magnitude in enumerate((2, 0.5)):
                points = magnitude * rng.standard_normal((6, 7), np.float32)
                want = points
                for axis, (size, step) in enumerate([(10, 4), (9, 3)]):
                    knots = np.arange(-3, want.shape[axis] + 1)
                    spline = scipy.interpolate.BSpline(knots, want, 3, axis=axis)
                    # the first control point stands one interval before pixel 0
                    want = spline(np.arange(size) / step)
                    assert want.shape[axis] == size
                grid = np.mgrid[:10, :9][component]
                np.testing.assert_allclose(
                    sample[..., component] - grid, want, atol=1e-5
                )

    def test_spline_of_the_specification(self):
        # magnitudes are 0 but for y, whose control points are set by a stand-in
        class Points:
            def standard_normal(self, shape, dtype):
                column = np.array([1, 4, -2, 3, 0, 5], dtype)
                return np.repeat(column[:, None], shape[1], 1)

            random = staticmethod(lambda dtype: dtype(0))

        context = make_context()
        context.rng = Points()
        (field,) = run_layer(
            "CreateDeformation",
            "create_deformation_param { ny: 10 nx: 2 "
            "random_elastic_grid_spacing { v: 4 v: 4 } "
            "random_elastic_deform_magnitude { v: 1 v: 0 } }",
            [],
            context=context,
        )
        want = [2.5, 1.895833, 1.041667, 0.25, -0.166667, 0.002604, 0.5625]
        want += [1.216146, 1.666667, 1.708333]
        for x in range(2):
            got = field[0, :, x].numpy() - [[y, x] for y in range(10)]
            np.testing.assert_allclose(got[:, 0], want, atol=1e-5)
            np.testing.assert_allclose(got[:, 1], 0, atol=1e-6)

    def test_elastic_deformation_in_three_dimensions(self):
        options = (
            "nz: 5 ny: 6 nx: 7 ncomponents: %d random_elastic_grid_spacing "
            "{ v: 2 v: 3 v: 4 } random_elastic_deform_magnitude { v: 1 v: 1 v: 1 }"
        )
        three = create(options % 3)[0] - np.stack(np.mgrid[:5, :6, :7], -1)
        two = create(options % 2)[0] - np.stack(np.mgrid[:5, :6, :7][1:], -1)
        np.testing.assert_allclose(two, three[..., :2], atol=1e-5)
        assert three.std() > 0.2

    def test_elastic_deformation_is_turned_too(self):
        options = (
            "ny: 6 nx: 6 random_elastic_grid_spacing { v: 3 v: 3 } "
            "random_elastic_deform_magnitude { v: 1 v: 1 }"
        )
        plain, turned = create(options), create(options + fixed("rotate", 90))
        want = np.stack([6 - plain[..., 1], plain[..., 0]], -1)
        np.testing.assert_allclose(turned, want, atol=1e-5)

    def test_mirroring_has_no_effect(self):
        options = "ny: 4 nx: 5 random_mirror_flag { v: 1 v: 0 }"
        grid = np.stack(np.mgrid[:4, :5], -1)
        for seed in range(5):
            np.testing.assert_allclose(create(options, seed=seed)[0], grid, atol=1e-6)

    def test_magnitude_zero_is_no_deformation_of_that_component(self):
        options = (
            "ny: 6 nx: 6 random_elastic_grid_spacing { v: 3 v: 3 } "
            "random_elastic_deform_magnitude { v: 0 v: 1 }"
        )
        moved = create(options)[0] - np.stack(np.mgrid[:6, :6], -1)
        assert np.abs(moved[..., 0]).max() < 1e-6
        assert np.abs(moved[..., 1]).max() > 0.1

    def test_each_forward_draws_anew(self):
        context = make_context()
        layer = make_layer(
            "CreateDeformation",
            "create_deformation_param { ny: 2 nx: 2 random_offset_from { v: 0 v: 0 } "
            "random_offset_to { v: 9 v: 9 } }",
            bottoms=0,
            context=context,
        )
        (first,), (second,) = forward(layer, [], context), forward(layer, [], context)
        assert not torch.equal(first, second)

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ("ncomponents: 3", "ncomponents is 3: expected 2, as nz is 0"),
            ("nz: 2 ncomponents: 4", "ncomponents is 4: expected 2 or 3"),
            ("voxel_relsize_z: 0", "voxel_relsize_z is 0"),
            ("voxel_relsize_z: -inf", "voxel_relsize_z is -inf"),
            (
                "random_rotate_from { v: 1 v: 2 } random_rotate_to { v: 3 }",
                "random_rotate_from has 2 values: expected 1",
            ),
            ("random_rotate_from { v: 1 }", "random_rotate_from is given alone"),
            ("random_rotate_to { v: 1 }", "random_rotate_to is given alone"),
            (
                "random_offset_from { v: 1 v: 2 } random_offset_to { v: 3 v: 1 }",
                r"random_offset_from is \(1.0,2.0\), random_offset_to \(3.0,1.0\)",
            ),
            (
                "random_mirror_flag { v: 1 }",
                "random_mirror_flag has 1 values: expected 2",
            ),
            (
                "nz: 2 random_elastic_grid_spacing { v: 1 v: 2 }",
                "random_elastic_grid_spacing has 2 values: expected 3",
            ),
            (
                "random_elastic_grid_spacing { v: 0 v: 2 }",
                r"random_elastic_grid_spacing is \(0,2\): expected values above 0",
            ),
            (
                "random_elastic_grid_spacing { v: 1 v: 2 }",
                r"deform_magnitude is \(\): expected 2 values of 0 or more",
            ),
            (
                "random_elastic_grid_spacing { v: 1 v: 2 } "
                "random_elastic_deform_magnitude { v: 1 v: -1 }",
                r"deform_magnitude is \(1.0,-1.0\): expected 2 values of 0 or more",
            ),
            (
                "random_offset_range_from_pdf: true "
                "random_offset_range_from_ignore_label: 2",
                "random_offset_range_from_pdf is given, and _ignore_label too",
            ),
        ],
    )
    def test_refuses_options(self, options, match):
        with pytest.raises(CheckError, match=match):
            create("ny: 2 nx: 2 " + options, (1, 1, 4, 4, 4))

    def test_refuses_to_draw_a_centre_without_a_bottom(self):
        with pytest.raises(CheckError, match="_pdf is given without a bottom"):
            create("ny: 2 nx: 2 random_offset_range_from_pdf: true")

    def test_refuses_a_bottom_of_too_few_axes(self):
        with pytest.raises(CheckError, match=r"bottom 0 is \(1,4,4\): expected 4 axes"):
            create("ny: 2 nx: 2", (1, 4, 4))
        options = "ny: 2 nx: 2 random_offset_range_from_in_blob_shape: true"
        with pytest.raises(CheckError, match="with values in them"):
            create(options, (1, 1, 0, 4))
