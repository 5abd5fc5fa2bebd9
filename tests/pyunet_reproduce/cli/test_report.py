"""``pyunet report`` as people type it, on what the commands leave behind."""

import json
import re
import shutil
import sys

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from pyunet.cli import main
from pyunet_fiji.finetuning import running
from pyunet_fiji.modeldef import read_modeldef, write_modeldef
from pyunet_reproduce.runner import Job, reproduce
from tests.support import fake_caffe, modeldefs
from tests.support.recipes import small_recipe

NET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 1 dim: 12 dim: 12 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "score"
  convolution_param { num_output: 2 kernel_size: 3 } }
"""
LOG = """\
I1122 14:44:31.0 1 solver.cpp:45] Initializing solver from parameters:
base_lr: 0.25
type: "Nesterov"
I1122 14:44:32.0 1 solver.cpp:58] Creating training net.
I1122 14:44:32.0 1 solver.cpp:270] Solving small
I1122 14:44:32.0 1 solver.cpp:229] Iteration 0 (9 iter/s, 0.1s/1 iters), loss = 2
I1122 14:44:33.0 1 solver.cpp:229] Iteration 5 (9 iter/s, 0.1s/5 iters), loss = 1
"""


def report(*words, out):
    status = main(["report", *map(str, words), "-o", str(out)])
    return status, out.read_text(encoding="utf-8") if out.is_file() else ""


def missing(text):
    return re.findall(r'<p class="missing">(.*?)</p>', text)


def refused(capsys, *words, out):
    assert report(*words, out=out) == (1, "")
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("pyunet report: ")
    return said[-1]


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """A log, a net, training tiles, and segmented images with their truth."""
    import caffe

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "train.log").write_text(LOG)
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "deploy.prototxt").write_text(NET)
    (tmp_path / "net" / "solver.prototxt").write_text('base_lr: 0.75 type: "Adam"')
    caffe.Net("net/deploy.prototxt", caffe.TEST).save("w.caffemodel")
    with h5py.File("tiles.h5", "w") as file:
        file["data"] = rng.random((3, 1, 20, 20)).astype(np.float32)
        file["label"] = rng.integers(0, 2, (3, 1, 12, 12)).astype(np.uint8)
        file["weights"] = rng.random((3, 1, 12, 12)).astype(np.float16)
        file.attrs["arguments"] = json.dumps({"elastic_std": 10, "volume": False})
    (tmp_path / "train.txt").write_text("tiles.h5\n")
    truth = np.zeros((5, 24, 24), np.uint8)
    truth[:, 4:16, 4:16] = 255
    found = (truth > 0).astype(np.uint8)
    found[1, :8] = 0
    (tmp_path / "out").mkdir()
    tifffile.imwrite("truth.tif", truth)
    tifffile.imwrite("images.tif", rng.integers(0, 255, truth.shape).astype(np.uint8))
    tifffile.imwrite("out/images_labels.tif", found)
    return tmp_path


ALL = (
    "runs", "--model", "net", "--weights", "w.caffemodel", "--data", "train.txt",
    "--images", "images.tif", "--truth", "truth.tif", "--prediction", "out",
    "--inside", "255",
)  # fmt: skip


def test_puts_all_parts_that_are_named_onto_one_page(parts, capsys):
    status, text = report(*ALL, out=parts / "r.html")
    assert status == 0
    assert missing(text) == []
    assert capsys.readouterr().out.splitlines() == [str(parts / "r.html")]
    assert "<h1>runs</h1>" in text
    assert "<td>20 (0.0 MiB)</td>" in text  # 2 * 9 + 2 parameters
    assert "Nesterov" in text  # the log's solver, not the one beside the net
    assert "Adam" not in text
    assert "made with elastic_std" in text
    assert "made with volume" not in text
    # (432/480 + 96/144) / 2: rows 4 to 7 of a square of 12 are missed
    assert "Worst: slice 1, mean IoU 0.7833" in text


def test_says_of_each_part_why_it_is_not_there(parts, capsys):
    status, text = report("runs", out=parts / "r.html")
    assert status == 0
    assert len(missing(text)) == 7
    said = capsys.readouterr().out
    assert "left out: Data: No training set is given (--data)." in said
    assert "Curves" not in said


def test_takes_the_solver_beside_the_net_where_no_log_tells_one(parts):
    _, text = report("--model", "net", out=parts / "r.html")
    assert "0.75" in text
    assert "so no kernels are shown" in text


def test_scores_some_slices_and_takes_over_what_evaluate_wrote(parts):
    main([
        "evaluate", "--truth", "truth.tif", "--prediction", "out", "--inside", "255",
    ])  # fmt: skip
    _, text = report(*ALL, "--slices", "1:3", out=parts / "r.html")
    assert "pyunet evaluate" in text
    assert "v_rand" in text
    assert "slice 2" in text
    assert "slice 0" not in text


def test_an_image_of_a_folder_has_the_name_of_its_file(parts):
    (parts / "x").mkdir()
    for number, plane in enumerate(tifffile.imread("images.tif")):
        Image.fromarray(plane).save(parts / "x" / f"cell{number}.png")
    _, text = report(*ALL, "--images", "x", out=parts / "r.html")
    assert "Worst: cell1.png" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gone"], "gone: no such folder"),
        (["out"], "out: has no train.log; expected a folder of"),
        (["--truth", "truth.tif"], "--truth and --prediction: go with each other"),
        (["--images", "images.tif"], "goes with --truth, --prediction"),
        (["--data", "truth.tif"], "truth.tif: no list file"),
        (["--model", "nonesuch"], "nonesuch: no such file, folder or model"),
    ],
)
def test_refuses_what_it_cannot_use(parts, capsys, words, said):
    assert said in refused(capsys, *words, out=parts / "r.html")


def test_refuses_a_list_of_no_file_and_one_of_a_damaged_file(parts, capsys):
    (parts / "empty.txt").write_text("")
    assert "names no file" in refused(
        capsys, "--data", "empty.txt", out=parts / "r.html"
    )
    (parts / "tiles.h5").write_bytes(b"nothing")
    assert "tiles.h5 (named in train.txt): cannot be read" in refused(
        capsys, "--data", "train.txt", out=parts / "r.html"
    )


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A finetuning whose training was played, with random weights."""
    folder = tmp_path_factory.mktemp("finetuned")
    write_modeldef(folder / "m.modeldef.h5", modeldefs.definition())
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for number in range(3):
        labels = np.zeros((48, 56), np.uint8)
        labels[8 + number : 30, 10:40] = 1
        image = labels * 120 + rng.integers(0, 60, labels.shape)
        tifffile.imwrite(folder / "images" / f"{number}.tif", image.astype(np.uint8))
        tifffile.imwrite(folder / "labels" / f"{number}.tif", labels)
    words = [sys.executable, "-c", fake_caffe.START, "well"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "caffe_command", lambda: words)
        status = main([
            "finetune", "--model", str(folder / "m.modeldef.h5"), "--from-scratch",
            "--images", str(folder / "images"), "--labels", str(folder / "labels"),
            "--out", str(folder / "mine"), "--tile", "60", "--iterations", "8",
            "--classes", "nucleus", "--validation-share", "0.34",
            "--validation-interval", "4",
        ])  # fmt: skip
    assert status == 0
    for path in (folder / "mine").glob("*.caffemodel.h5"):
        path.unlink()  # what the player wrote
    definition = read_modeldef(folder / "mine" / "mine.modeldef.h5")
    modeldefs.random_weights(folder / "mine" / "mine.caffemodel.h5", definition)
    return folder / "mine"


@pytest.fixture
def finetuned(played, tmp_path):
    """A copy of the finetuning's folder; its plan names the images of the first."""
    shutil.copytree(played, tmp_path / "mine")
    return tmp_path / "mine"


def change_plan(folder, **job):
    path = folder / "finetune.json"
    plan = json.loads(path.read_text())
    plan["job"] |= job
    path.write_text(json.dumps(plan))


def test_reports_a_finetuning_and_segments_its_validation_images(finetuned):
    _, text = report(finetuned, out=finetuned / "r.html")
    assert missing(text) == []
    assert "<h1>mine</h1>" in text
    assert "2: 0.tif, 2.tif" in text
    assert "Worst: 1.tif, mean IoU" in text
    assert "F1, segmentation" in text
    assert ">nucleus<" in text
    assert "The first training image, 0.tif" in text


def test_a_finetuning_without_validation_images_says_so(finetuned):
    change_plan(finetuned, validation=[])
    _, text = report(finetuned, out=finetuned / "r.html")
    assert set(missing(text)) == {
        "The finetuning had no validation images (--validation-share, --valid-images)."
    }


def test_a_finetuning_whose_images_are_gone_says_so(finetuned):
    gone = {"image": "gone.tif", "labels": None}
    change_plan(finetuned, validation=[gone], training=[gone])
    _, text = report(finetuned, out=finetuned / "r.html")
    assert sum("gone.tif: is not there any more" in one for one in missing(text)) == 4


def test_a_finetuning_that_is_not_finished_has_no_scores(finetuned):
    (finetuned / "mine.caffemodel.h5").unlink()
    (finetuned / "curves.csv").unlink()
    _, text = report(finetuned, out=finetuned / "r.html")
    assert "The finetuning is not finished" in missing(text)[0]


def test_refuses_a_plan_that_was_damaged(finetuned, capsys):
    (finetuned / "finetune.json").write_text("{}")
    out = finetuned / "r.html"
    assert "says no classes, no job" in refused(capsys, finetuned, out=out)
    (finetuned / "finetune.json").write_text("nothing")
    assert "is no JSON" in refused(capsys, finetuned, out=out)


@pytest.fixture
def reproduced(tmp_path):
    """The results of a small recipe, both folds."""
    y, x = np.ogrid[:40, :48]
    rng = np.random.default_rng(0)
    for number in range(4):
        disc = (y - 20) ** 2 + (x - 15 - 5 * number) ** 2 < 100
        grey = disc * 120 + rng.integers(0, 60, disc.shape)
        for folder, array in (("x", grey), ("y", disc * 255)):
            path = tmp_path / "data" / folder / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array.astype(np.uint8)).save(path)
    reproduce(Job(small_recipe(), tmp_path / "data", tmp_path / "out"))
    return tmp_path / "out"


def test_reports_all_folds_of_a_reproduction_or_one(reproduced):
    _, text = report(reproduced, out=reproduced / "r.html")
    assert missing(text) == ["pyunet reproduce keeps no log of its trainings."]
    assert "Scores of seed0_fold1" in text
    for number in range(4):
        assert f'<th scope="row">x_{number}</th>' in text
    one = reproduced / "seed0_fold1"
    _, text = report(one, out=reproduced / "r.html")
    assert 'row">x_3</th>' in text
    assert 'row">x_0</th>' not in text


def test_a_reproduction_without_its_data_or_its_end_says_so(reproduced):
    (reproduced / "seed0_fold0" / "scores.json").unlink()
    _, text = report(reproduced, out=reproduced / "r.html")
    assert any("fold0: is not finished" in one for one in missing(text))
    shutil.rmtree(reproduced.parent / "data")
    one = reproduced / "seed0_fold1"
    _, text = report(one, out=reproduced / "r.html")
    assert sum("data set is not there any more" in one for one in missing(text)) == 4


def test_help_ends_with_an_example(capsys):
    assert main(["report", "--help"]) == 0
    assert "pyunet report mycells -o report.html" in capsys.readouterr().out
