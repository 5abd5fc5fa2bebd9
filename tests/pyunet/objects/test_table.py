"""The table of objects says what a ruler would."""

import csv

import numpy as np
import pytest

from pyunet.objects.table import columns, object_rows, write_table


@pytest.fixture
def rectangle():
    """Rows 2 to 4 and columns 3 to 6, of class 2."""
    objects = np.zeros((8, 10), np.int32)
    objects[2:5, 3:7] = 1
    return objects, objects * 2


def test_a_rectangle_in_micrometres(rectangle):
    (row,) = object_rows(
        *rectangle, pixel_size_um=(0.5, 0.25), classes=["a", "b", "cell"]
    )
    assert row == {
        "label": 1, "class": "cell", "area_um2": 1.5,
        "centroid_y_um": 1.75, "centroid_x_um": 1.25,
        "first_y_um": 1.0, "first_x_um": 0.75, "last_y_um": 2.5, "last_x_um": 1.75,
    }  # fmt: skip
    assert list(row) == columns(2, "um")


def test_without_a_size_all_is_in_pixels(rectangle):
    (row,) = object_rows(*rectangle)
    assert (row["class"], row["area_px"], row["centroid_y_px"]) == (2, 12, 3.5)
    assert list(row) == columns(2, "px")


def test_a_volume_has_three_axes():
    objects = np.zeros((4, 5, 6), np.int32)
    objects[1:3, 2, 3] = 7
    (row,) = object_rows(objects, objects > 0, pixel_size_um=(2, 1, 1))
    assert (row["label"], row["volume_um3"], row["centroid_z_um"]) == (7, 4, 4)
    assert (row["first_z_um"], row["last_z_um"], row["last_x_um"]) == (2, 6, 4)
    assert list(row) == columns(3, "um")


def test_without_objects_there_are_no_rows_but_a_head(tmp_path):
    empty = np.zeros((3, 3), np.int32)
    write_table(tmp_path / "a.csv", object_rows(empty, empty), columns(2, "px"))
    assert (tmp_path / "a.csv").read_text().splitlines() == [",".join(columns(2, "px"))]


def test_numbers_of_a_file_have_six_digits(tmp_path, rectangle):
    rows = object_rows(*rectangle, pixel_size_um=(1 / 3, 1 / 3))
    write_table(tmp_path / "a.csv", rows, columns(2, "um"))
    with (tmp_path / "a.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["label"], row["area_um2"]) == ("1", "1.33333")


def test_a_name_that_a_spreadsheet_would_run_stays_a_name(tmp_path):
    names = ["=cmd|' /C calc'!A0", "+1+1", "-a", "@SUM(1)", "\t=1", "cell, dark", "-"]
    rows = [{"label": 1, "class": name, "area_px": -2.5} for name in names]
    write_table(tmp_path / "a.csv", rows, ["label", "class", "area_px"])
    with (tmp_path / "a.csv").open(newline="") as file:
        _, *found = csv.reader(file)
    assert [row[1] for row in found] == [f"'{name}" for name in names[:5]] + names[5:]
    assert {row[2] for row in found} == {"-2.5"}
