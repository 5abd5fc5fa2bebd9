"""Finetuning: every line that the plugin reads, its curves and its files."""

import itertools
import re
from dataclasses import replace

import h5py
import numpy as np
import pytest
from scipy import ndimage

import caffe
from tests.support.files import names
from tests.support.plugin_client import PluginClient
from tests.support.plugin_files import (
    draw_cells,
    finetuning_net,
    read_scores,
    write_images,
    write_modeldef,
)

TILE = (68, 68)  # 28x28 at the output
SHAPE = (50, 44)  # 2x2 tiles
TRAIN = draw_cells(SHAPE, seed=1)
VALID = draw_cells(SHAPE, seed=2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, programs, flat):
    """One run with weights and validation."""
    client = PluginClient(tmp_path_factory.mktemp("trained"), programs)
    assert client.usable()
    assert client.check(flat.model, flat.weights).status == 0
    train = [TRAIN, draw_cells((60, 40), seed=3)]
    curves = client.prepare(
        flat.definition, train, [VALID], tile_in=TILE, iterations=6, interval=3
    )
    job = client.finetune(flat.weights, curves=curves)
    assert job.wait() == 0, job.log
    return client, curves, job


def scores_of_tiles(client, setup):
    """Compute the scores of all validation tiles without ``caffe train``."""
    prototxt = client.folder / "tile.prototxt"
    prototxt.write_text(
        "layer { name: 'in' type: 'Input' top: 'data3' input_param { shape { "
        f"dim: 1 dim: 1 dim: 68 dim: 68 }} }} }}\n{setup.definition.model_prototxt}"
    )
    net = caffe.Net(str(prototxt), str(setup.weights), caffe.TEST)
    prototxt.unlink()
    for path in sorted(client.folder.glob("*_valid_*.h5")):
        with h5py.File(path) as file:
            net.blobs["data3"].data[...] = file["data3"]
            labels, weights = file["labels"][0, 0].astype(int), file["weights"][0, 0]
        yield net.forward()["score"][0].astype(float), labels, weights


def test_every_curve_has_a_value_where_the_plugin_wants_one(trained):
    _, curves, job = trained
    assert np.isfinite(curves.train[:6]).all()
    assert np.isnan(curves.train[6])
    assert np.isfinite(curves.valid).all()
    assert curves.drawn == 9
    for values in (*curves.counts.values(), *curves.plots.values()):
        assert values.shape == (1, 3)
    assert curves.counts["IoU union"].min() > 0
    assert job.out == []


def test_the_first_validation_is_that_of_the_weights_given(trained, flat):
    client, curves, _ = trained
    losses, counts = [], np.zeros(4)
    for scores, labels, weights in scores_of_tiles(client, flat):
        chances = np.exp(scores - scores.max(0))
        chances /= chances.sum(0)
        chosen = np.take_along_axis(chances, labels[np.newaxis], axis=0)[0]
        total = -(weights * np.log(chosen)).sum()
        losses.append(total / max(1, int(weights.sum())))
        found, known = scores.argmax(0) == 1, labels == 1
        seen = weights > 0
        objects = ndimage.label(known & seen)[1], ndimage.label(found)[1]
        counts += [
            (found & known & seen).sum(),
            ((found | known) & seen).sum(),
            *(objects if all(objects) else (0, 0)),
        ]
    assert len(losses) == 4
    np.testing.assert_allclose(curves.valid[0], np.mean(losses), rtol=1e-4)
    seen = [
        curves.counts[name][0, 0]
        for name in (
            "IoU intersection",
            "IoU union",
            "F1_segmentation object",
            "F1_segmentation prediction",
        )
    ]
    assert seen == counts.tolist()
    for kind in ("object", "prediction"):
        detected = curves.counts[f"F1_detection {kind}"][0, 0]
        assert detected == curves.counts[f"F1_segmentation {kind}"][0, 0]


def test_lines_come_in_the_order_of_the_original(trained):
    _, _, job = trained
    tile = ["intersection", "union", *2 * ["true", "prediction", "object"]]
    outputs = ["F1_detection", "F1_segmentation", "IoU", "loss_valid"]
    testing = ["Testing", *4 * tile, *outputs]
    step = ["step", "loss", "lr"]
    patterns = [
        (r"Per class (\w+)", r"\1"),
        (r"Test net output #\d: (\w+) = \S+( \(\* 1 = \S+ loss\))?$", r"\1"),
        (r"Train net output #\d: (loss) = \S+ \(\* 1 = \S+ loss\)$", r"\1"),
        (r"Iteration \d+ \(\S+ iter/s, \S+s/1 iters\), loss = \S+$", "step"),
        (r"Iteration \d+, lr = 0.0001$", "lr"),
        (r"Iteration \d+, (Testing) net \(#0\)$", r"\1"),
    ]
    found = []
    for line, (pattern, name) in itertools.product(job.err, patterns):
        match = re.search(pattern, line)
        if match:
            found.append(match.expand(name))
    assert found == [*testing, *3 * step, *testing, *3 * step, *testing]


def test_the_log_is_short(trained):
    _, _, job = trained
    start = next(n for n, line in enumerate(job.err) if "Iteration 0, Testing" in line)
    assert len("\n".join(job.err[:start])) < 100_000  # the original's: 120 kB
    assert len("\n".join(job.err[start:])) < 25_000
    assert not any(line.startswith(("W", "E", "F")) for line in job.err)


def test_the_last_snapshot_is_what_the_plugin_looks_for(trained, flat):
    client, _, _ = trained
    stem = f"{client.ident}-snapshot_iter_6"
    made = [name for name in names(client.folder) if "snapshot" in name]
    assert made[:2] == [f"{stem}.caffemodel.h5", f"{stem}.solverstate.h5"]
    with (
        h5py.File(flat.weights) as before,
        h5py.File(client.folder / f"{stem}.caffemodel.h5") as after,
    ):
        old, new = (
            {
                f"{layer}/{n}": values[()]
                for layer, group in file["data"].items()
                for n, values in group.items()
            }
            for file in (before, after)
        )
        assert {"loaddata", "create_deformation", "loss"} < set(after["data"])
    assert list(old) == list(new)
    moved = [np.abs(old[name] - new[name]).max() for name in old]
    assert max(moved) < 6 * 2 * 1.01e-4  # Adam's steps are no longer than its rate
    assert min(moved) > 0
    with h5py.File(client.folder / f"{stem}.solverstate.h5") as file:
        assert file["iter"][()].tolist() == [6]
        assert file["current_step"][()].tolist() == [0]
        assert file["learned_net"].asstr()[()].endswith(f"{stem}.caffemodel.h5")
        history = file["history"]
        assert sorted(history, key=int) == [str(n) for n in range(2 * len(old))]
        shapes = [history[str(n)].shape for n in range(2 * len(old))]
    assert shapes[: len(old)] == shapes[len(old) :]
    assert sorted(shapes) == sorted(2 * [values.shape for values in new.values()])


def test_the_finetuned_model_segments_after_its_files_are_gone(trained, flat):
    client, _, _ = trained
    weights = client.folder / "ft.caffemodel.h5"
    (client.folder / f"{client.ident}-snapshot_iter_6.caffemodel.h5").rename(weights)
    definition = replace(
        flat.definition,
        ident=f"flat-{client.ident}",
        model_prototxt=finetuning_net(flat.definition, "/gone/list.txt", "", TILE, 2),
    )
    model = write_modeldef(client.folder / "ft.modeldef.h5", definition)
    write_images(client.folder / f"{client.ident}.h5", definition, TRAIN[0])
    client.segment(model, weights, "-n_tiles", "1")
    scores = read_scores(client.folder / f"{client.ident}.h5")["score"]
    assert scores.shape == (1, 2, *SHAPE)


@pytest.mark.slow
def test_from_scratch_relative_to_the_working_directory(tmp_path, programs, flat):
    client = PluginClient(tmp_path, programs, relative=True)
    curves = client.prepare(flat.definition, [TRAIN], tile_in=TILE, iterations=2)
    assert client.usable()
    job = client.finetune(None, curves=curves)
    assert job.wait() == 0, job.log
    assert np.isfinite(curves.train[:2]).all()
    assert curves.drawn == 0
    assert f"{client.ident}-snapshot_iter_2.caffemodel.h5" in names(tmp_path)


@pytest.mark.slow
def test_several_classes_have_a_value_each(client, flat):
    classes = ("Background", "cell", "nucleus", "dirt")
    train = draw_cells(SHAPE, seed=1, classes=3)
    blank = [np.zeros_like(array) for array in draw_cells(TILE, seed=0)]
    curves = client.prepare(
        flat.definition, [train], [train, blank], tile_in=TILE, iterations=1,
        classes=classes,
    )  # fmt: skip
    job = client.finetune(flat.weights, curves=curves)
    assert job.wait() == 0, job.log
    assert curves.drawn == 2 * 3 * 3
    for name, values in curves.plots.items():
        found = [n for n in job.err if re.search(f"Test net output #.: {name} = ", n)]
        assert len(found) == 2 * 3
        assert values.shape == (3, 2)
    assert np.isfinite(curves.plots["IoU"]).all()
    unions = [line for line in job.err if "IoU - Per class union: " in line]
    assert len(unions) == 2 * (4 + 9)
    assert [line.partition("union: ")[2] for line in unions[4:13]] == 9 * ["0 0 0 "]
    hits = [n for n in job.err if "F1_detection - Per class true positive count" in n]
    assert [line.partition("count: ")[2] for line in hits[4:13]] == 9 * ["0 0 0 "]


@pytest.mark.slow
def test_volumes_of_two_channels_are_finetuned(client, volume):
    shape = (8, 20, 22)
    samples = [draw_cells(shape, seed=n, channels=2) for n in (1, 2)]
    curves = client.prepare(
        volume.definition, samples[:1], samples[1:], tile_in=(24, 36, 38), iterations=2
    )
    job = client.finetune(None, curves=curves)
    assert job.wait() == 0, job.log
    assert np.isfinite(curves.train[:2]).all()
    assert np.isfinite(curves.valid).all()


@pytest.mark.slow
def test_over_ssh(at_cluster, flat):
    curves = at_cluster.prepare(
        flat.definition, [TRAIN], [VALID], tile_in=TILE, iterations=1
    )
    job = at_cluster.finetune(flat.weights, curves=curves)
    assert job.wait() == 0, job.log
    assert job.out == [str(job.process.pid)]
    assert np.isfinite(curves.valid).all()
