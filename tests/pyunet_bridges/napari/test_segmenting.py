"""What a layer holds becomes images of a net, and results layers again."""

import numpy as np
import pytest

from pyunet.errors import DataError
from pyunet_bridges.napari.segmenting import (
    FILES,
    Choice,
    load_choice,
    model_choices,
    pixel_size_um,
    segment_steps,
)
from pyunet_fiji.modeldef import write_modeldef
from tests.support import modeldefs


def run(steps):
    """Carry out steps; give what was said and what was found."""
    said = []
    while True:
        try:
            said.append(next(steps))
        except StopIteration as end:
            return said, end.value


@pytest.fixture
def threshold(tmp_path):
    """A model definition that calls class 1 what is brighter than a half."""

    def load(**how):
        write_modeldef(tmp_path / "t.modeldef.h5", modeldefs.threshold(**how))
        axes = how.get("axes", 2)
        channels = how.get("channels", 1)
        modeldefs.threshold_weights(
            tmp_path / "t.caffemodel.h5", axes=axes, channels=channels
        )
        return load_choice(
            Choice("", tmp_path / "t.modeldef.h5", tmp_path / "t.caffemodel.h5")
        )

    return load


def test_axes_before_y_and_x_are_kept(threshold):
    array = np.random.default_rng(0).random((2, 3, 20, 24))
    said, found = run(segment_steps(array, threshold(), scores=True))
    assert said == [(number, 6) for number in range(7)]
    assert found.labels.shape == array.shape
    assert found.labels.dtype == np.uint8
    assert found.scores.shape == (2, *array.shape)
    np.testing.assert_array_equal(
        found.labels, found.scores[1] > found.scores[0]
    )  # each slice is stretched to 0..1 by the definition
    assert found.labels.mean() == pytest.approx(0.5, abs=0.05)


def test_a_net_of_volumes_takes_the_last_three_axes(threshold):
    array = np.random.default_rng(0).random((2, 6, 20, 24))
    said, found = run(segment_steps(array, threshold(axes=3)))
    assert said[-1] == (2, 2)
    assert found.labels.shape == array.shape
    assert found.scores is None
    with pytest.raises(DataError, match="2 axes; the net takes volumes of 3"):
        run(segment_steps(array[0, 0], threshold(axes=3)))


def test_colours_are_channels_and_transparency_is_left_out(threshold, tmp_path):
    import h5py

    model_array = np.zeros((20, 24, 4))
    model_array[:10, :, 0] = 1
    write_modeldef(tmp_path / "t.modeldef.h5", modeldefs.threshold())
    modeldefs.threshold_weights(tmp_path / "t.caffemodel.h5", channels=3, border=0.2)
    with h5py.File(tmp_path / "t.caffemodel.h5") as file:
        assert file["data/conv_data3-score/0"].shape[1] == 3
    model = load_choice(
        Choice("", tmp_path / "t.modeldef.h5", tmp_path / "t.caffemodel.h5")
    )
    _, found = run(segment_steps(model_array, model, rgb=True))
    np.testing.assert_array_equal(found.labels, model_array[..., 0] > 0)


def test_a_pixel_size_reaches_the_model(threshold):
    array = np.random.default_rng(0).random((20, 24))
    model = threshold(element_size_um=(1.0, 1.0))
    _, as_it_is = run(segment_steps(array, model))
    _, larger = run(segment_steps(array, model, pixel_size_um=[0.25, 0.25]))
    assert larger.labels.shape == array.shape
    assert (larger.labels != as_it_is.labels).any()


@pytest.mark.parametrize(
    ("scale", "units", "wanted"),
    [
        ([0.5, 0.25], ["um", "um"], [0.5, 0.25]),
        ([2.0, 250.0, 250.0], ["um", "nm", "nm"], [2.0, 0.25, 0.25]),
        ([1.0, 1.0], ["pixel", "pixel"], None),
        ([1.0, 1.0], ["um", "pixel"], None),
    ],
)
def test_units_of_length_become_micrometres(scale, units, wanted):
    pytest.importorskip("pint")
    assert pixel_size_um(scale, units) == wanted


def test_choices_are_the_models_that_can_be_had_and_files():
    texts = dict(model_choices())
    assert texts["from files"] == FILES
    assert texts["phseg_v5 (to be fetched)"] == "phseg_v5"
    assert "caffemodels" not in texts.values()  # a collection, no model


@pytest.mark.parametrize("choice", [Choice(), Choice("", "net")])
def test_a_choice_without_a_file_is_refused(choice):
    from pathlib import Path

    whole = Choice("", Path(choice.net))
    with pytest.raises(DataError, match="choose a file, or a model by its name"):
        load_choice(whole)
