"""Weights are stored in 16 bits without losing more than their last digits."""

import h5py
import numpy as np
import pytest

from pyunet.errors import DataError
from pyunet.zoo import half_precision
from tests.support.listed_models import write_threshold_net


def write(path, layers):
    with h5py.File(path, "w") as file:
        for name, array in layers.items():
            file[f"data/{name}"] = array
    return path


def test_every_number_keeps_eleven_bits(tmp_path):
    rng = np.random.default_rng(0)
    array = rng.normal(0, 0.05, (64, 64, 3, 3)).astype(np.float32)
    source = write(tmp_path / "a.h5", {"conv/0": array, "conv/1": array[:, 0, 0, 0]})
    out = half_precision(source, tmp_path / "b.caffemodel.h5")
    with h5py.File(out) as file:
        stored = file["data/conv/0"][()]
        assert set(file["data/conv"]) == {"0", "1"}
    assert stored.dtype == np.float16
    np.testing.assert_allclose(stored, array, rtol=2**-11, atol=2**-25)
    assert out.stat().st_size < 0.62 * source.stat().st_size


def test_layers_with_slashes_in_their_names_are_kept(tmp_path):
    source = write(tmp_path / "a.h5", {"inception/1x1/0": np.ones(3, np.float32)})
    with h5py.File(half_precision(source, tmp_path / "b.h5")) as file:
        assert file["data/inception/1x1/0"][()].tolist() == [1, 1, 1]


def test_a_binary_caffemodel_is_read_too(tmp_path):
    _, weights = write_threshold_net(tmp_path, channels=2)
    with h5py.File(half_precision(weights, tmp_path / "b.h5")) as file:
        assert file["data/score/0"].shape == (2, 2, 1, 1)
        assert file["data/score/1"][()].tolist() == [0.5, -0.5]


@pytest.mark.parametrize("value", [1e5, np.inf, np.nan])
def test_a_number_that_16_bits_cannot_hold_is_refused(tmp_path, value):
    source = write(tmp_path / "a.h5", {"conv/0": np.array([0, value], np.float32)})
    with pytest.raises(DataError, match=r"conv/0 has .*16 bits hold up to 65504"):
        half_precision(source, tmp_path / "b.h5")
    assert not (tmp_path / "b.h5").exists()


def test_what_holds_no_weights_is_refused(tmp_path):
    (tmp_path / "text").write_text("layer { }")
    (tmp_path / "empty").touch()
    for name, said in (("none", "no such file"), ("text", "no weights that can"),
                       ("empty", "holds no weights")):  # fmt: skip
        with pytest.raises(DataError, match=said):
            half_precision(tmp_path / name, tmp_path / "b.h5")
    with pytest.raises(DataError, match="holds no weights"):
        half_precision(write(tmp_path / "a.h5", {}), tmp_path / "b.h5")
