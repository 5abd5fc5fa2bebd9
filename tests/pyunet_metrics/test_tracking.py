import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from pyunet.errors import DataError
from pyunet_metrics import tracking

REFERENCE = Path(__file__).parents[1] / "reference" / "metrics_ctc"
EXPECTED = json.loads((REFERENCE / "expected.json").read_text())["cases"]


@pytest.fixture
def sequence(tmp_path):
    shutil.copytree(REFERENCE / "seq_a", tmp_path / "seq")
    return tmp_path / "seq" / "01_GT", tmp_path / "seq" / "01_RES"


class TestEvaluate:
    @pytest.mark.parametrize("name", sorted(EXPECTED))
    def test_gives_the_numbers_of_py_ctcmetrics(self, name, capsys):
        found = tracking.evaluate(
            REFERENCE / name / "01_GT", REFERENCE / name / "01_RES"
        )
        assert found == pytest.approx(EXPECTED[name])
        assert capsys.readouterr().out == ""

    def test_takes_no_other_image_of_the_folder_for_a_mask(self, sequence):
        truth, result = sequence
        for path in sorted(result.glob("mask*.tif")):
            shutil.copyfile(path, path.with_name(f"bin{path.name}"))
        assert tracking.evaluate(truth, result) == pytest.approx(EXPECTED["seq_a"])

    def test_has_no_seg_without_annotated_masks(self, sequence):
        truth, result = sequence
        shutil.rmtree(truth / "SEG")
        found = tracking.evaluate(truth, result)
        assert math.isnan(found["SEG"])
        assert found["TRA"] == pytest.approx(EXPECTED["seq_a"]["TRA"])

    def test_says_why_a_result_is_not_valid(self, sequence):
        truth, result = sequence
        file = result / "res_track.txt"
        file.write_text(file.read_text() + "999 0 1 0\n")
        text = "01_RES: is not a valid result: Label 999 in res_track but not in mask"
        with pytest.raises(DataError, match=text):
            tracking.evaluate(truth, result)

    def test_says_which_frames_are_missing(self, sequence):
        truth, result = sequence
        sorted(result.glob("*.tif"))[-1].unlink()
        with pytest.raises(DataError, match=r"result masks \(\d+\) unequal"):
            tracking.evaluate(truth, result)

    def test_says_which_folder_is_missing(self, sequence):
        truth, result = sequence
        with pytest.raises(DataError, match=r"nothing: no such folder; .* a result"):
            tracking.evaluate(truth, result / "nothing")

    def test_says_what_to_install(self, sequence, monkeypatch):
        monkeypatch.setitem(sys.modules, "ctc_metrics", None)
        with pytest.raises(DataError, match=r"pip install pyunet\[metrics\]"):
            tracking.evaluate(*sequence)


class TestMeanIoU:
    @pytest.mark.parametrize("name", sorted(EXPECTED))
    def test_is_the_challenges_seg(self, name):
        masks = sorted((REFERENCE / name / "01_GT" / "SEG").glob("*.tif"))
        frames = [
            (tifffile.imread(mask), tifffile.imread(_result(name, mask)))
            for mask in masks
        ]
        truth, prediction = map(np.stack, zip(*frames, strict=True))
        found = tracking.mean_iou(truth, prediction)
        assert found == pytest.approx(EXPECTED[name]["SEG"])

    def test_is_undefined_without_objects(self):
        assert math.isnan(tracking.mean_iou([[0, 0]], [[1, 1]]))

    def test_tells_objects_of_one_number_in_two_frames_apart(self):
        truth = [[[1, 1]], [[1, 1]]]
        assert tracking.mean_iou(truth, [[[1, 1]], [[0, 0]]]) == 0.5

    def test_refuses_shapes_that_differ(self):
        with pytest.raises(DataError, match="same shape"):
            tracking.mean_iou(np.ones((1, 2, 2), int), np.ones((2, 2, 2), int))


def _result(name, mask):
    number = mask.stem.removeprefix("man_seg")
    return REFERENCE / name / "01_RES" / f"mask{number}.tif"
