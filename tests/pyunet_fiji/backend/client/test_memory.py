"""A GPU of little memory: tiles that fit, and what is said when none does.

The GPU is made believe, so that every machine has it: tiles of more than so many pixels
run out of memory, as those of torch do.
"""

import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest

from tests.support.plugin_client import PluginClient, PluginError
from tests.support.plugin_files import (
    read_scores,
    whole_scores,
    write_images,
    write_modeldef,
)
from tests.support.plugin_log import classify

GPU = """\
import math, os, sys
import caffe
class Net(caffe.Net):
    def forward(self):
        if math.prod(self.blobs["data3"].shape) > int(os.environ["MOST_PIXELS"]):
            raise caffe.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        return super().forward()
caffe.Net = Net
caffe.set_device = caffe.set_mode_gpu = lambda *number: None
caffe.device_name = lambda number: "small"
free = int(os.environ["FREE_MB"])
caffe.device_memory = lambda number: (free << 20, 4 << 30)
from pyunet_fiji.backend.main import main
main()
"""
SMALLEST = 44 * 44
SHAPE = (70, 66)


@pytest.fixture
def client(tmp_path, monkeypatch):
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "gpu.py").write_text(GPU)
    program = programs / "caffe_unet"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {programs}/gpu.py "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("FREE_MB", "2000")
    monkeypatch.setenv("MOST_PIXELS", "1000000")
    return PluginClient(tmp_path, programs, gpu="0")


@pytest.fixture
def images(client, flat):
    made = np.random.default_rng(1).random((2, 1, *SHAPE), np.float32)
    write_images(client.folder / f"{client.ident}.h5", flat.definition, made)
    return made


def expect(client, flat, images):
    found = read_scores(client.folder / f"{client.ident}.h5")["score"]
    wanted = whole_scores(flat.definition, flat.weights, images)["score"]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def with_table(client, flat):
    """Write the model with a table of pixels and megabytes."""
    model = write_modeldef(client.folder / "m.modeldef.h5", flat.definition)
    with h5py.File(model, "a") as file:
        file["unet_param/mapInputNumPxGPUMemMB"] = np.array(
            [[0, SMALLEST, 5000, 20000], [0, 300, 400, 3000]], np.int32
        )
    return model


@pytest.mark.slow
@pytest.mark.parametrize("gpu", ["1,0", "all"])
def test_free_memory_decides_where_no_option_does(client, flat, images, gpu):
    client.gpu = gpu
    progress = client.segment_by_macro(flat.model, flat.weights)
    assert progress.count == progress.total == 2  # all fits: one tile an image
    assert f"Use GPU with device ID {gpu[0] if gpu != 'all' else 0}" in client.job.log
    expect(client, flat, images)


@pytest.mark.slow
def test_little_free_memory_makes_small_tiles(client, flat, images, monkeypatch):
    monkeypatch.setenv("FREE_MB", "1")
    progress = client.segment_by_macro(flat.model, flat.weights)
    assert progress.count == progress.total > 2
    expect(client, flat, images)


@pytest.mark.slow
def test_megabytes_are_looked_up_in_the_models_table(client, flat, images):
    model = with_table(client, flat)
    progress = client.segment_by_macro(
        model, flat.weights, "-gpu_mem_available_MB", "500"
    )
    assert "Set memAvailPx: 5000 (based on map entry [5000, 400] from" in client.job.log
    assert progress.count == progress.total > 2
    expect(client, flat, images)


@pytest.mark.slow
def test_free_memory_is_looked_up_too(client, flat, images):
    progress = client.segment_by_macro(with_table(client, flat), flat.weights)
    assert "Set memAvailPx: 5000 (based on map entry [5000, 400] from" in client.job.log
    assert progress.count == progress.total > 2


@pytest.mark.slow
def test_megabytes_without_a_table_or_too_few_are_an_error(client, flat, images):
    for model, text in ((flat.model, "Could not load"), (with_table(client, flat), "")):
        with pytest.raises(PluginError) as raised:
            client.segment_by_macro(model, flat.weights, "-gpu_mem_available_MB", "200")
        assert "/unet_param/mapInputNumPxGPUMemMB" in raised.value.log
        assert text in raised.value.log


@pytest.mark.parametrize("tiling", ["-n_tiles 1", "-n_tiles 1x1", "-tile_size 84x84"])
def test_smaller_tiles_follow_where_memory_runs_out(
    client, flat, images, monkeypatch, tiling
):
    monkeypatch.setenv("MOST_PIXELS", "9000")
    progress = client.segment_by_macro(flat.model, flat.weights, *tiling.split())
    assert progress.count == progress.total > 2
    assert len(set(progress.seen)) == progress.count
    (warning, *_) = [line for line in client.job.err if line.startswith("W")]
    assert "out of memory with input tiles of" in warning
    expect(client, flat, images)


@pytest.mark.slow
def test_memory_for_no_tile_at_all_is_a_message(client, flat, images, monkeypatch):
    monkeypatch.setenv("MOST_PIXELS", str(SMALLEST - 1))
    before = (client.folder / f"{client.ident}.h5").read_bytes()
    with pytest.raises(PluginError) as raised:
        client.segment_by_macro(flat.model, flat.weights, "-n_tiles", "1")
    assert raised.value.args == (1,)
    assert client.job.out == []
    assert (client.folder / f"{client.ident}.h5").read_bytes() == before


@pytest.mark.slow
def test_memory_for_no_check_is_found_in_the_log(client, flat, monkeypatch):
    monkeypatch.setenv("MOST_PIXELS", str(SMALLEST - 1))
    job = client.check(flat.model, flat.weights)
    assert job.status != 0
    assert classify(job.log) == 1


@pytest.mark.slow
def test_several_options_are_an_error_on_a_gpu_too(client, flat, images):
    with pytest.raises(PluginError) as raised:
        client.segment_by_macro(
            flat.model, flat.weights, "-gpu_mem_available_MB", "9", "-n_tiles", "1"
        )
    assert "At most one of the alternative options" in raised.value.log


@pytest.mark.slow
def test_zero_padding_is_kept_by_smaller_tiles(client, flat, images, monkeypatch):
    monkeypatch.setenv("MOST_PIXELS", "9000")
    definition = replace(flat.definition, padding="zero")
    model = write_modeldef(client.folder / "m.modeldef.h5", definition)
    client.segment_by_macro(model, flat.weights, "-n_tiles", "1")
    wide = np.pad(images, [(0, 0), (0, 0), (40, 40), (40, 40)])
    wanted = whole_scores(definition, flat.weights, wide)["score"]
    found = read_scores(client.folder / f"{client.ident}.h5")["score"]
    inside = wanted[..., 40 : 40 + SHAPE[0], 40 : 40 + SHAPE[1]]
    np.testing.assert_allclose(found, inside, rtol=1e-4, atol=1e-5)
