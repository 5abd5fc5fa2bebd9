"""The verb ``pyunet reproduce``."""

import csv
import io

import numpy as np
import pytest
from PIL import Image

from pyunet.cli import main
from pyunet_reproduce.recipes import read_recipe

OWN = """
title = "Own"
published_at = "https://example.org"
terms = "none"
layout = "x/*.png and y/*.png"
note = "A note."
fills = []
also = ["overlap.pooled.dice"]
[files.all]
images = ["x/*.png"]
labels = ["y/*.png"]
[split]
of = "all"
train_first = 1
[net]
name = "unet_vessels"
input = [60, 60]
[training]
iterations = 1
samples = 1
"""


@pytest.fixture
def own(tmp_path):
    rng = np.random.default_rng(0)
    for folder in "xy":
        (tmp_path / "data" / folder).mkdir(parents=True)
        for number in range(2):
            array = rng.integers(0, 2, (24, 28), np.uint8) * 255
            Image.fromarray(array).save(tmp_path / "data" / folder / f"{number}.png")
    (tmp_path / "own.toml").write_text(OWN)
    return tmp_path


def test_lists_all_rows(capsys):
    assert main(["reproduce", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 88
    assert lines[0].split()[:2] == ["data", "set"]


def test_lists_as_csv(capsys):
    assert main(["reproduce", "--list", "--format", "csv"]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 88
    assert {len(row) for row in rows} == {9}


def test_lists_as_html(capsys):
    assert main(["reproduce", "--list", "--format", "html"]) == 0
    assert capsys.readouterr().out.startswith("<!doctype html>")


def test_explains_a_recipe_without_data(capsys):
    assert main(["reproduce", "drive"]) == 0
    out = capsys.readouterr().out
    assert "https://drive.grand-challenge.org" in out
    assert "training/1st_manual/*.gif" in out
    assert "0.9755" in out


def test_runs_and_writes_tables(own, capsys):
    words = [
        "reproduce", str(own / "own.toml"), "--data", str(own / "data"),
        "--out", str(own / "out"), "--seeds", "0,1", "--iterations", "2",
        "--samples", "3", "--by", "me",
    ]  # fmt: skip
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "overlap.pooled.dice" in out
    assert "2 seeds" in out
    assert "written:" in out
    names = {path.name for path in (own / "out").iterdir()}
    assert names == {
        "seed0_fold0", "seed1_fold0", "results.json", "table.txt", "table.csv",
        "table.html", "measured.toml",
    }  # fmt: skip
    assert "max_iter: 2" in (own / "out/seed0_fold0/solver.prototxt").read_text()
    assert main([*words, "--format", "csv"]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows[0][0] == "data set"


def test_puts_results_under_the_recipes_name(own, monkeypatch):
    monkeypatch.chdir(own)
    assert main(["reproduce", "own.toml", "--data", "data", "--fold", "0"]) == 0
    assert (own / "reproduced" / "own" / "table.txt").is_file()


def test_trains_another_net_of_the_recipe_into_a_folder_of_its_own(own, monkeypatch):
    other = '[[others]]\nname = "unet_demo"\nmodel = "Other"\ninput = [60, 60]\n'
    (own / "own.toml").write_text(OWN + other)
    monkeypatch.chdir(own)
    words = ["reproduce", "own.toml", "--data", "data"]
    assert main([*words, "--net", "unet_demo"]) == 0
    out = own / "reproduced" / "own_unet_demo"
    assert 'model = "Other"' in (out / "measured.toml").read_text()
    assert main([*words, "--net", "unet_vessels"]) == 0
    assert 'model = ""' in (own / "reproduced/own/measured.toml").read_text()


def test_explains_which_other_nets_there_are(capsys):
    assert main(["reproduce", "crag"]) == 0
    assert "--net fcn8s trains FCN8 (e)" in capsys.readouterr().out


def test_trains_in_another_precision_with_caffes_log(own, monkeypatch, capfd):
    import caffe

    monkeypatch.setenv("GLOG_minloglevel", "0")
    monkeypatch.chdir(own)
    words = ["own.toml", "--data", "data", "--precision", "bf16"]
    try:
        assert main(["reproduce", *words, "--fold", "0"]) == 0
        assert caffe.precision() == "bf16"
    finally:
        caffe.set_precision("float32")
    assert "Iteration 0" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "no recipe is named; --list shows all"),
        (["drivel"], "drivel: no such recipe"),
        (["drive", "--data", "none"], "none: no such folder. DRIVE is published at"),
        (["drive", "--data", ".", "--iterations", "0"], "--iterations 0: expected"),
        (
            ["stare", "--net", "odd", "--data", "."],
            "stare: has no net 'odd'; expected one of unet_vessels, fcn8s",
        ),
    ],
)
def test_refuses_in_one_line(words, text, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", *words]) == 1
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_wants_numbers(capsys):
    assert main(["reproduce", "drive", "--data", ".", "--seeds", "a"]) == 2
    assert "'a' is not numbers such as 0,1,2" in capsys.readouterr().err


def test_help_ends_with_an_example(capsys):
    assert main(["reproduce", "--help"]) == 0
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.split()[:3] == ["pyunet", "reproduce", "drive"]
    assert read_recipe("drive").title == "DRIVE"
