import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from pyunet.cli import main

REFERENCE = Path(__file__).parents[2] / "reference"
# 9 cells of 7 x 7 pixels, 1 pixel of membrane around each: 441 of 576 pixels inside
CELLS = np.kron(np.ones((3, 3)), np.pad(np.ones((7, 7)), (0, 1))).astype(np.uint8)
TRUTH = np.stack([CELLS, CELLS, CELLS.T]) * np.uint8(255)


def _write_stack(path, array):
    tifffile.imwrite(path, array, photometric="minisblack")


def _write_scores(path, inside, values="scores", scale=9.0):
    """Write what `pyunet segment` writes of a mask: (Z, 2, Y, X) float32."""
    first = np.where(inside, 0, 1).astype(np.float32) * np.float32(scale)
    second = np.where(inside, 1, 0).astype(np.float32) * np.float32(scale)
    tifffile.imwrite(
        path,
        np.stack([first, second], 1),
        imagej=True,
        metadata={"axes": "ZCYX", "pyunet_values": values},
    )


@pytest.fixture
def truth(tmp_path):
    path = tmp_path / "truth.tif"
    _write_stack(path, TRUTH)
    return path


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def _evaluate(truth, prediction, *more):
    words = ["evaluate", "--truth", truth, "--prediction", prediction, *more]
    return main([str(word) for word in words])


def _report(path):
    return json.loads(path.read_text())


class TestScores:
    def test_of_a_perfect_segmentation_are_perfect(self, truth, out):
        _write_scores(out / "a_scores.tif", TRUTH > 0)
        assert _evaluate(truth, out) == 0
        found = _report(out / "evaluation.json")["results"]["prediction"]
        assert found["pixel_error"] == found["rand_error"] == 0
        assert found["v_rand"] == found["iou"] == found["dice"] == 1
        assert found["v_info"] == pytest.approx(1)

    def test_are_those_of_the_mask(self, truth, tmp_path):
        # half of the inside pixels of the last slice missing; none added
        inside = TRUTH > 0
        inside[2, :12] = False
        hit, known = int(inside.sum()), int((TRUTH > 0).sum())
        _write_stack(tmp_path / "mask.tif", inside.astype(np.uint8))
        assert _evaluate(truth, tmp_path / "mask.tif") == 0
        found = _report(tmp_path / "mask_evaluation.json")["results"]["prediction"]
        dice = 2 * hit / (hit + known)
        assert found["pixel_error"] == pytest.approx(1 - dice)
        assert found["dice_per_class"][1] == pytest.approx(dice)
        assert found["iou_per_class"][1] == pytest.approx(hit / known)
        assert found["pixel_accuracy"] == pytest.approx(1 - (known - hit) / TRUTH.size)
        assert found["per_slice"]["pixel_error"][:2] == [0, 0]

    def test_of_raw_scores_use_the_softmax(self, truth, out):
        # softmax of (0, 0.2) is 0.55 and of (0.2, 0) 0.45: best from threshold 0.5 on
        _write_scores(out / "a_scores.tif", TRUTH > 0, scale=0.2)
        assert _evaluate(truth, out) == 0
        found = _report(out / "evaluation.json")["results"]["prediction"]
        assert found["pixel_error"] == 0
        assert found["thresholds"]["pixel_error"] == 0.5

    def test_of_three_classes_are_means_over_the_classes(self, tmp_path, out):
        classes = np.zeros((1, 12, 12), np.uint8)
        classes[0, 1:4, 1:11:2], classes[0, 6:10, 1:11:2] = 1, 2
        _write_stack(tmp_path / "classes.tif", classes)
        shares = (classes[:, None] == np.arange(3)[:, None, None]).astype(np.float32)
        shares[0, :, 6:10, 1] = [[0], [1], [0]]  # 4 of 20 pixels of class 2 are wrong
        metadata = {"axes": "ZCYX", "pyunet_values": "probabilities"}
        tifffile.imwrite(out / "a_scores.tif", shares, imagej=True, metadata=metadata)
        assert _evaluate(tmp_path / "classes.tif", out) == 0
        found = _report(out / "evaluation.json")["results"]["prediction"]
        expected = [1, 15 / 19, 16 / 20]
        assert found["iou_per_class"] == pytest.approx(expected)
        assert found["iou"] == pytest.approx(np.mean(expected))
        assert found["pixel_error"] == 0

    def test_of_a_class_that_is_nowhere_are_null(self, tmp_path, truth, out):
        shares = np.zeros((3, 3, 24, 24), np.float32)
        shares[:, 1], shares[:, 0] = TRUTH > 0, TRUTH == 0
        metadata = {"axes": "ZCYX", "pyunet_values": "probabilities"}
        tifffile.imwrite(out / "a_scores.tif", shares, imagej=True, metadata=metadata)
        assert _evaluate(truth, out) == 0
        found = _report(out / "evaluation.json")["results"]["prediction"]
        assert found["iou_per_class"] == [1, 1, None]


class TestInputs:
    def test_files_of_a_folder_are_slices_in_natural_order(self, truth, out):
        for number, plane in zip((2, 10, 11), TRUTH, strict=True):
            _write_scores(out / f"{number}_scores.tif", plane[None] > 0)
        _write_stack(out / "2_labels.tif", np.zeros((24, 24), np.uint8))
        assert _evaluate(truth, out) == 0
        found = _report(out / "evaluation.json")["results"]["prediction"]
        assert found["per_slice"]["iou"] == [1, 1, 1]

    def test_label_files_serve_where_there_are_no_scores(self, truth, out):
        _write_stack(out / "a_labels.tif", (TRUTH > 0).astype(np.uint8))
        Image.fromarray(TRUTH[0]).save(out / "a_overlay.png")
        assert _evaluate(truth, out) == 0
        found = _report(out / "evaluation.json")["results"]["prediction"]
        assert found["pixel_accuracy"] == 1

    def test_a_folder_of_png_maps_is_read(self, truth, out, capsys):
        for number, plane in enumerate(TRUTH):
            Image.fromarray(np.where(plane, 200, 90).astype(np.uint8)).save(
                out / f"{number}.png"
            )
        assert _evaluate(truth, out) == 0
        assert "8-bit map 90 to 200, divided by 255" in capsys.readouterr().out
        found = _report(out / "evaluation.json")["results"]["prediction"]
        assert found["pixel_error"] == 0

    def test_scores_too_large_for_imagej_keep_their_note(self, truth, out, capsys):
        with tifffile.TiffWriter(out / "a_scores.tif", bigtiff=True) as tiff:
            tiff.write(
                np.stack([TRUTH == 0, TRUTH > 0], 1).astype(np.float32),
                photometric="minisblack",
                metadata={"axes": "ZCYX", "pyunet_values": "probabilities"},
            )
        assert _evaluate(truth, out) == 0
        assert "2 probabilities: class 1 is inside" in capsys.readouterr().out

    def test_slices_pick_from_the_truth(self, truth, out):
        _write_scores(out / "a_scores.tif", TRUTH[1:] > 0)
        assert _evaluate(truth, out, "--slices", "1:3") == 0
        report = _report(out / "evaluation.json")
        assert report["slices"] == [1, 3]
        assert report["results"]["prediction"]["pixel_error"] == 0

    def test_slices_also_cut_a_prediction_of_all_slices(self, truth, out):
        inside = TRUTH > 0
        inside[0] = False
        _write_scores(out / "a_scores.tif", inside)
        assert _evaluate(truth, out, "--slices", "1:") == 0
        found = _report(out / "evaluation.json")["results"]["prediction"]
        assert found["pixel_error"] == 0

    def test_the_truth_can_be_said_to_be_dark_inside(self, tmp_path, out, capsys):
        _write_stack(tmp_path / "dark.tif", 255 - TRUTH)
        _write_scores(out / "a_scores.tif", TRUTH > 0)
        assert _evaluate(tmp_path / "dark.tif", out, "--inside", "0") == 0
        assert "0 is the inside of cells" in capsys.readouterr().out
        found = _report(out / "evaluation.json")["results"]["prediction"]
        assert found["pixel_error"] == 0


class TestOutput:
    def test_says_how_truth_and_prediction_were_understood(self, truth, out, capsys):
        _write_scores(out / "a_scores.tif", TRUTH > 0)
        _evaluate(truth, out)
        printed = capsys.readouterr().out
        assert f"truth {truth}: masks, 255 is the inside of cells" in printed
        assert "scores of 2 classes, softmax: class 1 is inside" in printed

    def test_is_a_table_with_one_line_per_prediction(self, truth, out, capsys):
        _write_scores(out / "a_scores.tif", TRUTH > 0)
        _evaluate(truth, out)
        printed = capsys.readouterr().out
        rows = [" ".join(line.split()) for line in printed.splitlines()]
        assert "pixel error Rand error V_rand V_info IoU Dice" in rows
        assert "prediction 0.0000 0.0000 1.0000 1.0000 1.0000 1.0000" in rows

    def test_has_a_line_per_slice_on_request(self, truth, out, capsys):
        _write_scores(out / "a_scores.tif", TRUTH[1:] > 0)
        _evaluate(truth, out, "--slices", "1:3", "--per-slice")
        printed = capsys.readouterr().out
        assert "  slice 1 " in printed
        assert "  slice 2 " in printed

    def test_goes_to_the_json_file_that_is_named(self, truth, out, tmp_path):
        _write_scores(out / "a_scores.tif", TRUTH > 0)
        _evaluate(truth, out, "--json", tmp_path / "scores.json")
        assert "results" in _report(tmp_path / "scores.json")
        assert not (out / "evaluation.json").exists()

    def test_leaves_an_old_file_whole_on_a_full_disk(
        self, truth, out, monkeypatch, capsys
    ):
        _write_scores(out / "a_scores.tif", TRUTH > 0)
        (out / "evaluation.json").write_text("old")

        def full(path, text, **_):
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device", str(path))

        monkeypatch.setattr("pathlib.Path.write_text", full)
        assert _evaluate(truth, out) == 1
        assert "No space left on device" in capsys.readouterr().err
        assert (out / "evaluation.json").read_text() == "old"
        assert sorted(p.name for p in out.iterdir()) == [
            "a_scores.tif",
            "evaluation.json",
        ]


class TestBaseline:
    def test_scores_two_otsu_thresholds_of_the_images(self, truth, out, tmp_path):
        images = np.where(TRUTH, 180, 70).astype(np.uint8)
        _write_stack(tmp_path / "images.tif", images)
        _write_scores(out / "a_scores.tif", TRUTH > 0)
        assert _evaluate(truth, out, "--baseline", tmp_path / "images.tif") == 0
        found = _report(out / "evaluation.json")["results"]
        assert list(found) == ["prediction", "otsu", "smoothed_otsu"]
        assert found["otsu"]["pixel_error"] == 0
        assert found["smoothed_otsu"]["pixel_error"] > 0.05

    def test_says_which_side_of_the_threshold_is_inside(
        self, truth, out, tmp_path, capsys
    ):
        _write_stack(tmp_path / "images.tif", np.where(TRUTH, 9, 7).astype("u1"))
        _write_scores(out / "a_scores.tif", TRUTH > 0)
        _evaluate(truth, out, "--baseline", tmp_path / "images.tif")
        printed = capsys.readouterr().out
        assert "grey values above 7 (the brighter side) are inside" in printed

    def test_refuses_colour_images(self, truth, out, tmp_path, capsys):
        (tmp_path / "colour").mkdir()
        for number in range(3):
            image = Image.new("RGB", (24, 24), (number, 90, 200))
            image.save(tmp_path / "colour" / f"{number}.png")
        _write_scores(out / "a_scores.tif", TRUTH > 0)
        assert _evaluate(truth, out, "--baseline", tmp_path / "colour") == 1
        assert "colour: has 3 channels; expected 1" in capsys.readouterr().err


def _families(path):
    return _report(path)["results"]["prediction"]


class TestFamilies:
    def test_of_a_perfect_segmentation_are_perfect(self, truth, out, capsys):
        _write_scores(out / "a_scores.tif", TRUTH > 0)
        families = ("isbi", "overlap", "ranking", "distance", "objects")
        assert _evaluate(truth, out, "--metrics", *families) == 0
        found = _families(out / "evaluation.json")
        pooled = {family: found[family]["pooled"] for family in families}
        assert pooled["isbi"]["warping_error"] == pooled["isbi"]["pixel_error"] == 0
        assert set(pooled["overlap"].values()) == {1}
        assert pooled["ranking"]["roc_auc"] == pooled["ranking"]["best_f1"] == 1
        assert set(pooled["distance"].values()) == {0}
        assert pooled["objects"]["pq"] == pooled["objects"]["aji"] == 1
        assert pooled["objects"]["object_hausdorff"] == 0
        assert len(found["overlap"]["per_image"]["dice"]) == 3
        printed = capsys.readouterr().out
        assert "prediction, overlap          all" in printed
        assert "slice 0" not in printed

    def test_count_pixels_in_the_field_of_view_only(self, truth, out, tmp_path):
        inside = TRUTH > 0
        inside[:, :12] = False
        _write_scores(out / "a_scores.tif", inside)
        field = np.zeros((24, 24), np.uint8)
        field[12:] = 255
        Image.fromarray(field).save(tmp_path / "field.png")
        words = "--metrics", "overlap", "ranking", "--fov", tmp_path / "field.png"
        assert _evaluate(truth, out, *words) == 0
        found = _families(out / "evaluation.json")
        assert found["overlap"]["pooled"]["recall"] == 1
        assert found["ranking"]["pooled"]["roc_auc"] == 1
        _evaluate(truth, out, "--metrics", "overlap")
        half = inside.sum() / (TRUTH > 0).sum()
        found = _families(out / "evaluation.json")
        assert found["overlap"]["pooled"]["recall"] == pytest.approx(half)

    def test_a_field_of_each_slice_is_cut_with_the_slices(self, truth, out, tmp_path):
        _write_scores(out / "a_scores.tif", TRUTH > 0)
        fields = np.zeros((3, 24, 24), np.uint8)
        fields[1, :7] = 1
        _write_stack(tmp_path / "fields.tif", fields)
        words = "--metrics", "overlap", "--fov", tmp_path / "fields.tif"
        assert _evaluate(truth, out, *words, "--slices", "1:3") == 0
        found = _families(out / "evaluation.json")["overlap"]
        assert found["per_image"]["dice"] == [1, None]

    def test_measure_in_the_units_of_a_pixel(self, truth, out):
        cut = TRUTH > 0
        cut[:, :, 22] = False  # the last column inside
        _write_scores(out / "a_scores.tif", cut)
        words = "--metrics", "distance", "--per-slice"
        assert _evaluate(truth, out, *words, "--element-size", "1,0.5") == 0
        found = _families(out / "evaluation.json")["distance"]
        assert found["per_image"]["hausdorff"] == [0.5, 0.5, 0.5]
        assert _evaluate(truth, out, *words, "--element-size", "4,1,0.25") == 0
        found = _families(out / "evaluation.json")["distance"]
        assert found["pooled"]["hausdorff"] == 0.25
        assert found["per_image"] == {}

    def test_of_an_empty_prediction_are_null_where_they_are_infinite(self, truth, out):
        _write_stack(out / "mask.tif", np.zeros(TRUTH.shape, np.uint8))
        words = "--metrics", "distance", "objects"
        assert _evaluate(truth, out / "mask.tif", *words) == 0
        found = _families(out / "mask_evaluation.json")
        assert found["distance"]["pooled"]["hausdorff"] is None
        assert found["objects"]["pooled"]["f1"] == 0

    def test_take_touching_cells_of_both_files_whole(self, tmp_path, out):
        cells = np.zeros((1, 12, 12), np.uint16)
        cells[0, :6, :6], cells[0, :6, 6:], cells[0, 6:, :6] = 10, 20, 30
        cells[0, 8:, 8:] = 40
        _write_stack(tmp_path / "cells.tif", cells)
        _write_stack(out / "cells.tif", cells * 2)
        words = ("--metrics", "objects", "--prediction-is", "instances")
        labels = ("--labels-are", "instances")
        assert (
            _evaluate(tmp_path / "cells.tif", out / "cells.tif", *words, *labels) == 0
        )
        found = _families(out / "cells_evaluation.json")["objects"]
        assert found["pooled"]["pq"] == found["pooled"]["object_dice"] == 1
        volume = ("--element-size", "2,1,1")
        assert (
            _evaluate(
                tmp_path / "cells.tif", out / "cells.tif", *words, *labels, *volume
            )
            == 0
        )
        found = _families(out / "cells_evaluation.json")["objects"]
        assert found["pooled"]["f1"] == 1
        assert found["per_image"] == {}

    def test_of_three_classes_are_means_over_the_classes(self, tmp_path, out):
        classes = np.zeros((1, 12, 12), np.uint8)
        classes[0, 1:4, 1:11:2], classes[0, 6:10, 1:11:2] = 1, 2
        _write_stack(tmp_path / "classes.tif", classes)
        shares = (classes[:, None] == np.arange(3)[:, None, None]).astype(np.float32)
        shares[0, :, 6:10, 1] = [[0], [1], [0]]  # 4 of 20 pixels of class 2 are wrong
        metadata = {"axes": "ZCYX", "pyunet_values": "probabilities"}
        tifffile.imwrite(out / "a_scores.tif", shares, imagej=True, metadata=metadata)
        assert _evaluate(tmp_path / "classes.tif", out, "--metrics", "overlap") == 0
        found = _families(out / "evaluation.json")["overlap"]
        assert found["per_class"]["recall"] == pytest.approx([1, 1, 16 / 20])
        assert found["pooled"]["iou"] == pytest.approx((1 + 15 / 19 + 16 / 20) / 3)

    def test_of_salient_objects_come_from_the_probability(self, truth, out):
        _write_scores(out / "a_scores.tif", TRUTH > 0)
        assert _evaluate(truth, out, "--metrics", "saliency") == 0
        found = _families(out / "evaluation.json")["saliency"]
        assert found["pooled"]["mae"] < 0.01
        assert len(found["per_image"]["s_measure"]) == 3

    def test_of_the_cell_tracking_challenge_take_its_folders(self, tmp_path, capsys):
        sequence = REFERENCE / "metrics_ctc" / "seq_perfect"
        target = tmp_path / "scores.json"
        words = ("--metrics", "tracking", "--json", target)
        assert _evaluate(sequence / "01_GT", sequence / "01_RES", *words) == 0
        assert _families(target)["tracking"]["TRA"] == 1
        assert "SEG" in capsys.readouterr().out

    def test_tracking_goes_with_nothing_else(self, truth, out, capsys):
        assert _evaluate(truth, out, "--metrics", "tracking", "isbi") == 1
        assert "expected tracking alone" in capsys.readouterr().err

    @pytest.mark.parametrize("size", ["1", "1,0", "a,b", "1,2,3,4"])
    def test_a_pixel_size_that_is_none_is_refused(self, truth, out, size):
        assert _evaluate(truth, out, "--element-size", size) == 2

    def test_object_numbers_with_fractions_are_refused(self, truth, out, capsys):
        _write_stack(out / "half.tif", np.full(TRUTH.shape, 0.5, np.float32))
        words = ("--metrics", "objects", "--prediction-is", "instances")
        assert _evaluate(truth, out / "half.tif", *words) == 1
        text = "half.tif: has 1 channel(s) of float32 from 0.5; expected object"
        assert text in capsys.readouterr().err


class TestBadInput:
    def _refusal(self, capsys, *words):
        status = _evaluate(*words)
        printed = capsys.readouterr()
        assert status == 1
        assert printed.err.startswith("pyunet evaluate: ")
        assert printed.err.count("\n") == 1
        return printed.err

    def test_other_numbers_of_slices_name_both_sides(self, truth, out, capsys):
        _write_scores(out / "a_scores.tif", TRUTH[:2] > 0)
        text = self._refusal(capsys, truth, out)
        assert f"{out}: 2 slices of 24 x 24 pixels" in text
        assert f"{truth} has 3 slices of 24 x 24 pixels" in text
        assert "--slices FIRST:LAST" in text
        assert not (out / "evaluation.json").exists()

    def test_other_sizes_name_both_sides(self, truth, out, capsys):
        _write_scores(out / "a_scores.tif", TRUTH[:, :20] > 0)
        text = self._refusal(capsys, truth, out)
        assert f"{out}: 3 slices of 20 x 24 pixels, but the truth {truth}" in text

    def test_files_of_different_sizes_in_one_folder(self, truth, out, capsys):
        _write_scores(out / "1_scores.tif", TRUTH[:1] > 0)
        _write_scores(out / "2_scores.tif", TRUTH[:2, :20] > 0)
        text = self._refusal(capsys, truth, out)
        assert "2_scores.tif: 2 channel(s) of 20 x 24 scores do not go with" in text

    def test_slices_beyond_the_truth(self, truth, out, capsys):
        _write_scores(out / "a_scores.tif", TRUTH > 0)
        text = self._refusal(capsys, truth, out, "--slices", "2:9")
        assert f"--slices 2:9: {truth} has 3 slices" in text

    def test_an_empty_folder(self, truth, out, capsys):
        assert f"{out}: the folder has no TIFF" in self._refusal(capsys, truth, out)

    def test_a_prediction_that_is_not_there(self, truth, out, capsys):
        missing = out / "no" / "scores.tif"
        assert str(missing) in self._refusal(capsys, truth, missing)

    def test_a_file_that_is_no_image(self, truth, tmp_path, capsys):
        (tmp_path / "notes.tif").write_text("no image")
        text = self._refusal(capsys, truth, tmp_path / "notes.tif")
        assert "notes.tif: is no TIFF image" in text

    def test_values_without_meaning_name_the_file(self, truth, tmp_path, capsys):
        path = tmp_path / "raw.tif"
        _write_stack(path, np.linspace(-3, 3, TRUTH.size).reshape(TRUTH.shape))
        text = self._refusal(capsys, truth, path)
        assert f"{path}: has values from -3 to 3; expected probabilities" in text

    def test_a_json_file_in_a_folder_that_is_not_there(self, truth, out, capsys):
        _write_scores(out / "a_scores.tif", TRUTH > 0)
        target = out / "no" / "scores.json"
        text = self._refusal(capsys, truth, out, "--json", target)
        assert f"{target}: there is no folder {out / 'no'}" in text


def test_the_verb_loads_no_numpy_until_it_runs():
    code = "import sys, pyunet_metrics.cli.evaluate; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
