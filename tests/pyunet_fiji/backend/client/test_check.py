"""Whether a model and weights fit together: the call before segmenting, finetuning."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from tests.support.plugin_client import PluginClient
from tests.support.plugin_files import write_images, write_modeldef
from tests.support.plugin_log import classify


def weights_of(path, ident):
    """Write weights that hold nothing but an ident."""
    with h5py.File(path, "w") as file:
        if ident is not None:
            file[".unet-ident"] = ident
    return path


def fatal(job):
    """Text of the only fatal line."""
    assert job.status not in (0, 1)
    assert job.out == []
    assert "Traceback" not in job.log
    (line,) = [line for line in job.err if line.startswith("F")]
    return line


@pytest.mark.slow
def test_weights_without_an_ident_are_tried(client, flat):
    job = client.check(flat.model, flat.weights)
    assert job.status == 0
    texts = [line.partition("] ")[2] for line in job.err]
    assert texts[:6] == [
        f"Checking model {flat.model} and weights {flat.weights}",
        "Use CPU.",
        f"Reading unet ID from '{flat.model}'",
        "  unet ID (model) = 'flat'",
        f"Reading unet ID from '{flat.weights}'",
        f"'{flat.weights}' does not contain '/.unet_ident'",
    ]
    assert job.out == []
    assert len(job.log) < 5000


@pytest.mark.slow
def test_a_model_of_volumes_is_checked(client, volume):
    assert client.check(volume.model, volume.weights).status == 0


def test_over_ssh_paths_are_quoted(at_cluster, flat):
    folder = at_cluster.folder / "with a blank"
    folder.mkdir()
    model = write_modeldef(folder / "m.modeldef.h5", flat.definition)
    weights = weights_of(folder / "w.caffemodel.h5", "flat")
    assert at_cluster.usable()
    assert at_cluster.check(model, weights).status == 0


def test_equal_idents_are_enough(client, flat):
    weights = weights_of(client.folder / "w.caffemodel.h5", "flat")
    assert client.check(flat.model, weights).status == 0


def test_weights_of_another_model_do_not_pass(client, flat):
    weights = weights_of(client.folder / "w.caffemodel.h5", "other")
    text = fatal(client.check(flat.model, weights))
    assert "Unet IDs do not match. Check failed!" in text


@pytest.mark.slow
def test_one_channel_weights_pass_for_colour_images_with_a_warning(client, flat):
    job = client.check(flat.model, flat.weights, channels=3)
    assert job.status == 0
    (warning,) = [line for line in job.err if "] Warning: " in line]
    assert warning.startswith("W")
    assert "weights of layer 'conv_d0a-b'" in warning
    write_images(
        client.folder / f"{client.ident}.h5", flat.definition, np.zeros((1, 3, 9, 9))
    )
    client.segment_by_macro(flat.model, flat.weights, "-n_tiles", "1")
    assert "results are wrong, and differ from run to run" in client.job.log


@pytest.mark.slow
def test_weights_for_another_dimension_do_not_pass(client, flat, volume):
    text = fatal(client.check(flat.model, volume.weights))
    assert "Shape" in text or "shape" in text


def test_weights_that_miss_a_layers_values_do_not_pass(client, flat):
    weights = client.folder / "w.caffemodel.h5"
    weights.write_bytes(flat.weights.read_bytes())
    with h5py.File(weights, "a") as file:
        del file["data/conv_u0d-score/1"]
    assert "conv_u0d-score" in fatal(client.check(flat.model, weights))


@pytest.mark.parametrize("what", ["model", "weights"])
@pytest.mark.parametrize("state", ["gone", "garbage", "cut"])
def test_an_unreadable_file_is_named(client, flat, what, state):
    files = {"model": flat.model, "weights": flat.weights}
    bad = client.folder / "bad.h5"
    if state != "gone":
        whole = files[what].read_bytes()
        bad.write_bytes(b"no HDF5" if state == "garbage" else whole[:2000])
    files[what] = bad
    text = fatal(client.check(*files.values()))
    assert f"Could not open '{bad}'" in text


@pytest.mark.parametrize(
    "name",
    [
        ".unet-ident",
        "model_prototxt",
        "unet_param/input_blob_name",
        "unet_param/element_size_um",
        "unet_param/downsampleFactor",
        "unet_param/padInput",
    ],
)
def test_a_missing_dataset_of_the_model_is_named(client, flat, name):
    model = write_modeldef(client.folder / "m.modeldef.h5", flat.definition)
    with h5py.File(model, "a") as file:
        del file[name]
    text = fatal(client.check(model, flat.weights))
    assert name in text
    assert str(model) in text


def test_a_model_with_another_ending_has_status_1(client, flat):
    model = client.folder / "m.modeldef"
    model.write_bytes(flat.model.read_bytes())
    assert client.check(model, flat.weights).status == 1


def test_a_net_that_does_not_parse_is_said_so(client, flat):
    broken = replace(flat.definition, model_prototxt="layer { nme: 'x' }")
    model = write_modeldef(client.folder / "m.modeldef.h5", broken)
    text = fatal(client.check(model, flat.weights))
    assert "Could not parse prototxt" in text
    assert "nme" in text


@pytest.mark.slow
def test_the_training_list_of_a_finetuned_model_may_be_gone(client, flat):
    text = flat.definition.model_prototxt.replace("input_files.txt", "/gone/list.txt")
    definition = replace(flat.definition, model_prototxt=text)
    model = write_modeldef(client.folder / "m.modeldef.h5", definition)
    assert client.check(model, flat.weights).status == 0


@pytest.mark.slow
@pytest.mark.parametrize(("gpu", "remote"), [("7", False), ("all", True)])
def test_a_gpu_that_is_not_there_is_found_in_the_log(
    tmp_path, programs, flat, monkeypatch, gpu, remote
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    client = PluginClient(tmp_path, programs, gpu=gpu, remote=remote)
    job = client.check(flat.model, flat.weights)
    assert job.status not in (0, 1)
    assert classify(job.log) == 2
