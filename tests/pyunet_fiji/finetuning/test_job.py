"""A finetuning as a whole, with a fake in place of ``caffe train``."""

import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
import tifffile

from pyunet.errors import DataError
from pyunet_fiji.finetuning import running
from pyunet_fiji.finetuning.job import Job, finetune
from pyunet_fiji.finetuning.preparing import Pair
from pyunet_fiji.modeldef import read_modeldef, write_modeldef
from tests.support import fake_caffe, modeldefs


@pytest.fixture
def behave(monkeypatch):
    """Choose what the fake does."""

    def choose(behaviour="well"):
        words = [sys.executable, "-c", fake_caffe.START, behaviour]
        monkeypatch.setattr(running, "caffe_command", lambda: words)

    choose()
    return choose


@pytest.fixture
def job(tmp_path, behave):
    model = modeldefs.definition(levels=1, class_names=("Background", "cell"))
    write_modeldef(tmp_path / "m.modeldef.h5", model)
    weights = modeldefs.random_weights(tmp_path / "m.caffemodel.h5", model)
    pairs = []
    for number in range(2):
        labels = np.zeros((20, 24), np.uint8)
        labels[4:9, 4:12] = 1
        image = np.random.default_rng(number).integers(0, 255, labels.shape, np.uint8)
        pairs.append(Pair(tmp_path / f"{number}.tif", tmp_path / f"l{number}.tif"))
        tifffile.imwrite(pairs[-1].image, image)
        tifffile.imwrite(pairs[-1].labels, labels)
    return Job(
        model=tmp_path / "m.modeldef.h5",
        weights=weights,
        training=(pairs[0],),
        validation=(pairs[1],),
        out=tmp_path / "mine",
        iterations=10,
        validation_interval=2,
    )


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_folder_gets_a_model_for_fiji_curves_and_the_best_weights(job):
    result = finetune(job)
    assert result.reached == 10
    assert result.curves.class_names == ("cell",)
    assert names(job.out) == [
        "curves.csv",
        "curves.png",
        "finetune.json",
        "mine.caffemodel.h5",
        "mine.modeldef.h5",
        "mine_best.caffemodel.h5",
        "train.log",
    ]
    made = read_modeldef(job.out / "mine.modeldef.h5")
    assert made.ident.startswith("small2d-unet-")
    assert (made.name, made.class_names) == ("mine", ("Background", "cell"))
    for file, iteration in (("mine", 10), ("mine_best", 4)):
        with h5py.File(job.out / f"{file}.caffemodel.h5") as weights:
            assert weights["iter"][()] == iteration


@pytest.mark.slow
def test_a_stopped_run_goes_on_with_the_same_files(job, behave):
    behave("SIGTERM")
    assert finetune(job).reached == 6
    files = job.out / "files"
    before = (files / "train_0.h5").stat().st_mtime_ns
    ident = read_modeldef(job.definition).ident
    solver = (files / "solver.prototxt").read_text()
    for line in ("test_iter: 2", "test_interval: 2", "snapshot: 2", "max_iter: 10"):
        assert line in solver.splitlines()
    behave("torn")
    with pytest.raises(DataError, match="ended with status 1"):
        finetune(job)
    assert (files / "train_0.h5").stat().st_mtime_ns == before
    behave()
    assert finetune(job).reached == 10
    assert read_modeldef(job.definition).ident == ident
    assert job.result.is_file()
    assert not files.exists()


def test_what_is_done_is_not_done_again(job, behave):
    first = finetune(job)
    behave("fail")
    again = finetune(job)
    assert again.curves.validation.keys() == first.curves.validation.keys()


@pytest.mark.slow
def test_a_run_broken_off_while_it_converted_begins_anew(job):
    (job.out / "files").mkdir(parents=True)
    (job.out / "files" / "train_0.h5").touch()
    assert finetune(job).reached == 10


@pytest.mark.slow
def test_without_validation_nothing_is_tested_but_snapshots_are_made(job, behave):
    behave("SIGINT")
    alone = replace(job, validation=(), weights=None, validation_interval=None)
    assert finetune(alone).reached == 6
    assert "-weights" not in (job.out / "train.log").read_text()
    solver = (job.out / "files" / "solver.prototxt").read_text().splitlines()
    assert "snapshot: 1" in solver
    assert not [line for line in solver if line.startswith("test_")]
    assert "loss_valid" not in (job.out / "files" / "model.prototxt").read_text()


@pytest.mark.slow
def test_another_job_in_the_same_folder_is_refused(job):
    finetune(job)
    with pytest.raises(DataError, match="was begun with another iterations and rate"):
        finetune(replace(job, iterations=20, rate=0.5))
    (job.out / "finetune.json").write_text("[]")
    with pytest.raises(DataError, match=r"finetune\.json: holds list, not an object"):
        finetune(job)


def test_nothing_of_somebody_else_is_overwritten(job):
    job.out.mkdir()
    job.definition.write_text("precious")
    with pytest.raises(DataError, match=r"mine\.modeldef\.h5: is there already"):
        finetune(job)
    assert job.definition.read_text() == "precious"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"iterations": 0}, "iterations 0: accepted are numbers of 1 and more"),
        ({"validation_interval": -1}, "interval -1: accepted"),
        ({"rate": 0.0}, "rate 0: accepted are numbers above 0"),
        ({"tile": (21,)}, "the nearest are 20x20 and 22x22"),
    ],
)
def test_jobs_that_cannot_be_done_are_refused(job, changes, said):
    with pytest.raises(DataError, match=said):
        finetune(replace(job, **changes))
    assert not job.out.exists()


def test_a_file_in_the_way_of_the_folder_is_named(job):
    job.out.touch()
    with pytest.raises(DataError, match="mine: is no folder"):
        finetune(job)
    (job.out.parent / "f").touch()
    with pytest.raises(DataError, match="f/g: cannot be made: Not a directory"):
        finetune(replace(job, out=job.out.parent / "f" / "g"))


def test_wrong_weights_are_refused_before_anything_is_written(job, tmp_path):
    other = modeldefs.definition(levels=2)
    weights = modeldefs.random_weights(tmp_path / "o.caffemodel.h5", other, channels=3)
    with pytest.raises(DataError, match="no weights for layer 'upconv_d1c_u0a'"):
        finetune(replace(job, weights=weights))
    assert not job.out.exists()


def test_weights_for_colour_are_refused_for_grey_images(job, tmp_path):
    model = read_modeldef(job.model)
    weights = modeldefs.random_weights(tmp_path / "o.caffemodel.h5", model, channels=3)
    with pytest.raises(DataError, match=r"has 1 channel\(s\); accepted are 3"):
        finetune(replace(job, weights=weights))
