"""``pyunet segment-and-track`` as people type it."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from pyunet.cli import main
from pyunet.inference.engine import load_model
from pyunet_tracking import linking
from pyunet_tracking.challenge import read_tracks
from pyunet_tracking.frames import Frames
from pyunet_tracking.release import GreedyTracker
from pyunet_tracking.segmentation import RowTiles, Segmentation, forward_tiles

ROOT = Path(__file__).parents[3]
REFERENCE = Path(__file__).parents[2] / "reference" / "tiled"
MODEL = []
FRAMES = 4
SHAPE = (64, 72)


def save_frames(folder, *, count=FRAMES, shape=SHAPE):
    """Bright disks on noise, which move."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    y, x = np.ogrid[: shape[-2], : shape[-1]]
    for index in range(count):
        frame = rng.normal(60, 15, shape)
        for cy, cx in ((20, 10), (40, 30), (15, 50)):
            frame[..., (y - cy - index) ** 2 + (x - cx - 2 * index) ** 2 < 60] += 120
        image = np.clip(frame, 0, 255).astype(np.uint8)
        tifffile.imwrite(folder / f"t{index:03d}.tif", image, photometric="minisblack")
    return folder


@pytest.fixture
def frames(tmp_path):
    return save_frames(tmp_path / "01")


@pytest.fixture(scope="module", autouse=True)
def model(tmp_path_factory):
    """A net for which bright spots are class 1: a mean of 3x3 pixels, above 0.4."""
    import caffe

    MODEL.append(tmp_path_factory.mktemp("bright"))
    deploy = MODEL[-1] / "deploy.prototxt"
    deploy.write_text(
        "layer { name: 'data' type: 'Input' top: 'data' "
        "input_param { shape { dim: 1 dim: 1 dim: 9 dim: 9 } } }\n"
        "layer { name: 'score' type: 'Convolution' bottom: 'data' top: 'score' "
        "convolution_param { num_output: 2 kernel_size: 3 } }\n"
    )
    net = caffe.Net(str(deploy), caffe.TEST)
    weight, bias = net.params["score"]
    weight.data[0], weight.data[1] = 0, 1 / 9
    bias.data[...] = (0, -0.4)
    net.save(str(MODEL[-1] / "weights.caffemodel"))
    return MODEL[-1]


def call(frames, out, *words, model=None):
    model = model or MODEL[-1]
    return main([
        "segment-and-track", str(frames), str(out), "--model", str(model),
        "--weights", str(model / "weights.caffemodel"),
        "--min-area", "20", "--foi-border", "6", *map(str, words),
    ])  # fmt: skip


def refused(capsys, *words, **settings):
    assert call(*words, **settings) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.strip().splitlines()
    assert line.startswith("pyunet segment-and-track: ")
    return line


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def test_all_files_of_the_release_are_written(model, frames, tmp_path, capsys):
    out = tmp_path / "new" / "01_RES"
    assert call(frames, out) == 0
    said = capsys.readouterr().out
    pattern = (
        r".*res_track.txt: \d+ track\(s\), \d+ with a parent, in 4 frame\(s\) of "
        r"64x72 pixels, 2 tile\(s\) of \d+x\d+ each, \d+\.\d s\n"
    )
    assert re.fullmatch(pattern, said)
    numbers = range(FRAMES)
    assert sorted(path.name for path in out.iterdir()) == [
        *(f"binmask{n:03d}.tif" for n in numbers),
        *(f"mask{n:03d}.tif" for n in numbers),
        "raw_results.h5",
        "res_track.txt",
    ]
    net = load_model(model / "deploy.prototxt", model / "weights.caffemodel")
    tiles = RowTiles.of(net.axes, SHAPE, 2)
    net.reshape(tiles.tile)
    tracker = GreedyTracker(min_area_px=20, foi_border_px=6)
    with h5py.File(out / "raw_results.h5") as file:
        scores, labels = file["scores"][()], file["labels"][()]
    assert scores.shape == (FRAMES, 2, *SHAPE)
    for n in numbers:
        image = tifffile.imread(frames / f"t{n:03d}.tif")[None] / np.float32(255)
        expected = forward_tiles(net, image.astype(np.float32), tiles)
        np.testing.assert_allclose(scores[n], expected, atol=1e-5)
        np.testing.assert_array_equal(labels[n], scores[n].argmax(axis=0))
        binary = tifffile.imread(out / f"binmask{n:03d}.tif")
        assert binary.dtype == np.uint8
        np.testing.assert_array_equal(binary, 255 * (labels[n] > 0))
        mask = tifffile.imread(out / f"mask{n:03d}.tif")
        assert mask.dtype == np.uint16
        np.testing.assert_array_equal(mask, tracker.update(labels[n]))
    assert read_tracks(out / "res_track.txt") == tracker.tracks != []


def test_without_binmasks_the_challenges_validator_takes_the_folder(frames, tmp_path):
    validate = pytest.importorskip("ctc_metrics.scripts.validate")
    assert call(frames, tmp_path / "out", "--no-binmasks") == 0
    with contextlib.redirect_stdout(io.StringIO()):
        found = validate.validate_sequence(str(tmp_path / "out"), threads=1)
    assert found == {"Valid": 1}


def test_options_of_the_image_reach_the_net(model, frames, tmp_path):
    words = ("--norm-image", "--scale-image", "0.75", "--tiles", "3")
    assert call(frames, tmp_path / "out", *words) == 0
    net = load_model(model / "deploy.prototxt", model / "weights.caffemodel")
    work = Segmentation.of(net, Frames.of(frames), tiles=3, normalise=True, scale=0.75)
    with h5py.File(tmp_path / "out" / "raw_results.h5") as file:
        np.testing.assert_allclose(file["scores"][2], work.scores(2), atol=1e-5)


def test_a_stopped_run_goes_on_after_the_last_whole_frame(
    frames, tmp_path, monkeypatch, capsys
):
    plain, out = tmp_path / "plain", tmp_path / "out"
    assert call(frames, plain) == 0
    capsys.readouterr()
    compute, taken = Segmentation.scores, []

    def stop_at_third(self, index, **settings):
        if index == 2 and index not in taken:
            taken.append(index)
            raise KeyboardInterrupt
        taken.append(index)
        return compute(self, index, **settings)

    monkeypatch.setattr(Segmentation, "scores", stop_at_third)
    assert call(frames, out) == 130
    assert "2 of 4 frame(s) are kept; the same command continues" in (
        capsys.readouterr().err
    )
    assert [path.name for path in out.iterdir()] == [".raw_results.parts"]
    assert call(frames, out) == 0
    assert taken == [0, 1, 2, 2, 3]
    assert "2 frame(s) are there already" in capsys.readouterr().err
    assert contents(out).keys() == contents(plain).keys()
    for name, found in contents(out).items():
        if name != "raw_results.h5":
            assert found == contents(plain)[name], name


def test_scores_that_are_there_are_tracked_again_without_the_net(
    frames, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    assert call(frames, out) == 0
    before = read_tracks(out / "res_track.txt")
    monkeypatch.setattr(Segmentation, "scores", None)
    assert call(frames, out, "--min-area", "10000") == 0
    assert before != read_tracks(out / "res_track.txt") == []


@pytest.mark.parametrize("words", [("--norm-image",), ("--tiles", 1)])
def test_other_options_of_the_image_compute_the_scores_anew(frames, tmp_path, words):
    for out, options in ((tmp_path / "a", ()), (tmp_path / "b", words)):
        assert call(frames, out, *options) == 0
    assert call(frames, tmp_path / "a", *words) == 0
    for name in ("raw_results.h5", "res_track.txt"):
        assert contents(tmp_path / "a")[name] == contents(tmp_path / "b")[name]


def test_volumes_go_with_a_3d_net(tmp_path):
    frames = save_frames(tmp_path / "01", count=2, shape=(9, 30, 40))
    assert call(frames, tmp_path / "out", model=REFERENCE / "unet3d") == 0
    with h5py.File(tmp_path / "out" / "raw_results.h5") as file:
        assert file["scores"].shape == (2, 3, 9, 30, 40)
    assert tifffile.imread(tmp_path / "out" / "mask001.tif").shape == (9, 30, 40)


def test_objects_may_be_linked_by_laptrack(frames, tmp_path, monkeypatch):
    seen = []

    def link(labels, **options):
        seen.append(options)
        tracker = GreedyTracker(**options)
        return [tracker.update(frame) for frame in labels], tracker.tracks

    monkeypatch.setattr(linking, "import_laptrack", lambda: None)
    monkeypatch.setattr(linking, "link_frames", link)
    assert call(frames, tmp_path / "out", "--linking", "laptrack", "--fill-holes") == 0
    assert seen == [{"min_area_px": 20, "foi_border_px": 6, "fill_holes": True}]
    assert (tmp_path / "out" / "res_track.txt").read_text()


def test_a_failure_while_tracking_leaves_no_masks(frames, tmp_path, monkeypatch):
    def fail(self, frame):
        raise KeyboardInterrupt

    monkeypatch.setattr(GreedyTracker, "update", fail)
    assert call(frames, tmp_path / "out") == 130
    assert list(contents(tmp_path / "out")) == ["raw_results.h5"]


def test_help_shows_the_releases_command_and_loads_no_engine():
    program = (
        "import sys\n"
        "from pyunet.cli import main\n"
        "main(['segment-and-track', '--help'])\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "pyunet segment-and-track PhC-C2DH-U373/01" in done.stdout


@pytest.fixture
def clone(tmp_path):
    """A clone whose command tells what it was called with."""
    for name in ("segment_and_track.sh", "setup.sh"):
        place = tmp_path / "clone" / "tools" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text((ROOT / "tools" / name).read_text())
        place.chmod(0o755)
    (tmp_path / "clone" / "tools" / "setup.sh").write_text("#!/bin/sh\n")
    command = tmp_path / "clone" / ".venv" / "bin" / "pyunet"
    command.parent.mkdir(parents=True)
    command.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    command.chmod(0o755)
    return tmp_path / "clone"


class TestTool:
    def told(self, clone, *words, **environment):
        done = subprocess.run(
            [clone / "tools" / "segment_and_track.sh", *words],
            capture_output=True, text=True, check=True,
            env={**os.environ, **environment},
        )  # fmt: skip
        return done.stdout.splitlines()

    def test_gives_the_releases_parameters(self, clone):
        assert self.told(clone) == [
            "segment-and-track", "PhC-C2DH-U373/01", "PhC-C2DH-U373/01_RES",
            "--model", f"{clone}/prototxt/phseg_v5",
            "--weights", "phseg_v5.caffemodel",
            "--scale-image", "1", "--tiles", "2", "--min-area", "500",
            "--foi-border", "50", "--linking", "release",
        ]  # fmt: skip

    def test_takes_other_folders_weights_and_options(self, clone):
        told = self.told(clone, "in", "out", "--gpu", "0", weights="w.h5")
        assert told[1:3] == ["in", "out"]
        assert told[told.index("--weights") + 1] == "w.h5"
        assert told[-2:] == ["--gpu", "0"]
        assert self.told(clone, "--gpu", "0")[1] == "PhC-C2DH-U373/01"

    def test_says_how_it_is_used(self, clone):
        assert self.told(clone, "--help")[0].startswith("tools/segment_and_track.sh:")


class TestRefuses:
    """One line that says why, exit status 1, nothing left behind."""

    @pytest.fixture(autouse=True)
    def _nothing_left(self, tmp_path):
        yield
        assert not (tmp_path / "out").exists()

    def test_frames_that_are_not_there(self, tmp_path, capsys):
        line = refused(capsys, tmp_path / "none", tmp_path / "out")
        assert f"{tmp_path / 'none'}: no such folder" in line

    def test_to_write_among_the_frames(self, frames, capsys):
        assert "is the folder of the frames" in refused(capsys, frames, frames)

    def test_an_output_that_is_a_file(self, frames, capsys):
        line = refused(capsys, frames, frames / "t000.tif")
        assert "is not a folder; expected a folder" in line

    def test_frames_that_differ(self, frames, tmp_path, capsys):
        tifffile.imwrite(frames / "t003.tif", np.zeros((9, 9), np.uint8))
        assert "t003.tif: has shape" in refused(capsys, frames, tmp_path / "out")

    @pytest.mark.parametrize(
        ("words", "text"),
        [
            (("--tiles", 0), "0 tiles: expected at least 1"),
            (("--scale-image", 0), "scale 0: expected factors above 0"),
            (("--min-area", -1), "min_area_px -1: expected 0 or more"),
            (("--foi-border", -1), "foi_border_px -1"),
        ],
    )
    def test_options_out_of_range(self, frames, tmp_path, capsys, words, text):
        assert text in refused(capsys, frames, tmp_path / "out", *words)

    def test_linking_by_a_package_that_is_not_there(
        self, frames, tmp_path, capsys, monkeypatch
    ):
        monkeypatch.setitem(sys.modules, "laptrack", None)
        words = ("--linking", "laptrack")
        line = refused(capsys, frames, tmp_path / "out", *words)
        assert "pip install pyunet[metrics]" in line


def test_masks_of_a_longer_sequence_are_not_mixed_in(frames, tmp_path, capsys):
    out = tmp_path / "out"
    assert call(frames, out) == 0
    capsys.readouterr()
    (frames / "t003.tif").unlink()
    line = refused(capsys, frames, out)
    assert re.search(r"mask003.tif: is of another sequence, this one has 3", line)
    for path in out.glob("*mask003.tif"):
        path.unlink()
    (out / "mask_notes.tif").touch()
    assert call(frames, out) == 0
