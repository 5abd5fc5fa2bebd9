"""``pyunet segment`` as people type it."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from pyunet.cli import main
from pyunet.cli.segment import _parse_tile_size

REFERENCE = Path(__file__).parents[2] / "reference" / "tiled"
UNET = REFERENCE / "unet2d"
SHAPE = (61, 83)


def save(path, array):
    tifffile.imwrite(path, array, photometric="minisblack")


def reference_image(name="unet2d"):
    """The stored image, scaled to 0..1 as a file of 16 bits would be."""
    with h5py.File(REFERENCE / name / "input_0.h5") as file:
        image = file["data"][0, 0]
    return (image - image.min()) / (image.max() - image.min())


@pytest.fixture
def cells(tmp_path):
    """A stack of three slices: the image, its mirror image, half of its brightness."""
    image = np.round(reference_image() * 65535).astype(np.uint16)
    path = tmp_path / "cells.tif"
    save(path, np.stack([image, image[::-1], image // 2]))
    return path


def call(out, *words, model=UNET, weights=None):
    return main([
        "segment", "--model", str(model), "--out", str(out),
        "--weights", str(weights or Path(model) / "weights.caffemodel"),
        *map(str, words),
    ])  # fmt: skip


def refused(capsys, *words, **settings):
    """Run a command line that must fail, and return its only line of error."""
    assert call(*words, **settings) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.strip().splitlines()
    assert line.startswith("pyunet segment: ")
    return line


def test_a_stack_stays_a_stack(cells, tmp_path, capsys):
    assert call(tmp_path / "out", cells) == 0
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "cells_labels.tif",
        "cells_overlay.png",
        "cells_scores.tif",
    ]
    scores = tifffile.imread(out / "cells_scores.tif")
    labels = tifffile.imread(out / "cells_labels.tif")
    assert scores.shape == (3, 2, *SHAPE)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, scores.argmax(axis=1))
    assert "3 slice(s) of 61x83 pixels, 1 tile(s) of 104x124" in capsys.readouterr().out


def test_scores_are_those_of_pycaffe_on_the_mirrored_image(cells, tmp_path):
    import caffe

    assert call(tmp_path / "out", cells, "--tile-size", "20") == 0
    scores = tifffile.imread(tmp_path / "out" / "cells_scores.tif")
    net = caffe.Net(
        str(UNET / "deploy.prototxt"), str(UNET / "weights.caffemodel"), caffe.TEST
    )
    image = tifffile.imread(cells)[0] / np.float32(65535)
    net.blobs["data"].reshape(1, 1, 104, 124)
    net.reshape()
    padded = np.pad(image, [(20, 23), (20, 21)], mode="reflect")
    net.blobs["data"].data[0, 0] = padded
    expected = net.forward()["score"][0, :, :61, :83]
    np.testing.assert_allclose(scores[0], expected, atol=1e-5)


def test_chosen_slices_are_those_of_the_whole_stack(cells, tmp_path):
    assert call(tmp_path / "all", cells) == 0
    assert call(tmp_path / "some", cells, "--slices", "1:3") == 0
    whole, some = (
        tifffile.imread(tmp_path / name / "cells_scores.tif")
        for name in ("all", "some")
    )
    np.testing.assert_array_equal(some, whole[1:])


def test_softmax_writes_probabilities_and_says_so_in_the_file(cells, tmp_path):
    assert call(tmp_path / "out", cells, "--softmax") == 0
    with tifffile.TiffFile(tmp_path / "out" / "cells_scores.tif") as tiff:
        shares = tiff.asarray()
        assert tiff.imagej_metadata["pyunet_values"] == "probabilities"
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert (shares >= 0).all()


def test_averages_over_mirrored_versions(cells, tmp_path, capsys):
    for name, words in (("one", ()), ("mean", ("--average", "mirror"))):
        assert call(tmp_path / name, cells, *words) == 0
    assert "61x83 pixels, 4 passes of 1 tile(s) of 104x124" in capsys.readouterr().out
    flipped = tmp_path / "cells.tif"
    total = tifffile.imread(tmp_path / "one" / "cells_scores.tif").astype(float)
    for number, axes in enumerate(((1,), (2,), (1, 2))):
        save(tmp_path / "flipped.tif", np.flip(tifffile.imread(flipped), axes))
        assert call(tmp_path / str(number), tmp_path / "flipped.tif") == 0
        scores = tifffile.imread(tmp_path / str(number) / "flipped_scores.tif")
        total += np.flip(scores, [axis + 1 for axis in axes])
    mean = tifffile.imread(tmp_path / "mean" / "cells_scores.tif")
    np.testing.assert_allclose(mean, total / 4, atol=1e-5)


@pytest.mark.parametrize("passes", ["rotate", "all", "3", "0,20"])
def test_probabilities_may_be_averaged_or_made_of_the_average(cells, tmp_path, passes):
    words = (cells, "--slices", "0:1", "--average", passes)
    assert call(tmp_path / "scores", *words) == 0
    assert call(tmp_path / "after", *words, "--softmax") == 0
    assert call(tmp_path / "before", *words, "--average-of", "probabilities") == 0
    found = {}
    for name in ("scores", "after", "before"):
        with tifffile.TiffFile(tmp_path / name / "cells_scores.tif") as tiff:
            found[name] = tiff.asarray()
            said = tiff.imagej_metadata["pyunet_values"]
            assert said == ("scores" if name == "scores" else "probabilities")
    exponents = np.exp(found["scores"])
    np.testing.assert_allclose(
        found["after"], exponents / exponents.sum(axis=0), atol=1e-5
    )
    np.testing.assert_allclose(found["before"].sum(axis=0), 1, atol=1e-5)
    assert not np.allclose(found["before"], found["after"], atol=1e-7)


def test_a_volume_is_averaged_as_one_image(tmp_path):
    volume = (reference_image("unet3d") * 255).astype(np.uint8)
    save(tmp_path / "volume.tif", volume)
    words = (tmp_path / "volume.tif", "--average", "rotate")
    assert call(tmp_path / "out", *words, model=REFERENCE / "unet3d") == 0
    scores = tifffile.imread(tmp_path / "out" / "volume_scores.tif")
    assert scores.shape == (11, 3, 17, 15)


def test_both_kinds_of_weight_files_give_the_same(cells, tmp_path):
    assert call(tmp_path / "a", cells) == 0
    weights = UNET / "weights.caffemodel.h5"
    assert call(tmp_path / "b", cells, weights=weights) == 0
    a, b = (
        tifffile.imread(tmp_path / name / "cells_scores.tif") for name in ("a", "b")
    )
    np.testing.assert_array_equal(a, b)


def test_a_volume_is_one_image_of_a_3d_net(tmp_path):
    volume = (reference_image("unet3d") * 255).astype(np.uint8)
    save(tmp_path / "volume.tif", volume)
    model = REFERENCE / "unet3d"
    for name, size in (("one", "17"), ("many", "4x8x6")):
        words = (tmp_path / "volume.tif", "--tile-size", size)
        assert call(tmp_path / name, *words, model=model) == 0
    one, many = (
        tifffile.imread(tmp_path / name / "volume_scores.tif")
        for name in ("one", "many")
    )
    assert one.shape == (11, 3, 17, 15)
    np.testing.assert_allclose(one, many, atol=1e-5)


def test_a_folder_of_images_is_one_stack(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(2):
        image = np.full((30, 40), 100 * number, np.uint8)
        Image.fromarray(image).save(folder / f"{number}.png")
    assert call(tmp_path / "out", folder) == 0
    labels = tifffile.imread(tmp_path / "out" / "frames_labels.tif")
    assert labels.shape == (2, 30, 40)


def test_several_images_are_segmented_in_one_run(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / f"{name}.tif", np.zeros((20, 30), np.uint8))
    assert call(tmp_path / "out", tmp_path / "a.tif", tmp_path / "b.tif") == 0
    for name in ("a", "b"):
        shape = tifffile.imread(tmp_path / "out" / f"{name}_labels.tif").shape
        assert shape == (20, 30)


def test_a_truth_gives_a_picture_that_compares(cells, tmp_path):
    truth = tmp_path / "truth.tif"
    save(truth, membranes(3))
    words = (cells, "--truth", truth, "--slices", "2:3")
    assert call(tmp_path / "out", *words) == 0
    with Image.open(tmp_path / "out" / "cells_comparison.png") as picture:
        assert picture.size == (4 * 83 + 18, 61 + 26)


def membranes(count):
    """Hand labels as those of ISBI 2012, inverted: 255 is membrane, 0 inside."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.stack([np.where((y % 12 < 2) | (x % 12 < 2), 255, 0)] * count).astype(
        "u1"
    )


def truth_panel(path):
    """Where the second panel of a comparison shows objects."""
    with Image.open(path) as picture:
        panels = np.asarray(picture)[26:, 83 + 6 : 2 * 83 + 6]
    return panels[: SHAPE[0]].any(axis=-1)


def test_a_picture_understands_hand_labels_as_the_scores_do(cells, tmp_path, capsys):
    truth, out = tmp_path / "truth.tif", tmp_path / "out"
    save(truth, membranes(3))
    assert call(out, cells, "--truth", truth) == 0
    said = capsys.readouterr().out
    inside = truth_panel(out / "cells_comparison.png")
    np.testing.assert_array_equal(inside, membranes(1)[0] == 0)
    assert main(["evaluate", "--truth", str(truth), "--prediction", str(out)]) == 0
    (understood,) = [
        line for line in capsys.readouterr().out.splitlines() if "of the truth" in line
    ]
    assert f"truth {understood.split('of the truth ')[1]}" in said.splitlines()


def test_what_hand_labels_mean_can_be_said(cells, tmp_path, capsys):
    truth, out = tmp_path / "truth.tif", tmp_path / "out"
    save(truth, membranes(3))
    assert call(out, cells, "--truth", truth, "--inside", "255") == 0
    inside = truth_panel(out / "cells_comparison.png")
    np.testing.assert_array_equal(inside, membranes(1)[0] == 255)
    capsys.readouterr()
    line = refused(capsys, tmp_path / "other", cells, "--inside", "255")
    assert "--inside and --labels-are: go with --truth" in line


def test_each_cell_of_an_instance_truth_has_a_colour(cells, tmp_path):
    truth, out = tmp_path / "truth.tif", tmp_path / "out"
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    numbers = (y // 12 * 7 + x // 12 + 40) * (membranes(1)[0] == 0)
    save(truth, np.stack([numbers] * 3).astype(np.uint16))
    assert call(out, cells, "--truth", truth) == 0
    with Image.open(out / "cells_comparison.png") as picture:
        panel = np.asarray(picture)[26 : 26 + SHAPE[0], 83 + 6 : 2 * 83 + 6]
    colours = {tuple(one) for one in panel.reshape(-1, 3).tolist()}
    assert len(colours) == len(np.unique(numbers))


def test_floats_beyond_one_are_scaled_over_the_whole_stack(cells, tmp_path, capsys):
    stack = tifffile.imread(cells).astype(np.float32)
    stack = (stack - stack.min()) / (stack.max() - stack.min())
    save(tmp_path / "plain.tif", stack)
    save(tmp_path / "wide.tif", stack * 100 - 7)
    assert call(tmp_path / "out", tmp_path / "plain.tif", tmp_path / "wide.tif") == 0
    assert "are mapped to 0..1" in capsys.readouterr().err
    plain, wide = (
        tifffile.imread(tmp_path / "out" / f"{name}_scores.tif")
        for name in ("plain", "wide")
    )
    np.testing.assert_allclose(wide, plain, atol=1e-4)


@pytest.mark.slow
def test_memory_bounds_the_peak_of_the_process(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (1500, 1500), np.uint8)
    save(tmp_path / "large.tif", image)
    program = (
        "import sys\n"
        "from pyunet.cli import main\n"
        "from pyunet.inference.engine import load_model\n"
        "from pyunet.memory import peak_bytes\n"
        "load_model(*sys.argv[3:6:2])\n"
        "limit = peak_bytes() + 200 * 2**20\n"
        "status = main([*sys.argv[1:], '--memory', str(limit)])\n"
        "print(status, limit - peak_bytes())\n"
    )
    words = [
        "segment", "--model", UNET / "deploy.prototxt",
        "--weights", UNET / "weights.caffemodel",
        "--out", tmp_path / "small", tmp_path / "large.tif",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    report, last = done.stdout.splitlines()
    status, left = map(int, last.split())
    assert status == 0
    assert " 1 tile(s)" not in report
    assert left > 0
    assert call(tmp_path / "large", tmp_path / "large.tif", "--memory", "9G") == 0
    small, large = (
        tifffile.imread(tmp_path / name / "large_scores.tif")
        for name in ("small", "large")
    )
    np.testing.assert_allclose(small, large, atol=1e-5)


def test_help_shows_an_example_and_loads_no_engine():
    program = (
        "import sys\n"
        "from pyunet.cli import main\n"
        "main(['segment', '--help'])\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "pyunet segment --model unet_isbi2012 --weights" in done.stdout


class TestRefuses:
    """One line that names the file, exit status 1, nothing left behind."""

    @pytest.fixture(autouse=True)
    def _nothing_left(self, tmp_path):
        yield
        assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())

    def test_an_image_that_is_not_there(self, tmp_path, capsys):
        path = tmp_path / "missing.tif"
        assert f"{path}: no such file" in refused(capsys, tmp_path / "out", path)

    def test_weights_that_are_not_there(self, cells, tmp_path, capsys):
        weights = tmp_path / "w.caffemodel"
        line = refused(capsys, tmp_path / "out", cells, weights=weights)
        assert f"{weights}: no such file" in line

    def test_a_model_that_is_not_there(self, cells, tmp_path, capsys):
        line = refused(
            capsys, tmp_path / "out", cells, model="nonesuch",
            weights=UNET / "weights.caffemodel",
        )  # fmt: skip
        assert "nonesuch: no such file, folder or model" in line

    def test_weights_of_another_net(self, cells, tmp_path, capsys):
        weights = REFERENCE / "unet3d" / "weights.caffemodel"
        line = refused(capsys, tmp_path / "out", cells, weights=weights)
        assert str(weights) in line

    def test_truncated_weights(self, cells, tmp_path, capsys):
        weights = tmp_path / "half.caffemodel"
        weights.write_bytes((UNET / "weights.caffemodel").read_bytes()[:9000])
        line = refused(capsys, tmp_path / "out", cells, weights=weights)
        assert str(weights) in line

    def test_a_file_that_is_no_image(self, tmp_path, capsys):
        path = tmp_path / "text.tif"
        path.write_text("not an image")
        assert f"{path}: is no TIFF image" in refused(capsys, tmp_path / "out", path)

    def test_an_empty_folder(self, tmp_path, capsys):
        folder = tmp_path / "empty"
        folder.mkdir()
        assert str(folder) in refused(capsys, tmp_path / "out", folder)

    def test_a_colour_image_for_a_grey_net(self, tmp_path, capsys):
        path = tmp_path / "rgb.png"
        Image.new("RGB", (40, 40)).save(path)
        line = refused(capsys, tmp_path / "out", path)
        assert f"{path}: has 3 channel(s)" in line
        assert "takes 1" in line

    def test_slices_that_are_not_there(self, cells, tmp_path, capsys):
        line = refused(capsys, tmp_path / "out", cells, "--slices", "5:9")
        assert f"{cells}: has 3 slices, none of them is in --slices 5:9" in line

    def test_two_images_of_one_name(self, cells, tmp_path, capsys):
        other = tmp_path / "sub" / "cells.png"
        other.parent.mkdir()
        other.touch()
        line = refused(capsys, tmp_path / "out", cells, other)
        assert f"{other}: would overwrite the results of {cells}" in line

    def test_an_output_that_is_a_file(self, cells, tmp_path, capsys):
        assert f"{cells}: is no folder" in refused(capsys, cells, cells)

    def test_an_output_that_is_a_loop_of_links(self, cells, tmp_path, capsys):
        loop = tmp_path / "loop"
        loop.symlink_to("loop")
        assert f"{loop}: is no folder" in refused(capsys, loop, cells)

    def test_memory_that_the_program_itself_exceeds(self, cells, tmp_path, capsys):
        line = refused(capsys, tmp_path / "out", cells, "--memory", "1M")
        assert "--memory 1M: loading the model alone took" in line

    def test_a_truth_of_another_size(self, cells, tmp_path, capsys):
        truth = tmp_path / "truth.tif"
        save(truth, np.eye(10, dtype=np.uint8)[None].repeat(3, axis=0))
        line = refused(capsys, tmp_path / "out", cells, "--truth", truth)
        assert f"{truth}: labels of (3, 10, 10)" in line
        assert "(3, 61, 83)" in line

    def test_a_truth_for_two_images(self, cells, tmp_path, capsys):
        line = refused(capsys, tmp_path / "out", cells, cells, "--truth", cells)
        assert "goes with one image, 2 are given" in line

    def test_a_gpu_that_is_not_there(self, cells, tmp_path, capsys):
        assert "GPU 99" in refused(capsys, tmp_path / "out", cells, "--gpu", "99")


def test_an_input_is_never_overwritten(cells, tmp_path, capsys):
    inputs = tmp_path / "cells_labels.tif"
    save(inputs, np.zeros(SHAPE, np.uint8))
    before = inputs.read_bytes()
    line = refused(capsys, tmp_path, cells, "--truth", inputs)
    assert f"{inputs}: is an input and would be overwritten" in line
    assert inputs.read_bytes() == before


def test_averages_of_other_passes_are_refused(cells, tmp_path, capsys):
    line = refused(capsys, tmp_path / "out", cells, "--average", "twice")
    assert "average 'twice': expected mirror, rotate, all" in line


def test_what_is_averaged_goes_with_an_average(cells, tmp_path, capsys):
    line = refused(capsys, tmp_path / "out", cells, "--average-of", "scores")
    assert "--average-of scores: goes with --average" in line


@pytest.mark.parametrize("text", ["0", "388x", "ax3", "-5"])
def test_a_tile_size_is_made_of_positive_numbers(cells, tmp_path, capsys, text):
    line = refused(capsys, tmp_path / "out", cells, f"--tile-size={text}")
    assert f"--tile-size {text}: accepted are pixels" in line


def test_a_tile_size_may_have_a_number_an_axis():
    assert _parse_tile_size("388") == [388]
    assert _parse_tile_size("20x388x292") == [20, 388, 292]


def test_an_interrupted_write_leaves_nothing(cells, tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile.TiffWriter, "write", full)
    line = refused(capsys, tmp_path / "out", cells)
    assert "No space left on device" in line
    assert "cells_" in line
    assert list((tmp_path / "out").iterdir()) == []


def peak_of(image, tmp_path, **layout):
    """Bytes that the peak of a process grows by when it segments an image."""
    tifffile.imwrite(tmp_path / "large.tif", image, **layout)
    program = (
        "import sys\n"
        "from pyunet.cli import main\n"
        "from pyunet.inference import mapped\n"
        "from pyunet.inference.engine import load_model\n"
        "from pyunet.memory import peak_bytes\n"
        "mapped.LARGE, mapped.OFTEN = 100_000, 2**20\n"
        "load_model(*sys.argv[3:6:2])\n"
        "before = peak_bytes()\n"
        "status = main([*sys.argv[1:], '--tile-size', '400'])\n"
        "print(status, peak_bytes() - before)\n"
    )
    words = [
        "segment", "--model", UNET / "deploy.prototxt",
        "--weights", UNET / "weights.caffemodel",
        "--out", tmp_path / "out", tmp_path / "large.tif",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    status, grown = map(int, done.stdout.splitlines()[-1].split())
    assert status == 0
    return grown


def test_a_large_image_is_never_whole_in_memory(tmp_path):
    layout = {"tile": (256, 256), "compression": "zlib"}
    image = np.random.default_rng(0).integers(0, 255, (2000, 3000), np.uint8)
    small = peak_of(image[:1000, :1000], tmp_path, **layout)
    large = peak_of(image, tmp_path, **layout)
    assert large - small < 3 * image.size  # the scores take 8 times the image
    save(tmp_path / "part.tif", image[600:1200, 800:1600])
    assert call(tmp_path / "out", tmp_path / "part.tif") == 0
    whole, part = (
        tifffile.imread(tmp_path / "out" / f"{name}_scores.tif")
        for name in ("large", "part")
    )
    np.testing.assert_allclose(
        whole[:, 640:1160, 840:1560], part[:, 40:-40, 40:-40], atol=1e-5
    )
    with Image.open(tmp_path / "out" / "large_overlay.png") as picture:
        assert picture.size == (1000, 667)


def test_a_large_file_of_the_other_byte_order_gives_the_same(
    cells, tmp_path, monkeypatch
):
    from pyunet.inference import mapped

    assert call(tmp_path / "out", cells) == 0
    stack = tifffile.imread(cells)
    tifffile.imwrite(
        tmp_path / "cells.tif", stack, byteorder=">", photometric="minisblack"
    )
    monkeypatch.setattr(mapped, "LARGE", 100)
    assert call(tmp_path / "other", tmp_path / "cells.tif") == 0
    for file in ("cells_scores.tif", "cells_labels.tif", "cells_overlay.png"):
        expected = (tmp_path / "out" / file).read_bytes()
        assert (tmp_path / "other" / file).read_bytes() == expected


def test_an_interrupt_ends_all_threads_and_leaves_nothing(
    cells, tmp_path, monkeypatch, capsys
):
    import threading

    from pyunet.inference import predict

    calls = []

    def interrupted(*_):
        calls.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(predict, "forward_tiles", interrupted)
    assert call(tmp_path / "out", cells, "--tile-size", "8") == 130
    assert calls == [1]
    assert "interrupted" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []
    names = {thread.name.partition("_")[0] for thread in threading.enumerate()}
    assert not names & {"ahead", "behind"}


def test_less_precision_gives_nearly_the_same_scores(cells, tmp_path):
    assert call(tmp_path / "exact", cells) == 0
    assert call(tmp_path / "bf16", cells, "--precision", "bf16") == 0
    exact, rounded = (
        tifffile.imread(tmp_path / name / "cells_scores.tif")
        for name in ("exact", "bf16")
    )
    error = np.abs(rounded - exact).max() / np.abs(exact).max()
    assert 1e-4 < error < 0.1


def test_tf32_on_the_cpu_is_refused(cells, tmp_path, capsys):
    line = refused(capsys, tmp_path / "out", cells, "--precision", "tf32")
    assert "precision tf32 needs an NVIDIA GPU" in line
