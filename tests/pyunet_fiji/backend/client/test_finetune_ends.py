"""Finetunings that are cancelled, resumed or fail."""

import resource
import signal
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.support.files import names
from tests.support.marks import slow
from tests.support.plugin_client import PluginClient
from tests.support.plugin_files import draw_cells
from tests.support.plugin_log import Curves, classify

TILE = (44, 44)  # 4x4 at the output
TRAIN = draw_cells((50, 44), seed=1)
VALID = draw_cells((8, 8), seed=2)
LONG = 100_000


def start(client, setup, *, iterations=LONG, weights=True, **settings):
    """Start a finetuning; give the job and its curves."""
    curves = client.prepare(
        setup.definition, [TRAIN], [VALID], tile_in=TILE, iterations=iterations,
        interval=50, **settings,
    )  # fmt: skip
    return client.finetune(setup.weights if weights else None, curves=curves), curves


def refused(job):
    """Text of the fatal line of a finetuning that fails."""
    assert job.wait() != 0
    assert job.out == []
    assert "Traceback" not in job.log
    lines = [line for line in job.err if line.startswith("F")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.slow
@pytest.mark.parametrize("weights", [True, False])
def test_java_8_cancels_and_resumes(tmp_path, programs, flat, weights):
    client = PluginClient(tmp_path, programs, java=8)
    job, curves = start(client, flat, weights=weights)
    job.wait_for("Iteration 3 ")
    assert client.cancel_finetuning(job) == 0
    reached = job.snapshot_iteration
    stem = f"{tmp_path}/{client.ident}-snapshot_iter_{reached}"
    assert job.snapshot == f"{stem}.caffemodel.h5"
    assert [line.partition("] ")[2] for line in job.err[-4:]] == [
        f"Snapshotting to HDF5 file {stem}.caffemodel.h5",
        f"Snapshotting solver state to HDF5 file {stem}.solverstate.h5",
        "Optimization stopped early.",
        "Optimization Done.",
    ]
    assert np.isfinite(curves.train[:3]).all()
    more, interval = reached + 3, 50
    solver = tmp_path / f"{client.ident}-solver.prototxt"
    text = solver.read_text()
    solver.write_text(text.replace(f": {LONG}", f": {more}"))
    again = Curves(1, more, interval)
    resumed = client.resume(job, curves=again)
    words = ["-solver", str(solver), "-sigint_effect", "stop"]
    place = 2 if weights else 4
    words[place:place] = ["-snapshot", f"{stem}.solverstate.h5"]
    assert client.calls == ["train", *words]
    assert resumed.wait() == 0, resumed.log
    assert np.isfinite(again.train[reached:more]).all()
    assert np.isnan(again.train[:reached]).all()
    final = f"{client.ident}-snapshot_iter_{more}"
    assert {f"{final}.caffemodel.h5", f"{final}.solverstate.h5"} <= set(names(tmp_path))
    with h5py.File(tmp_path / f"{final}.solverstate.h5") as file:
        assert file["iter"][()].tolist() == [more]


def test_java_17_cancels_and_deletes_the_files_at_once(client, flat):
    job, _ = start(client, flat)
    job.wait_for("Iteration 3 ")
    assert client.cancel_finetuning(job) == 0
    stem = job.snapshot.removesuffix(".caffemodel.h5")
    assert names(client.folder)[:2] == [
        Path(f"{stem}.{kind}.h5").name for kind in ("caffemodel", "solverstate")
    ]
    assert all("-snapshot_iter_" in name for name in names(client.folder))


@pytest.mark.slow
def test_over_ssh_a_command_of_its_own_cancels(at_cluster, flat):
    job, _ = start(at_cluster, flat)
    job.wait_for("Iteration 3 ")
    assert at_cluster.cancel_finetuning(job) == 0
    assert job.snapshot_iteration > 3
    assert job.snapshot in names(at_cluster.folder)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", "Initializing solver", "Starting Optimization"])
def test_a_cancel_while_the_program_starts_leaves_nothing_or_a_whole_snapshot(
    tmp_path, programs, flat, text
):
    client = PluginClient(tmp_path, programs, java=8)
    job, _ = start(client, flat)
    if text:
        job.wait_for(text)
    status = client.cancel_finetuning(job)
    written = [name for name in names(tmp_path) if name.endswith(".caffemodel.h5")]
    assert [job.snapshot] == ([f"{tmp_path}/{name}" for name in written] or [""])
    if text:
        assert status == 0
        assert job.err[-1].endswith("] Optimization Done.")
    else:  # Python itself may not yet be there: 1 or 130 as well
        assert status in (0, 1, 130)


@pytest.mark.slow
@pytest.mark.parametrize("java", [8, 17])
def test_readers_may_leave_with_a_cancel(tmp_path, programs, flat, java):
    client = PluginClient(tmp_path, programs, java=java)
    job, _ = start(client, flat)
    job.wait_for("Iteration 3 ")
    job.leave()
    assert client.cancel_finetuning(job) == 0
    assert any(name.endswith(".caffemodel.h5") for name in names(tmp_path))


@pytest.mark.slow
def test_a_snapshot_prefix_that_cannot_be_written_is_found_at_the_start(client, flat):
    curves = client.prepare(flat.definition, [TRAIN], tile_in=TILE, iterations=2)
    solver = client.folder / f"{client.ident}-solver.prototxt"
    solver.write_text(solver.read_text().replace("-snapshot", "-model.prototxt/x"))
    job = client.finetune(flat.weights, curves=curves)
    assert "-model.prototxt/x" in refused(job)
    assert not any("Iteration 0" in line for line in job.err)


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        slow("-trainfilelist.txt", "-trainfilelist.txt"),
        slow("-validfilelist.txt", "-validfilelist.txt"),
        ("-model.prototxt", "-model.prototxt"),
        slow("-solver.prototxt", "-solver.prototxt"),
        slow("_train_0.h5", "_train_0.h5"),
        slow("_valid_0_3.h5", "_valid_0_3.h5"),
    ],
)
def test_a_file_that_is_gone_is_named(client, flat, suffix, text):
    curves = client.prepare(
        flat.definition, [TRAIN], [VALID], tile_in=TILE, iterations=2
    )
    (client.folder / f"{client.ident}{suffix}").unlink()
    assert text in refused(client.finetune(flat.weights, curves=curves))


@pytest.mark.slow
@pytest.mark.parametrize("state", ["garbage", "cut", "no weights2"])
def test_an_unreadable_training_file_is_named(client, flat, state):
    curves = client.prepare(flat.definition, [TRAIN], tile_in=TILE, iterations=2)
    file = client.folder / f"{client.ident}_train_0.h5"
    if state == "no weights2":
        with h5py.File(file, "a") as opened:
            del opened["weights2"]
    else:
        whole = file.read_bytes()
        file.write_bytes(b"no HDF5" if state == "garbage" else whole[:3000])
    text = refused(client.finetune(flat.weights, curves=curves))
    assert file.name in text
    assert "weights2" in text or state != "no weights2"


@pytest.mark.slow
@pytest.mark.parametrize("state", ["gone", "garbage", "another dimension"])
def test_weights_that_do_not_do_end_the_job(client, flat, volume, state):
    curves = client.prepare(flat.definition, [TRAIN], tile_in=TILE, iterations=2)
    weights = client.folder / "w.caffemodel.h5"
    if state == "garbage":
        weights.write_bytes(b"no HDF5")
    if state == "another dimension":
        weights = volume.weights
    text = refused(client.finetune(weights, curves=curves))
    assert weights.name in text or "hape" in text


def test_weights_and_a_snapshot_exclude_each_other(client, flat):
    job = client.train(
        "-solver", "s", "-weights", "w", "-snapshot", "s", curves=Curves(1, 1, 1)
    )
    assert (
        "Give a snapshot to resume training or weights to finetune but not both."
        in refused(job)
    )


@pytest.mark.slow
def test_a_damaged_solver_state_ends_a_resume(client, flat):
    curves = client.prepare(flat.definition, [TRAIN], tile_in=TILE, iterations=2)
    job = client.finetune(None, curves=curves)
    assert job.wait() == 0
    state = client.folder / f"{client.ident}-snapshot_iter_2.solverstate.h5"
    with h5py.File(state, "a") as file:
        del file["learned_net"]
        file["learned_net"] = "gone.caffemodel.h5"
    job.snapshot = str(state).replace("solverstate", "caffemodel")
    assert "gone.caffemodel.h5" in refused(client.resume(job, curves=curves))


@pytest.mark.slow
def test_a_full_disk_is_no_success(tmp_path, programs, flat):
    def small_files_only():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))

    client = PluginClient(tmp_path, programs, preexec_fn=small_files_only)
    job, _ = start(client, flat, iterations=2)
    text = refused(job)
    assert "cannot be written" in text
    assert not any("snapshot_iter" in name for name in names(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("gpu", ["7", "all"])
def test_a_gpu_that_is_not_there_is_found_in_the_log(
    tmp_path, programs, flat, monkeypatch, gpu
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    client = PluginClient(tmp_path, programs, gpu=gpu)
    job, _ = start(client, flat)
    refused(job)
    assert classify(job.log) == 2


@pytest.mark.slow
def test_a_loss_that_is_no_number_is_written_as_java_reads_it(client, flat):
    bad = [np.full_like(TRAIN[0], np.nan), *TRAIN[1:]]
    curves = client.prepare(flat.definition, [bad], tile_in=TILE, iterations=2)
    job = client.finetune(flat.weights, curves=curves)
    assert job.wait() == 0
    assert [n for n in job.err if "loss = NaN" in n and ", loss" in n][1:]
    assert np.isnan(curves.train).all()


def test_a_solver_that_does_not_parse_is_named_with_its_line(client, flat):
    broken = replace(flat.definition, solver_prototxt="display: 1")
    curves = client.prepare(broken, [TRAIN], tile_in=TILE, iterations=2)
    solver = client.folder / f"{client.ident}-solver.prototxt"
    lines = solver.read_text().count("\n")
    with solver.open("a") as file:
        file.write("no_field: 1\n")
    text = refused(client.finetune(flat.weights, curves=curves))
    assert f"{solver}:{lines + 1}:" in text
    assert "no_field" in text
