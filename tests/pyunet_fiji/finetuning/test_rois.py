"""Expected values: pixel centres tested one by one, hand calculation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import points_in_poly

from pyunet.errors import DataError
from pyunet_fiji.finetuning.rois import RoiMarks, RoiName

roifile = pytest.importorskip("roifile")
TYPE, SUBTYPE = roifile.ROI_TYPE, roifile.ROI_SUBTYPE
NAMES = ("Background", "cell", "dust")
PLANE = (20, 24)


def box(left, top, right, bottom, *, kind="RECT", name="cell", **changes):
    return roifile.ImagejRoi(
        roitype=TYPE[kind],
        left=left,
        top=top,
        right=right,
        bottom=bottom,
        name=name,
        **changes,
    )


def polygon(points, *, name="cell", **changes):
    roi = roifile.ImagejRoi.frompoints(points, name=name)
    for field, value in changes.items():
        setattr(roi, field, value)
    return roi


def points(*places, name="cell", **changes):
    return polygon(places, name=name, roitype=TYPE.POINT, **changes)


def draw(*rois, shape=(1, 1, *PLANE), dimensions=2, names=NAMES, **settings_):
    return RoiMarks(rois, "a.tif").drawn(shape, dimensions, names, **settings_)


def area(*rois, **settings_):
    return draw(*rois, **settings_).classes[0] == 2


@pytest.mark.parametrize(
    ("name", "group", "number"),
    [
        ("cell", "cell", None),
        ("cell#12", "cell", 12),
        ("cell#12-1", "cell", 12),
        ("cell-1-2", "cell", None),
        ("T cell#3-0012-0034", "T cell", 3),
        ("type-a#2", "type-a", 2),
        (" ignore-3 ", "ignore", None),
        ("#4", "", 4),
        ("", "", None),
    ],
)
def test_a_name_is_a_class_with_an_instance_and_a_tail(name, group, number):
    assert RoiName.of(name) == (group, number)


class TestAreas:
    @settings(max_examples=60, deadline=None)
    @given(*[st.integers(-6, 20)] * 2, *[st.integers(1, 15)] * 2)
    def test_an_oval_holds_the_centres_within_the_ellipse(self, x, y, width, height):
        row, column = np.mgrid[: PLANE[0], : PLANE[1]]
        inside = (2 * (row - y) + 1 - height) ** 2 * width**2 + (
            2 * (column - x) + 1 - width
        ) ** 2 * height**2
        oval = box(x, y, x + width, y + height, kind="OVAL")
        found, limit = area(oval), (width * height) ** 2
        # centres on the line itself may go either way
        np.testing.assert_array_equal(
            found[inside != limit], (inside < limit)[inside != limit]
        )

    def test_a_rectangle_holds_its_pixels(self):
        expected = np.zeros(PLANE, bool)
        expected[3:8, 2:6] = True
        np.testing.assert_array_equal(area(box(2, 3, 6, 8)), expected)

    def test_what_lies_outside_the_image_is_left_out(self):
        expected = np.zeros(PLANE, bool)
        expected[:3, 20:] = True
        np.testing.assert_array_equal(area(box(20, -5, 40, 3)), expected)
        assert not area(box(50, 50, 60, 60)).any()

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(st.integers(0, 24), st.integers(0, 20)),
            min_size=3,
            max_size=3,
            unique=True,
        )
    )
    def test_a_polygon_holds_the_centres_within(self, corners):
        # moved a little, so that no centre lies on an edge
        corners = np.asarray(corners, np.float32) + np.float32([0.013, 0.027])
        row, column = np.mgrid[: PLANE[0], : PLANE[1]]
        centres = np.stack([column, row], axis=-1).reshape(-1, 2) + 0.5
        expected = points_in_poly(centres, corners).reshape(PLANE)
        np.testing.assert_array_equal(area(polygon(corners)), expected)

    def test_a_polygon_of_whole_numbers_is_read_at_the_corners_of_pixels(self):
        corners = [[2, 3], [6, 3], [6, 8], [2, 8]]
        expected = np.zeros(PLANE, bool)
        expected[3:8, 2:6] = True
        found = area(polygon(np.array(corners, np.int32)))
        np.testing.assert_array_equal(found, expected)

    def test_a_centre_on_an_edge_belongs_to_one_of_two_neighbours(self):
        # the diagonal of a square passes through centres
        upper = area(polygon(np.array([[0, 0], [8, 0], [0, 8]], np.int32)))
        lower = area(polygon(np.array([[8, 0], [8, 8], [0, 8]], np.int32)))
        assert not (upper & lower).any()
        assert (upper | lower)[:8, :8].all()

    def test_a_hole_of_a_composite_is_left_out(self):
        path = []
        for left, top, right, bottom in ((1, 1, 9, 9), (3, 3, 5, 6)):
            path += [0, left, top, 1, right, top, 1, right, bottom, 1, left, bottom, 4]
        roi = box(1, 1, 9, 9)
        roi.multi_coordinates = np.array(path, np.float32)
        roi.shape_roi_size = len(path)
        expected = np.zeros(PLANE, bool)
        expected[1:9, 1:9] = True
        expected[3:6, 3:5] = False
        np.testing.assert_array_equal(area(roi), expected)

    @pytest.mark.parametrize("kind", ["LINE", "FREELINE", "POLYLINE", "ANGLE", "NOROI"])
    def test_lines_are_an_error(self, kind):
        with pytest.raises(
            DataError, match=rf"a\.tif: ROI 'cell' is of kind {kind.lower()}; expected"
        ):
            draw(box(0, 0, 5, 5, kind=kind))

    def test_texts_are_an_error(self):
        with pytest.raises(DataError, match="is of kind text; expected areas"):
            draw(box(0, 0, 5, 5, subtype=SUBTYPE.TEXT))

    def test_curved_composites_are_an_error(self):
        roi = box(0, 0, 5, 5)
        roi.multi_coordinates = np.array([0, 0, 0, 2, 1, 1, 2, 2, 4], np.float32)
        roi.shape_roi_size = 9
        with pytest.raises(DataError, match=r"a\.tif: ROI 'cell': .* not supported"):
            draw(roi)


class TestPoints:
    def test_become_disks_with_a_ring_to_be_ignored(self):
        classes = draw(points((10.5, 8.5)), disk_radius_px=2).classes[0]
        row, column = np.mgrid[: PLANE[0], : PLANE[1]]
        squared = (row - 8) ** 2 + (column - 10) ** 2
        expected = np.where(squared <= 4, 2, np.where(squared <= 16, 0, 1))
        np.testing.assert_array_equal(classes, expected)

    def test_lie_in_the_pixel_of_their_whole_coordinates(self):
        classes = draw(points((10, 8)), disk_radius_px=0).classes[0]
        assert np.argwhere(classes == 2).tolist() == [[8, 10]]

    def test_are_an_instance_each(self):
        instances = draw(points((3, 3), (15, 12))).instances[0, 0]
        assert instances[3, 3] == 1
        assert instances[12, 15] == 2

    def test_of_one_number_are_one_instance(self):
        instances = draw(points((3, 3), (15, 12), name="cell#7")).instances[0, 0]
        assert instances[3, 3] == instances[12, 15] == 7

    def test_spoil_no_object_with_their_ring(self):
        classes = draw(box(0, 0, 10, 10), points((11, 5))).classes[0]
        assert (classes[2:9, :9] == 2).all()
        assert classes[5, 15] == 0

    def test_may_lie_in_slices_of_their_own(self):
        roi = points((3, 3), (15, 12))
        roi.counter_positions = np.array([2, 1], np.uint32)
        classes = draw(roi, shape=(1, 2, *PLANE), dimensions=3).classes[0]
        assert (classes[1, 3, 3], classes[0, 12, 15]) == (2, 2)
        assert (classes[0, 3, 3], classes[1, 12, 15]) == (1, 1)


class TestInstances:
    def test_without_number_are_one_for_each_area_and_no_number_twice(self):
        instances = draw(
            box(0, 0, 2, 2), box(4, 0, 6, 2, name="cell#1"), box(8, 0, 10, 2)
        ).instances[0, 0]
        assert len({instances[0, 0], instances[0, 4], instances[0, 8]}) == 3
        assert instances[0, 4] == 1

    def test_of_one_number_are_one_in_all_their_slices(self):
        rois = [
            box(z, z, z + 3, z + 3, name=f"cell#5-{z}", position=z + 1)
            for z in range(3)
        ]
        instances = draw(*rois, shape=(1, 3, *PLANE), dimensions=3).instances
        assert np.unique(instances).tolist() == [0, 5]
        assert [int((plane == 5).sum()) for plane in instances[0, 0]] == [9, 9, 9]

    def test_drawn_later_lie_above(self):
        annotation = draw(
            box(0, 0, 6, 6, name="cell#1"), box(3, 3, 9, 9, name="cell#2")
        )
        assert annotation.instances[0, 0, 4, 4] == 2
        assert annotation.instances[0, 0, 2, 2] == 1

    def test_stay_below_another_class(self):
        annotation = draw(box(0, 0, 6, 6), box(3, 3, 9, 9, name="dust"))
        assert annotation.classes[0, 4, 4] == 3
        assert (annotation.instances[0, :, 4, 4] > 0).all()


class TestClasses:
    @pytest.mark.parametrize("name", ["ignore", "Ignore", "IGNORE-2"])
    def test_ignore_takes_away_what_is_below(self, name):
        classes = draw(box(0, 0, 6, 6), box(3, 3, 9, 9, name=name)).classes[0]
        assert (classes[4, 4], classes[2, 2], classes[15, 15]) == (0, 2, 1)

    def test_background_may_be_drawn(self):
        classes = draw(box(0, 0, 6, 6), box(3, 3, 9, 9, name="Background")).classes[0]
        assert classes[4, 4] == 1

    def test_an_area_without_name_is_of_the_only_class(self):
        classes = draw(box(0, 0, 6, 6, name=""), names=("Background", "cell")).classes
        assert classes[0, 4, 4] == 2

    @pytest.mark.parametrize("name", ["", "other"])
    def test_one_that_is_unknown_is_an_error(self, name):
        with pytest.raises(
            DataError,
            match=rf"a\.tif: a ROI of class '{name}'; expected Background, cell, "
            "dust or ignore",
        ):
            draw(box(0, 0, 6, 6, name=name))


class TestPositions:
    SHAPE = (3, 4, *PLANE)

    @pytest.mark.parametrize(
        ("position", "planes"),
        [
            ({}, [(t, z) for t in range(3) for z in range(4)]),
            ({"position": 7}, [(1, 2)]),
            ({"z_position": 2}, [(0, 1), (1, 1), (2, 1)]),
            ({"t_position": 3}, [(2, 0), (2, 1), (2, 2), (2, 3)]),
            ({"position": 1, "z_position": 4, "t_position": 2}, [(1, 3)]),
        ],
    )
    def test_say_slice_and_frame(self, position, planes):
        annotation = draw(box(0, 0, 2, 2, **position), shape=self.SHAPE, dimensions=3)
        there = np.argwhere(annotation.classes[:, :, 0, 0] == 2)
        assert [tuple(plane) for plane in there.tolist()] == planes

    def test_count_the_channels_of_a_stack(self):
        annotation = draw(
            box(0, 0, 2, 2, position=13),
            shape=self.SHAPE,
            dimensions=3,
            stack_channels=2,
        )
        assert np.argwhere(annotation.classes[:, :, 0, 0] == 2).tolist() == [[1, 2]]

    def test_are_frames_of_a_2_d_net(self):
        annotation = draw(box(0, 0, 2, 2, position=7), shape=self.SHAPE)
        assert annotation.classes.shape == (12, *PLANE)
        assert annotation.instances.shape == (12, 2, *PLANE)
        assert np.argwhere(annotation.classes[:, 0, 0] == 2).tolist() == [[6]]

    @pytest.mark.parametrize(
        "position",
        [{"position": 13}, {"position": -9}, {"z_position": 5}, {"t_position": -1}],
    )
    def test_outside_the_stack_are_an_error(self, position):
        with pytest.raises(DataError, match=r"the image has 4 slice\(s\) and 3 frame"):
            draw(box(0, 0, 2, 2, **position), shape=self.SHAPE, dimensions=3)
