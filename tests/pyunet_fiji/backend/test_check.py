"""caffe_unet check_model_and_weights_h5."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from pyunet.errors import DataError
from pyunet_fiji.backend import check
from pyunet_fiji.backend.errors import CheckFailedError
from pyunet_fiji.backend.flags import Flags

UNET = Path(__file__).parents[2] / "reference" / "tiled" / "unet2d"
WEIGHTS = UNET / "weights.caffemodel.h5"
MODEL = str(UNET / "model.modeldef.h5")


@pytest.fixture
def weights(tmp_path):
    return shutil.copy(WEIGHTS, tmp_path / "w.caffemodel.h5")


@pytest.fixture
def model(tmp_path):
    return shutil.copy(MODEL, tmp_path / "m.modeldef.h5")


def ident_of_model():
    with h5py.File(MODEL) as file:
        value = file[".unet-ident"][()]
    return value.decode() if isinstance(value, bytes) else value.item().decode()


def set_ident(path, value):
    with h5py.File(path, "a") as file:
        file[".unet-ident"] = value


def run(model=MODEL, weights=WEIGHTS, **flags):
    return check.run(Flags(model=str(model), weights=str(weights), **flags))


@pytest.mark.parametrize("name", ["weights.caffemodel.h5", "weights.caffemodel"])
def test_a_model_and_its_weights_fit(name, said):
    assert run(weights=UNET / name) == 0
    lines = [line.partition("] ")[2] for line in said()]
    assert lines[:4] == [
        f"Checking model {MODEL} and weights {UNET / name}",
        "Use CPU.",
        f"Reading unet ID from '{MODEL}'",
        f"  unet ID (model) = '{ident_of_model()}'",
    ]
    assert lines[4:] == (
        [
            f"Reading unet ID from '{UNET / name}'",
            f"'{UNET / name}' does not contain '/.unet_ident'",
        ]
        if name.endswith(".h5")
        else []
    )


def test_equal_idents_are_enough_and_no_engine_is_loaded(weights, monkeypatch):
    set_ident(weights, np.bytes_(ident_of_model()))
    with h5py.File(weights, "a") as file:
        del file["data"]
    monkeypatch.setattr(check, "_run_net", None)
    assert run(weights=weights) == 0


def test_other_idents_are_a_failed_check(weights):
    set_ident(weights, np.bytes_("another"))
    with pytest.raises(
        CheckFailedError, match=r"^Unet IDs do not match. Check failed!"
    ):
        run(weights=weights)


def test_an_ident_that_is_no_text_is_status_1(weights, said):
    set_ident(weights, 7)
    assert run(weights=weights) == 1
    assert "unet-ident" in said()[-1]


def test_a_model_by_another_name_is_status_1(said):
    assert run(model="model.prototxt") == 1
    assert "no name of a .h5 file" in said()[-1]


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ({"model": ""}, "Need a model definition to check."),
        ({"weights": ""}, "Need model weights to check."),
    ],
)
def test_both_files_are_wanted(flags, wanted):
    with pytest.raises(CheckFailedError) as caught:
        run(**flags)
    assert str(caught.value) == wanted


@pytest.mark.parametrize("flag", ["model", "weights"])
def test_a_file_that_is_not_there_is_a_failed_check(flag, tmp_path):
    path = tmp_path / "none.h5"
    with pytest.raises(CheckFailedError, match=f"^Could not open '{path}'"):
        run(**{flag: path})


def test_a_model_without_ident_is_a_failed_check(model):
    with h5py.File(model, "a") as file:
        del file[".unet-ident"]
    with pytest.raises(CheckFailedError, match=r"^Could not open .*unet-ident"):
        run(model=model)


@pytest.mark.parametrize(
    "name",
    [
        "model_prototxt",
        "unet_param/input_blob_name",
        "unet_param/element_size_um",
        "unet_param/downsampleFactor",
        "unet_param/padInput",
        "unet_param/padOutput",
    ],
)
def test_a_model_without_what_is_needed_is_an_error_that_names_it(model, name):
    with h5py.File(model, "a") as file:
        del file[name]
    with pytest.raises(DataError, match=name):
        run(model=model)


def test_weights_of_another_net_are_the_engines_error(weights):
    with h5py.File(weights, "a") as file:
        del file["data/conv_score/0"]
        file["data/conv_score/0"] = np.zeros((2, 4, 3, 3), np.float32)
    with pytest.raises(ValueError, match="conv_score"):
        run(weights=weights)


def test_weights_for_other_channels_pass_with_a_warning(said):
    assert run(n_channels=3) == 0
    assert any("Warning" in line and "3 channel(s)" in line for line in said())


def test_no_channels_are_refused():
    with pytest.raises(CheckFailedError, match="n_channels is 0"):
        run(n_channels=0)
