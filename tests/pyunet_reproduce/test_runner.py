"""A recipe is carried out, stopped and gone on with, on pictures made by the test."""

import functools
import json
import os
import runpy
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import caffe
from caffe.errors import FileError
from pyunet.data.augmentation import Augmentation
from pyunet.errors import DataError
from pyunet.inference.passes import SQUARE, Pass
from pyunet_reproduce import runner, samples, training
from pyunet_reproduce.nets import output_tile, write_nets
from pyunet_reproduce.predicting import _by_whole_images
from pyunet_reproduce.recipes import (
    Files,
    Fills,
    LabelFormat,
    NetChoice,
    Split,
    Training,
    read_recipe,
)
from pyunet_reproduce.runner import Job, load_runs, reproduce
from tests.support.layouts import make_layout
from tests.support.recipes import small_recipe

ROOT = Path(__file__).resolve().parents[2]
PLAIN = Augmentation(elastic_std=0, interpolation="linear")


@pytest.fixture
def data(tmp_path):
    """Four bright discs on dark ground."""
    y, x = np.ogrid[:40, :48]
    rng = np.random.default_rng(0)
    for number in range(4):
        disc = (y - 20) ** 2 + (x - 15 - 5 * number) ** 2 < 100
        grey = disc * 120 + rng.integers(0, 60, disc.shape)
        for folder, array in (("x", grey), ("y", disc * 255)):
            path = tmp_path / "data" / folder / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array.astype(np.uint8)).save(path)
    return tmp_path / "data"


@pytest.fixture
def job(data, tmp_path):
    return Job(small_recipe(), data, tmp_path / "out")


def stop_once(monkeypatch):
    """Press Ctrl-C after the first steps of the next training."""
    plain = training.tqdm

    class Stopping(plain):
        def update(self, n=1):
            os.kill(os.getpid(), signal.SIGINT)
            return super().update(n)

    monkeypatch.setattr(training, "tqdm", Stopping)


class TestReproduce:
    def test_trains_and_scores_every_fold_and_seed(self, job):
        runs = reproduce(job, seeds=(0, 3))
        assert [(run.seed, run.fold) for run in runs] == [
            (0, 0),
            (0, 1),
            (3, 0),
            (3, 1),
        ]
        for run in runs:
            assert 0 <= run.scores[""]["ranking.roc_auc"] <= 1
            assert run.seconds > 0
            folder = job.folder(run.seed, run.fold)
            assert (folder / "weights.caffemodel").is_file()
            assert len(list((folder / "predictions" / "all").iterdir())) == 2
            assert not (folder / "data").exists()
        assert sorted(load_runs(job.out), key=lambda r: (r.seed, r.fold)) == runs

    def test_tests_each_image_once(self, job):
        reproduce(job)
        names = [path.name for path in job.out.glob("*/predictions/all/*.tif")]
        assert sorted(names) == ["x_0.tif", "x_1.tif", "x_2.tif", "x_3.tif"]

    @pytest.mark.slow
    def test_learns_discs(self, job):
        how = Training(iterations=150, samples=60, base_lr=1e-3, augmentation=PLAIN)
        (run,) = reproduce(replace(job, recipe=small_recipe(training=how)), folds=[0])
        assert run.scores[""]["ranking.roc_auc"] > 0.95

    def test_does_nothing_again(self, job, monkeypatch):
        runs = reproduce(job)
        for name in ("write_training_set", "train", "predict", "evaluate"):
            monkeypatch.delattr(runner, name)
        assert reproduce(job) == runs

    def test_predicts_only_what_is_missing(self, job):
        (run,) = reproduce(job, folds=[0])
        folder = job.folder(0, 0)
        (folder / "scores.json").unlink()
        kept, lost = sorted((folder / "predictions" / "all").iterdir())
        before = kept.stat().st_mtime_ns
        values = tifffile.imread(lost)
        lost.unlink()
        assert reproduce(job, folds=[0])[0].scores == run.scores
        assert kept.stat().st_mtime_ns == before
        np.testing.assert_array_equal(tifffile.imread(lost), values)

    def test_stopped_in_training_goes_on_to_the_same_weights(self, job, monkeypatch):
        monkeypatch.setattr(training, "STEPS", 2)
        whole = replace(job, out=job.out.with_name("whole"))
        reproduce(whole, folds=[0])
        with monkeypatch.context() as patch:
            stop_once(patch)
            with pytest.raises(KeyboardInterrupt):
                reproduce(job, folds=[0])
        folder = job.folder(0, 0)
        assert (folder / "snapshots" / "net_iter_2.solverstate").is_file()
        assert not (folder / "weights.caffemodel").exists()
        reproduce(job, folds=[0])
        nets = [
            caffe.Net(
                str(folder / "deploy.prototxt"),
                str(one.folder(0, 0) / "weights.caffemodel"),
                caffe.TEST,
            )
            for one in (job, whole)
        ]
        for name in nets[0].params:
            for ours, theirs in zip(*(net.params[name] for net in nets), strict=True):
                np.testing.assert_array_equal(ours.data, theirs.data)

    def test_has_the_signal_handlers_back_afterwards(self, job):
        before = signal.getsignal(signal.SIGINT)
        reproduce(job, folds=[0])
        assert signal.getsignal(signal.SIGINT) is before

    def test_with_another_recipe_is_refused(self, job):
        reproduce(job, folds=[0])
        other = small_recipe(training=Training(iterations=5, samples=4))
        with pytest.raises(DataError, match="begun with another recipe; take another"):
            reproduce(replace(job, recipe=other), folds=[0])

    def test_of_a_fold_that_is_not_there_is_refused(self, job):
        with pytest.raises(DataError, match="fold 2: small has folds 0 to 1"):
            reproduce(job, folds=[2])

    def test_of_a_negative_seed_is_refused(self, job):
        with pytest.raises(DataError, match="seed -1"):
            reproduce(job, seeds=[-1])

    def test_without_data_says_where_they_are(self, tmp_path):
        job = Job(read_recipe("drive"), tmp_path / "none", tmp_path / "out")
        with pytest.raises(DataError, match=r"no such folder\. DRIVE is published at"):
            reproduce(job)

    def test_of_damaged_results_is_refused(self, job):
        reproduce(job, folds=[0])
        (job.folder(0, 0) / "scores.json").write_text('{"seed": 0}')
        with pytest.raises(DataError, match="no results of a run"):
            load_runs(job.out)
        (job.folder(0, 0) / "scores.json").write_text("[]")
        with pytest.raises(DataError, match="holds list"):
            load_runs(job.out)
        (job.folder(0, 0) / "scores.json").write_text("{")
        with pytest.raises(DataError, match="is no JSON"):
            load_runs(job.out)


class TestKinds:
    def test_four_channels_and_five_classes(self, tmp_path):
        recipe = replace(
            read_recipe("pst900"), size=[], net=NetChoice("unet_vessels", [60, 60]),
            training=Training(2, 4, augmentation=PLAIN, class_weights="balanced"),
            average="",
        )  # fmt: skip
        data = make_layout("pst900", tmp_path / "data")
        (run,) = reproduce(Job(recipe, data, tmp_path / "out"))
        assert 0 <= run.scores[""]["overlap.mean_iou"] <= 1
        stored = next((tmp_path / "out").glob("*/predictions/test/*.tif"))
        assert tifffile.imread(stored).dtype == np.uint8

    def test_volumes(self, tmp_path):
        recipe = replace(
            read_recipe("ct150"), net=NetChoice("unet_vessels", [44, 44, 44]),
            training=Training(1, 1, augmentation=PLAIN), average="",
            split=Split(of="all", train_first=1),
        )  # fmt: skip
        data = make_layout("ct150", tmp_path / "data", count=2)
        (run,) = reproduce(Job(recipe, data, tmp_path / "out"))
        assert set(run.scores[""]) == {
            f"overlap.per_image.{name}" for name in ("dice", "precision", "recall")
        }

    def test_instances_with_border_weights_and_resizing(self, tmp_path):
        recipe = replace(
            read_recipe("crag"), net=NetChoice("unet_vessels", [60, 60]),
            training=Training(2, 4, augmentation=PLAIN, border_weight=10.0),
            size=[48, 48], average="mirror",
        )  # fmt: skip
        data = make_layout("crag", tmp_path / "data")
        (run,) = reproduce(Job(recipe, data, tmp_path / "out"))
        assert set(run.scores[""]) == {
            "objects.object_dice", "objects.object_hausdorff", "objects.f1_glas",
        }  # fmt: skip
        stored = next((tmp_path / "out").glob("*/predictions/valid/*.tif"))
        assert tifffile.imread(stored).shape == (44, 52)

    def test_regions_of_binary_labels_with_border_weights(self, data, tmp_path):
        how = Training(
            2, 4, augmentation=PLAIN, border_weight=5.0, class_weights=[1, 2]
        )
        recipe = small_recipe(training=how)
        (run, _) = reproduce(Job(recipe, data, tmp_path / "out"))
        assert run.scores

    def test_parts_have_scores_of_their_own(self, data, tmp_path):
        files = Files(["x/*"], ["y/*"])
        recipe = small_recipe(
            files={"a": files, "b": files, "c": files},
            split=Split(train=["a"], test=["b", "c"]),
            fills=[Fills("D", "M", "overlap.pooled.dice", part="b")],
            also=[
                "overlap.per_image.dice",
                "cost.gflops",
                "cost.multiply_adds",
                "cost.parameters",
            ],
        )
        (run,) = reproduce(Job(recipe, data, tmp_path / "out"))
        assert set(run.scores) == {"", "b"}
        assert set(run.scores["b"]) == {"overlap.pooled.dice"}
        # 4 k + 44 pixels with at least 512 of 552 - 40: 552
        assert run.scores[""]["cost.parameters"] == 116_770
        assert run.scores[""]["cost.gflops"] == pytest.approx(
            2 * run.scores[""]["cost.multiply_adds"]
        )

    def test_the_net_of_another_solver(self, data, tmp_path):
        recipe = small_recipe(
            net=NetChoice("unet_vessels", [60, 60], solver="unet_isbi2012")
        )
        job = Job(recipe, data, tmp_path / "out")
        reproduce(job, folds=[0])
        assert 'type: "SGD"' in (job.folder(0, 0) / "solver.prototxt").read_text()


@pytest.fixture
def thin(tmp_path):
    """Write a thin version of a published net, in a folder as those of prototxt/."""

    def make(name):
        source, folder = ROOT / "prototxt" / name, tmp_path / name
        made = runpy.run_path(str(source / "make.py"))
        folder.mkdir()
        for kind, net in (("deploy", "deployed"), ("train", "training")):
            text = caffe.to_text(made[net](thinner=16))
            (folder / f"{kind}.prototxt").write_text(text)
        shutil.copy(source / "solver.prototxt", folder)
        return str(folder)

    return make


class TestPublishedNets:
    """FCN-8s and OCR learn through the recipes that have them."""

    def run(self, name, data, tmp_path, net):
        recipe = replace(
            read_recipe(name), net=net, average="mirror",
            training=Training(2, 2, augmentation=PLAIN),
        )  # fmt: skip
        job = Job(recipe, make_layout(name, data), tmp_path / "out")
        (run, *_) = reproduce(job, folds=[0])
        folder = job.folder(0, 0)
        net = caffe.Net(
            str(folder / "deploy.prototxt"), str(folder / "weights.caffemodel"),
            caffe.TEST,
        )  # fmt: skip
        return run, net, folder

    def test_fcn8s_learns_vessels(self, thin, tmp_path):
        choice = NetChoice(thin("fcn8s"), [506, 506], model="FCN8 (e)")
        run, net, _ = self.run("stare", tmp_path / "data", tmp_path, choice)
        assert 0 <= run.scores[""]["ranking.roc_auc"] <= 1
        assert net.params["score_fr"][0].data.any()  # 0 at first
        assert net.blobs["score"].shape[1:] == (2, 506, 506)

    @pytest.mark.slow
    def test_ocr_learns_fourteen_classes_on_whole_images(self, thin, tmp_path):
        choice = NetChoice(thin("ocr_hrnetv2_w48"), [64, 64], whole=True)
        run, net, folder = self.run("urbanlf", tmp_path / "data", tmp_path, choice)
        assert set(run.scores) == {"test", "test_syn"}
        assert net.blobs["score"].shape[1:] == (14, 64, 64)
        trained = caffe.read_net(folder / "train.prototxt")
        losses = [one for one in trained.layer if one.type == "SoftmaxWithLoss"]
        assert [one.loss_param.ignore_label for one in losses] == [14, 14]
        stored = next(folder.glob("predictions/test_syn/*.tif"))
        assert tifffile.imread(stored).shape == (44, 52)

    def test_whole_images_are_averaged_as_they_are_turned(self, tmp_path):
        n = caffe.NetSpec()
        n.data = caffe.layers.Input(shape={"dim": [1, 1, 9, 9]})
        n.score = caffe.layers.Convolution(
            n.data, num_output=2, kernel_size=3, pad=1, weight_filler={"type": "msra"}
        )
        deploy, weights = tmp_path / "deploy.prototxt", tmp_path / "w.caffemodel"
        deploy.write_text(caffe.to_text(n.to_proto()))
        caffe.Net(str(deploy), caffe.TEST).save(str(weights))
        image = np.random.default_rng(0).normal(size=(1, 40, 56)).astype(np.float32)
        average = _by_whole_images(deploy, weights, SQUARE, None)
        found = average(image)
        np.testing.assert_allclose(found.sum(axis=0), 1, rtol=1e-5)
        # an average of all versions turns with the image, that of one does not
        turn = functools.partial(np.rot90, axes=(1, 2))
        np.testing.assert_allclose(average(turn(image)), turn(found), atol=1e-5)
        one = _by_whole_images(deploy, weights, (Pass(),), None)
        assert abs(one(turn(image)) - turn(one(image))).max() > 0.1

    def test_whole_images_are_not_turned_by_odd_angles(self, tmp_path):
        with pytest.raises(DataError, match="expected average = mirror"):
            _by_whole_images(tmp_path / "d", tmp_path / "w", (Pass(45),), None)

    def test_fcn8s_interpolates_each_class_by_itself(self, thin, tmp_path):
        recipe = small_recipe(
            net=NetChoice(thin("fcn8s"), [506, 506]),
            labels=LabelFormat("classes", names=["a", "b", "c"]),
        )
        files = write_nets(recipe, tmp_path, channels=3, source=tmp_path, seed=0)
        groups = [
            (one.convolution_param.num_output, one.convolution_param.group)
            for one in caffe.read_net(files.train).layer
            if one.type == "Deconvolution"
        ]
        assert groups == [(3, 3)] * 3


class TestTraining:
    def test_of_a_loss_that_is_no_number_is_refused(self, job):
        how = Training(iterations=20, samples=4, base_lr=1e30, augmentation=PLAIN)
        with pytest.raises(DataError, match="loss is not a number"):
            reproduce(replace(job, recipe=small_recipe(training=how)), folds=[0])

    def test_of_a_damaged_snapshot_is_refused(self, job, monkeypatch):
        monkeypatch.setattr(training, "STEPS", 2)
        with monkeypatch.context() as patch:
            stop_once(patch)
            with pytest.raises(KeyboardInterrupt):
                reproduce(job, folds=[0])
        state = job.folder(0, 0) / "snapshots" / "net_iter_4.solverstate"
        state.write_bytes(b"nothing")
        with pytest.raises(FileError, match="not a whole solver state"):
            reproduce(job, folds=[0])

    def test_tiles_that_the_net_does_not_take_are_refused(self):
        recipe = small_recipe(net=NetChoice("unet_vessels", [61, 60]))
        with pytest.raises(DataError, match=r"tiles of 61 pixels.*expected 44 \+ 4 k"):
            output_tile(recipe, 1)


class TestTiles:
    def test_come_from_all_images_where_few_fit_into_memory(self, job, monkeypatch):
        monkeypatch.setattr(samples, "BYTES_AT_A_TIME", 1)
        recipe = small_recipe(
            training=Training(1, 10, augmentation=PLAIN), labels=LabelFormat(above=127)
        )
        cases = [*job.folds[0].train, *job.folds[0].test]
        found = samples.survey(recipe, cases, job.read)
        assert [len(group) for group in found.groups] == [1, 1, 1, 1]
        drawn = list(samples.tiles(recipe, found, job.read, output=(20, 20), seed=0))
        assert len(drawn) == 10
        assert found.pixels.sum() == 4 * 40 * 48

    def test_of_fewer_tiles_than_groups_are_as_many_as_asked_for(
        self, job, monkeypatch
    ):
        monkeypatch.setattr(samples, "BYTES_AT_A_TIME", 1)
        recipe = small_recipe(training=Training(1, 2, augmentation=PLAIN))
        cases = [*job.folds[0].train, *job.folds[0].test]
        found = samples.survey(recipe, cases, job.read)
        drawn = list(samples.tiles(recipe, found, job.read, output=(20, 20), seed=0))
        assert len(drawn) == 2

    def test_are_equal_for_equal_seeds_only(self, job):
        recipe = small_recipe()
        found = samples.survey(recipe, job.folds[0].train, job.read)
        one, same, other = (
            next(samples.tiles(recipe, found, job.read, output=(20, 20), seed=seed))
            for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(one.data, same.data)
        assert not np.array_equal(one.data, other.data)


def test_a_plan_notes_the_version(job):
    reproduce(job, folds=[0])
    plan = json.loads((job.folder(0, 0) / "plan.json").read_text())
    assert plan["recipe"]["name"] == "small"
    assert plan["pyunet"]
