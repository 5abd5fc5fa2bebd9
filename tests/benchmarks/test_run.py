"""The comparison with other programs: what it prints, writes and refuses."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import run
from peers import material

ROOT = Path(__file__).parents[2]
SMALL = ("--quick", "--threads", 1, "--precision", "float32")


def test_a_quick_run_keeps_all_times_and_every_peer_gives_the_same_scores(
    script, tmp_path
):
    words = (
        *SMALL,
        "--results",
        tmp_path,
        "--peers",
        "ours,opencv",
    )
    printed = script("run.py", *words)
    result = json.loads((tmp_path / "quick.json").read_text())
    assert "unet_demo, inference float32, 1 threads, 2 rounds of 2" in printed
    assert "errors against float64" in printed
    assert result["command"].startswith("python benchmarks/run.py --quick")
    assert result["machine"]["cores"] >= 1
    assert result["machine"]["packages"]["torch"]
    assert len(result["machine"]["commit"]) >= 7

    tile, step = (result["tasks"][f"{k} float32"] for k in ("inference", "training"))
    assert set(tile["peers"]) == {"ours", "opencv"}
    assert set(step["peers"]) == {"ours"}
    for found in tile["peers"].values():
        assert found["error_l2"] < 1e-5
    for found in (*tile["peers"].values(), *step["peers"].values()):
        assert [len(turn) for turn in found["seconds"]] == [2, 2]
        assert 0 < found["min_s"] <= found["median_s"]
        assert found["peak_gib"] > 0.02
    assert tile["peers"]["opencv"]["ratios"] == {"best": 1}

    again = script("run.py", *words, "--resume")
    assert "setting up" not in again
    assert json.loads((tmp_path / "quick.json").read_text())["tasks"] == result["tasks"]
    refused = script("run.py", *words, "--resume", "--repeats", 1, status=1)
    assert "measured with repeats 2, now 1: measure anew" in refused


@pytest.mark.slow
def test_an_original_caffe_gives_the_scores_that_errors_are_measured_against(
    script, tmp_path
):
    words = (*SMALL, "--task", "inference", "--results", tmp_path)
    script("run.py", *words, "--peers", "opencv,caffe", "--pycaffe", ROOT)
    tasks = json.loads((tmp_path / "quick.json").read_text())["tasks"]
    tile = tasks["inference float32"]
    assert tile["reference"] == "the original Caffe's scores"
    assert tile["peers"]["caffe"]["error_l2"] == 0
    assert 0 < tile["peers"]["opencv"]["error_l2"] < 1e-5

    (stored,) = (tmp_path / "cache").glob("*/scores_caffe.npz")
    script("run.py", *words, "--peers", "opencv,caffe", "--scores", stored)
    tasks = json.loads((tmp_path / "quick.json").read_text())["tasks"]
    again = tasks["inference float32"]
    assert again["reference"] == f"the stored scores of {stored}"
    assert again["peers"]["opencv"]["error_l2"] == tile["peers"]["opencv"]["error_l2"]
    assert again["left_out"] == {"caffe": "no original Caffe: --pycaffe names one"}


def test_stored_scores_of_other_weights_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(material, "fingerprint", lambda folder: "of this net")
    file = tmp_path / "other.npz"
    np.savez(file, scores=np.zeros(2), material="of another net")
    args = argparse.Namespace(model="unet_demo", scores=file, pycaffe="")
    with pytest.raises(SystemExit, match="other weights or another input"):
        run.reference(args)


def test_a_relative_error_is_the_length_of_the_difference():
    truth = np.array([3.0, 4.0], np.float32)
    assert run.relative_error(truth, truth + np.array([0.3, 0.4])) == pytest.approx(0.1)


def test_the_help_ends_with_examples(capsys):
    with pytest.raises(SystemExit, match="0"):
        run.parse(["--help"])
    assert "python benchmarks/run.py --quick" in capsys.readouterr().out


def test_an_unknown_peer_is_refused_with_the_known_ones(capsys):
    with pytest.raises(SystemExit, match="2"):
        run.parse(["--peers", "ours,theano"])
    assert "--peers theano: expected some of ours, " in capsys.readouterr().err


def test_the_long_comparison_is_of_the_papers_net_and_all_peers():
    args = run.parse([])
    assert args.model == args.name == "unet_isbi2012"
    assert {"ours", "opencv", "onnxruntime", "openvino", "torch-compile"} <= {
        *args.peers
    }


@pytest.mark.slow
@pytest.mark.parametrize("task", ["inference", "training"])
def test_the_tile_beside_plain_torch_is_measured(script, task):
    words = ("--model", "unet_demo", "--rounds", 1, "--repeats", 1, "--threads", 1)
    assert f"{task:10} caffe " in script("unet_tile.py", *words, "--task", task)
