"""Curves of a finetuning, as CSV and as a picture."""

import math

import numpy as np
import pytest
from PIL import Image

from pyunet.errors import DataError
from pyunet_fiji.finetuning.curves import Curves, mean
from pyunet_fiji.finetuning.log_lines import Step, Validation
from pyunet_fiji.finetuning.plot import curves_png

NAN = float("nan")


def curves(*, validated=True):
    found = Curves(("dim", "bright"))
    for iteration in range(6):
        found.add(Step(iteration, 1 / (iteration + 1)))
    for iteration, iou in ((0, 0.2), (3, 0.5), (6, NAN)) if validated else ():
        found.add(
            Validation(iteration, 0.5, (iou, 0.25), (0.5, NAN), (1.0, 0.123456789))
        )
    return found


def test_a_csv_has_a_line_an_iteration_and_empty_cells_for_what_was_not_measured(
    tmp_path,
):
    curves().write_csv(tmp_path / "c.csv")
    lines = (tmp_path / "c.csv").read_text().splitlines()
    assert lines[0] == (
        "iteration,training_loss,validation_loss,iou_dim,iou_bright,"
        "f1_detection_dim,f1_detection_bright,f1_segmentation_dim,"
        "f1_segmentation_bright"
    )
    assert lines[1] == "0,1,0.5,0.2,0.25,0.5,nan,1,0.123457"
    assert lines[2] == "1,0.5,,,,,,,"
    assert lines[7] == "6,,0.5,nan,0.25,0.5,nan,1,0.123457"


def test_what_is_written_is_read_again(tmp_path):
    path, again = tmp_path / "c.csv", tmp_path / "again.csv"
    curves().write_csv(path)
    found = Curves.read_csv(path, ("dim", "bright"))
    assert found.training == pytest.approx(curves().training, rel=1e-5)
    found.write_csv(again)
    assert again.read_text() == path.read_text()


def test_no_file_is_no_curves(tmp_path):
    assert Curves.read_csv(tmp_path / "c.csv", ["cell"]) == Curves(("cell",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "are no curves"),
        ("a,b\n", "are no curves of a finetuning of the classes dim, bright"),
        ("1,x,,,,,,,\n", "is damaged"),
        ("1\n", "is damaged"),
    ],
)
def test_files_of_something_else_are_refused(tmp_path, text, said):
    path = tmp_path / "c.csv"
    curves().write_csv(path)
    head = path.read_text().splitlines(keepends=True)[0] if "damaged" in said else ""
    path.write_text(head + text)
    with pytest.raises(DataError, match=said):
        Curves.read_csv(path, ["dim", "bright"])


def test_what_comes_after_a_snapshot_is_forgotten():
    found = curves()
    found.cut(3)
    assert list(found.training) == [0, 1, 2]
    assert list(found.validation) == [0, 3]


def test_the_best_validation_is_that_of_the_largest_mean_iou_after_training():
    found = Curves(("a", "b"))
    assert found.best() is None
    for iteration, loss, iou in (
        (0, 0.1, (0.9, 0.9)),
        (2, 0.4, (0.5, 0.7)),
        (4, 0.3, (0.6, NAN)),
        (6, 0.3, (0.6, 0.6)),
        (8, NAN, (0.6, 0.6)),
    ):
        found.add(Validation(iteration, loss, iou, (0, 0), (0, 0)))
    assert found.best().iteration == 4


def test_numbers_that_are_none_do_not_count_for_a_mean():
    assert mean((NAN, math.inf)) == 0


@pytest.mark.parametrize(("validated", "size"), [(True, (2, 2)), (False, (1, 1))])
def test_the_picture_has_a_panel_for_each_measure(tmp_path, validated, size):
    curves_png(tmp_path / "c.png", curves(validated=validated))
    with Image.open(tmp_path / "c.png") as picture:
        columns, rows = picture.width // 640, picture.height // 400
        pixels = np.asarray(picture.convert("RGB"))
    assert (columns, rows) == size
    panels = pixels.reshape(rows, 400, columns, 640, 3).swapaxes(1, 2)
    for panel in panels.reshape(-1, 400, 640, 3):
        coloured = np.ptp(panel.astype(int), axis=-1) > 60
        assert coloured.sum() > 200  # at least a line of some length and its name


def test_a_single_point_is_drawn(tmp_path):
    one = Curves(("a",))
    one.add(Validation(0, 0.5, (0.5,), (NAN,), (0.5,)))
    curves_png(tmp_path / "c.png", one)
    assert (tmp_path / "c.png").is_file()
