"""Segmentations that fail or are cancelled leave nothing that looks like a result."""

import resource
import signal

import h5py
import numpy as np
import pytest

from tests.support.files import names
from tests.support.plugin_client import PluginClient, PluginError
from tests.support.plugin_files import write_images
from tests.support.plugin_log import Progress, classify

LONG = ("-tile_size", "4x4")  # 2500 tiles


def prepare(client, definition, *shape):
    """Write an image; give its path and what the file holds."""
    file = client.folder / f"{client.ident}.h5"
    write_images(file, definition, np.random.default_rng(1).random(shape))
    return file, file.read_bytes()


def refused(client, setup, *tiling):
    """Text of the fatal line of a segmentation that fails."""
    with pytest.raises(PluginError) as raised:
        client.segment_by_macro(setup.model, setup.weights, *tiling)
    assert raised.value.args == ("Unknown caffe error.",)
    assert client.job.status != 1
    assert "Traceback" not in raised.value.log
    (line,) = [n for n in raised.value.log.splitlines() if n.startswith("F")]
    return line


def test_a_check_that_fails_ends_a_job_on_this_machine(client, flat):
    with pytest.raises(PluginError, match="Model/Weight check failed"):
        client.segment(flat.model, client.folder / "gone.h5", "-n_tiles", "1")


def test_over_ssh_the_cause_of_a_failed_check_is_looked_for(at_cluster, flat):
    with pytest.raises(PluginError, match="Unknown caffe error"):
        at_cluster.segment(flat.model, "gone.h5", "-n_tiles", "1")


@pytest.mark.parametrize(
    ("tiling", "text"),
    [
        ("-tile_size 4x4x4", "2 dimensions"),
        ("-n_tiles 1x1x1", "2 dimensions"),
        ("-mem_available_px 1935", "smallest input tile"),
        ("-n_tiles 0", "'n_tiles' is 0"),
        ("-tile_size 0x0", "'tile_size' is 0x0"),
    ],
)
def test_a_tiling_that_does_not_suit_the_model_is_named(client, flat, tiling, text):
    file, before = prepare(client, flat.definition, 1, 1, 9, 9)
    assert text in refused(client, flat, *tiling.split())
    assert file.read_bytes() == before


def test_volumes_have_no_single_number_of_tiles(client, volume):
    prepare(client, volume.definition, 1, 1, 4, 9, 9)
    text = refused(client, volume, "-n_tiles", "4")
    assert "only supported for 2D models" in text


def test_images_of_another_dimension_are_named(client, flat):
    prepare(client, flat.definition, 1, 1, 4, 9, 9)
    text = refused(client, flat, "-n_tiles", "1")
    assert "Model requires 2-D data, but the given input blob is3-D." in text


def test_a_missing_dataset_is_named(client, flat):
    with h5py.File(client.folder / f"{client.ident}.h5", "w") as file:
        file["image"] = np.zeros((1, 1, 9, 9))
    text = refused(client, flat, "-n_tiles", "1")
    assert "'data'" in text
    assert "image" in text


@pytest.mark.parametrize("state", ["gone", "garbage", "cut"])
def test_an_unreadable_image_is_named(client, flat, state):
    file, before = prepare(client, flat.definition, 1, 1, 99, 99)
    file.write_bytes(b"no HDF5" if state == "garbage" else before[:9000])
    if state == "gone":
        file.unlink()
    text = refused(client, flat, "-n_tiles", "1")
    assert str(file) in text
    assert names(client.folder) == ([] if state == "gone" else [file.name])


@pytest.mark.slow
def test_weights_that_are_gone_end_a_segmentation(client, flat):
    file, before = prepare(client, flat.definition, 1, 1, 9, 9)
    with pytest.raises(PluginError) as raised:
        client.segment_by_macro(flat.model, "gone.caffemodel.h5", "-n_tiles", "1")
    assert "gone.caffemodel.h5" in raised.value.log
    assert file.read_bytes() == before


def test_a_folder_that_is_not_there_is_found_before_the_work(client, flat):
    file, before = prepare(client, flat.definition, 1, 1, 200, 200)
    target = client.folder / "gone" / "out.h5"
    job = client.unet("tiled_predict", "-infileH5", file, "-outfileH5", target,
                      "-model", flat.model, *LONG)  # fmt: skip
    assert job.status != 0
    assert f"Failed to create or reopen HDF5 file{target}" in job.log
    assert job.out == []
    assert file.read_bytes() == before


@pytest.mark.slow
def test_a_full_disk_leaves_the_images(tmp_path, programs, flat):
    def small_files_only():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))

    client = PluginClient(tmp_path, programs, preexec_fn=small_files_only)
    file, before = prepare(client, flat.definition, 1, 1, 100, 100)
    text = refused(client, flat, "-tile_size", "100x100")
    assert f"Failed to create or reopen HDF5 file{file}" in text
    assert file.read_bytes() == before
    assert names(tmp_path) == [file.name]


@pytest.mark.slow
def test_a_gpu_that_is_not_there_is_a_message(tmp_path, programs, flat, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    client = PluginClient(tmp_path, programs, gpu="7")
    file, before = prepare(client, flat.definition, 1, 1, 9, 9)
    with pytest.raises(PluginError) as raised:
        client.segment_by_macro(
            flat.model, flat.weights, "-gpu_mem_available_MB", "4000"
        )
    assert raised.value.args == (2,)
    assert file.read_bytes() == before


def test_java_17_cancels_by_sigterm_and_deletes_the_image_at_once(client, flat):
    prepare(client, flat.definition, 1, 1, 200, 200)
    job = client.predict(flat.model, flat.weights, *LONG, progress=Progress())
    job.wait_for("tile 9/2500")
    assert client.cancel_segmentation(job) == 143
    assert names(client.folder) == []


@pytest.mark.slow
def test_java_8_cancels_by_sigint(tmp_path, programs, flat):
    client = PluginClient(tmp_path, programs, java=8)
    prepare(client, flat.definition, 1, 1, 200, 200)
    job = client.predict(flat.model, flat.weights, *LONG, progress=Progress())
    job.wait_for("tile 9/2500")
    assert client.cancel_segmentation(job) == 130
    assert names(tmp_path) == []


@pytest.mark.slow
def test_over_ssh_a_command_of_its_own_cancels(at_cluster, flat):
    prepare(at_cluster, flat.definition, 1, 1, 200, 200)
    job = at_cluster.predict(flat.model, flat.weights, *LONG, progress=Progress())
    job.wait_for("tile 9/2500")
    assert at_cluster.cancel_segmentation(job) == -1
    assert names(at_cluster.folder) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_the_images_as_they_were(client, flat, number):
    file, before = prepare(client, flat.definition, 1, 1, 200, 200)
    job = client.predict(flat.model, flat.weights, *LONG, progress=Progress())
    job.wait_for("tile 9/2500")
    job.process.send_signal(number)
    assert job.wait() == 128 + number
    assert file.read_bytes() == before
    assert names(client.folder) == [file.name]


@pytest.mark.slow
def test_a_result_whose_image_was_deleted_is_not_written(client, flat):
    file, _ = prepare(client, flat.definition, 1, 1, 100, 100)
    job = client.predict(flat.model, flat.weights, *LONG, progress=Progress())
    job.wait_for("tile 9/625")
    file.unlink()
    assert job.wait() != 0
    assert classify(job.log) == "Unknown caffe error."
    assert names(client.folder) == []
