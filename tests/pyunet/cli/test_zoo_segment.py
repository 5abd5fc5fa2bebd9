"""``pyunet segment --model NAME`` with nothing else: a model of the list."""

import csv
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from pyunet.cli import main
from pyunet.zoo import manifest
from pyunet.zoo.cache import CACHE
from pyunet_fiji.modeldef import write_modeldef
from tests.support.listed_models import table, write_threshold_net
from tests.support.marks import slow
from tests.support.modeldefs import threshold, threshold_weights


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """Write a list of one model, ``bright``."""
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "weights"
    monkeypatch.setattr(manifest, "package_manifest", lambda: folder / "manifest.toml")
    write_threshold_net(folder)

    def write(inputs="pixel_size_um = 0.5", **values):
        values = {"file": "net.caffemodel", **values}
        (folder / "manifest.toml").write_text(table("bright", inputs=inputs, **values))
        return folder

    write()
    return write


@pytest.fixture
def squares(tmp_path):
    """Two slices of 60 x 80 pixels of 0.5 um: two bright squares, then one."""
    array = np.full((2, 60, 80), 30, np.uint8)
    array[0, 10:20, 10:30] = 200
    array[:, 40:50, 60:70] = 200
    path = tmp_path / "squares.tif"
    tifffile.imwrite(
        path,
        array,
        imagej=True,
        resolution=(2, 2),
        metadata={"unit": "um", "axes": "ZYX"},
    )
    return path


def segment(*words, status=0):
    assert main(["segment", "--model", "bright", *map(str, words)]) == status


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_labels_and_an_overlay_are_written_and_all_is_said(
    listed, squares, tmp_path, capsys
):
    listed(average="mirror")
    segment(squares)
    said = capsys.readouterr()
    labels = tifffile.imread(tmp_path / "out" / "squares_labels.tif")
    np.testing.assert_array_equal(labels, tifffile.imread(squares) > 127)
    assert (tmp_path / "out" / "squares_overlay.png").is_file()
    assert not list(tmp_path.rglob("*_objects.*"))
    assert "0.5 x 0.5 um a pixel, as the model's" in said.err
    assert "grey values of uint8 to 0..1" in said.err
    assert "4 passes of" in said.out


@pytest.mark.parametrize("how", ["components", "watershed"])
def test_objects_are_numbered_and_listed(listed, squares, tmp_path, capsys, how):
    segment(squares, "--instances", how, "--out", "new")
    found = tifffile.imread(tmp_path / "new" / "squares_objects.tif")
    assert found.dtype == np.uint16
    assert (found[0, 12, 12], found[0, 45, 65], found[1, 45, 65]) == (1, 2, 1)
    assert (found > 0).sum() == 200 + 100 + 100
    table = rows(tmp_path / "new" / "squares_objects.csv")
    assert [(r["image"], r["label"], r["class"], r["area_um2"]) for r in table] == [
        ("0", "1", "bright", "50"), ("0", "2", "bright", "25"),
        ("1", "1", "bright", "25"),
    ]  # fmt: skip
    assert (table[0]["centroid_y_um"], table[0]["centroid_x_um"]) == ("7.5", "10")
    assert (table[0]["first_x_um"], table[0]["last_x_um"]) == ("5", "15")
    assert "squares_objects.csv: 3 object(s), sizes in um" in capsys.readouterr().out


def test_the_class_of_the_list_and_the_least_size_decide(listed, squares, tmp_path):
    listed(objects="dark")
    segment(squares, "--instances", "components")
    table = rows(tmp_path / "out" / "squares_objects.csv")
    assert [(r["image"], r["class"]) for r in table] == [("0", "dark"), ("1", "dark")]
    listed()
    segment(squares, "--instances", "components", "--min-size", 150)
    assert len(rows(tmp_path / "out" / "squares_objects.csv")) == 1


def test_other_pixel_sizes_are_rescaled_and_come_back(
    listed, squares, tmp_path, capsys
):
    segment(squares, "--element-size-um", 1, "--instances", "components")
    assert "60 x 80 pixels become 120 x 160 for the net" in capsys.readouterr().err
    labels = tifffile.imread(tmp_path / "out" / "squares_labels.tif")
    wanted = tifffile.imread(squares) > 127
    assert labels.shape == wanted.shape
    assert (labels != wanted).mean() < 0.01
    table = rows(tmp_path / "out" / "squares_objects.csv")
    assert float(table[1]["area_um2"]) == pytest.approx(100, abs=8)


def test_an_image_that_says_nothing_is_taken_as_the_models(listed, tmp_path, capsys):
    image = np.zeros((30, 30), np.uint8)
    image[5:9, 5:9] = 255
    tifffile.imwrite(tmp_path / "a.tif", image)
    segment(tmp_path / "a.tif", "--instances", "components")
    assert "does not say how large its pixels are" in capsys.readouterr().err
    (row,) = rows(tmp_path / "out" / "a_objects.csv")
    assert (row["area_px"], row["first_y_px"], row["last_y_px"]) == ("16", "5", "9")


def test_a_colour_image_goes_into_a_grey_net(listed, tmp_path):
    image = np.zeros((30, 30, 3), np.uint8)
    image[5:9, 5:9] = 255
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb")
    segment(tmp_path / "a.tif")
    labels = tifffile.imread(tmp_path / "out" / "a_labels.tif")
    assert labels.sum() == 16


def test_a_definition_of_the_list_is_taken(listed, squares, tmp_path, capsys):
    folder = listed(
        file="d.caffemodel.h5", definition="d.modeldef.h5", prototxt="", inputs=""
    )
    write_modeldef(folder / "d.modeldef.h5", threshold(normalization_type=1))
    threshold_weights(folder / "d.caffemodel.h5")
    segment(squares)
    assert "0.5 x 0.5 um a pixel, the model's are 0.5 x 0.5 um" in (
        capsys.readouterr().err
    )
    labels = tifffile.imread(tmp_path / "out" / "squares_labels.tif")
    np.testing.assert_array_equal(labels, tifffile.imread(squares) > 127)


def test_the_users_weights_and_averaging_go_before_the_lists(
    listed, squares, tmp_path, capsys
):
    listed(average="all")
    segment(squares, "--average", "rotate")
    assert "4 passes of" in capsys.readouterr().out
    folder = tmp_path / "weights"
    words = ["--weights", folder / "net.caffemodel", "--instances", "components"]
    assert (
        main(["segment", "--model", str(folder), *map(str, words), str(squares)]) == 0
    )
    assert "um a pixel" not in capsys.readouterr().err
    assert {r["class"] for r in rows(tmp_path / "out" / "squares_objects.csv")} == {"1"}


def test_what_cannot_be_done_is_one_line(listed, squares, capsys):
    segment(squares, "--min-size", 3, status=1)
    assert "--min-size 3: goes with --instances" in capsys.readouterr().err
    assert main(["segment", "--model", "unet_demo", str(squares)]) == 1
    err = capsys.readouterr().err
    assert (
        "--model unet_demo: --weights is wanted; without it accepted are bright" in err
    )
    segment(squares, "--element-size-um", 50, status=1)
    assert "up to 8 times" in capsys.readouterr().err
    listed(file="gone.caffemodel")
    segment(squares, status=1)
    assert "gone.caffemodel is not there" in capsys.readouterr().err


@pytest.mark.parametrize(("how", "each"), [("components", 42), ("watershed", 125)])
def test_objects_that_take_more_than_the_memory_are_refused_before_any_work(
    listed, tmp_path, capsys, monkeypatch, how, each
):
    from pyunet.inference import object_files

    tifffile.imwrite(tmp_path / "a.tif", np.zeros((30, 40), np.uint8))
    monkeypatch.setattr(object_files, "OBJECT_BYTES", {how: each * 2**27})
    segment("--memory", "64G", "--instances", how, "a.tif", status=1)
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"a: --instances {how} reads the labels of a whole image" in line
    assert "the limit is 65536M: raise the memory limit" in line
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


PEAK = """
import sys
from pyunet.cli import main
from pyunet.inference import mapped
from pyunet.inference.segmenting import Segmenter
from pyunet.memory import peak_bytes
from pyunet.zoo import manifest
mapped.LARGE, mapped.OFTEN = 100_000, 2**20
Segmenter._room = lambda *_: 0
path = sys.argv.pop()
manifest.package_manifest = lambda: __import__("pathlib").Path(path)
import pyunet.inference.engine
pyunet.inference.engine.import_caffe()
before = peak_bytes()
print(main(["segment", *sys.argv[1:]]), peak_bytes() - before)
"""


@pytest.mark.parametrize("more", [[], slow(["--average", "mirror"])], ids=" ".join)
def test_a_large_image_of_another_pixel_size_is_never_whole_in_memory(
    listed, tmp_path, more
):
    folder, grown = listed(), []
    for side in (600, 2400):
        image = np.random.default_rng(0).integers(0, 255, (side, side), np.uint8)
        tifffile.imwrite(tmp_path / "a.tif", image)
        words = ["--model", "bright", "--element-size-um", "0.6", "--tile-size", "300"]
        done = subprocess.run(
            [
                sys.executable, "-c", PEAK, *words, *more, "a.tif",
                folder / "manifest.toml",
            ],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        status, peak = map(int, done.stdout.splitlines()[-1].split())
        assert status == 0
        grown.append(peak)
    # 8 million pixels of the net: their sums of 2 classes alone are 132 MB, the image
    # and its scores as float32 100 MB more; a block on the way may take 64 MB
    assert grown[1] - grown[0] < 130 * 10**6
