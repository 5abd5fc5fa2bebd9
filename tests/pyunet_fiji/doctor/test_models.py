import h5py
import pytest

from pyunet_fiji.doctor import models
from pyunet_fiji.doctor.models import Question
from pyunet_fiji.doctor.places import Answer, terminal
from pyunet_fiji.modeldef import write_modeldef
from tests.support import modeldefs
from tests.support.fiji_programs import levels, only, write


@pytest.fixture
def pair(tmp_path):
    """A model, and weights that fit it."""
    write_modeldef(tmp_path / "m.modeldef.h5", modeldefs.threshold())
    weights = modeldefs.threshold_weights(tmp_path / "w.caffemodel.h5")
    return Question(tmp_path / "m.modeldef.h5", str(weights))


def check(question):
    from pathlib import Path

    return list(models.check(question.model, Path(question.weights)))


def test_a_model_with_its_weights_has_no_problem(pair):
    assert levels(check(pair), "problem") == []
    assert "nothing in the way of segmentation" in check(pair)[-1].what
    assert list(models.exchanged(pair)) == []
    assert list(models.check_channels(pair)) == []


def test_a_model_alone_is_checked(pair):
    assert levels(models.check(pair.model), "problem") == []


def test_a_model_that_is_not_there_is_a_problem(tmp_path):
    (found,) = models.check(tmp_path / "none.h5")
    assert found.level == "problem"


def test_weights_that_are_not_there_are_a_problem(pair, tmp_path):
    question = Question(pair.model, str(tmp_path / "none.h5"))
    assert "none.h5" in only(check(question), "problem").what
    assert list(models.check_channels(question)) == []


def test_what_the_plugin_misses_is_one_problem_that_counts_the_others(pair):
    with h5py.File(pair.model, "a") as file:
        del file["solver_prototxt"], file["unet_param/name"]
    found = only(check(pair), "problem")
    assert "(the Fiji plugin refuses)" in found.what
    assert "1 more of these: pyunet modeldef check" in found.what


def test_weights_of_another_model_are_a_problem(pair):
    with h5py.File(pair.weights, "a") as file:
        file[".unet-ident"] = "stranger"
    assert any("stranger" in what for what in levels(check(pair), "problem"))


def test_a_model_given_as_weights_is_a_problem(pair):
    found = only(models.exchanged(Question(pair.model, str(pair.model))), "problem")
    assert "is a model definition, no weights" in found.what


def test_weights_given_as_the_model_are_a_problem(pair):
    from pathlib import Path

    question = Question(Path(pair.weights), pair.weights)
    assert "is weights, no model" in only(models.exchanged(question), "problem").what


def test_a_file_that_is_no_hdf5_holds_nothing(pair, tmp_path):
    (tmp_path / "w.caffemodel").write_bytes(b"\n\x05small")
    question = Question(pair.model, str(tmp_path / "w.caffemodel"))
    assert list(models.exchanged(question)) == []
    assert list(models.check_channels(question)) == []


def test_weights_for_other_channels_are_a_problem(pair):
    question = Question(pair.model, pair.weights, channels=3)
    found = only(models.check_channels(question), "problem")
    assert "is for images of 1 channels; with 3" in found.what
    assert "conv_data3-score" in found.what


def test_without_a_layer_to_compare_channels_are_not_judged(pair, tmp_path):
    text = {"model_prototxt": "layer {"}
    write_modeldef(tmp_path / "b.modeldef.h5", modeldefs.threshold(**text))
    question = Question(tmp_path / "b.modeldef.h5", pair.weights, channels=3)
    assert models.first_layer(question.model) == ""
    assert list(models.check_channels(question)) == []


def test_the_plugins_own_arguments_are_given(pair, tmp_path):
    fake = write(tmp_path / "caffe_unet", f'echo "$@" > {tmp_path}/said')
    question = Question(pair.model, "w.h5", channels=3, gpu="all")
    (found,) = models.ask(question, str(fake), terminal())
    assert found.level == "ok"
    assert (tmp_path / "said").read_text() == (
        f"check_model_and_weights_h5 -model {pair.model} -weights w.h5 "
        "-n_channels 3 -gpu all\n"
    )
    assert "-gpu" not in Question(pair.model, "w").words("m")


def test_without_caffe_unet_nothing_is_asked(pair, tmp_path):
    (found,) = models.ask(pair, str(tmp_path / "none"), terminal())
    assert found.level == "problem"
    assert found.mend.startswith("give the plugin's dialog the path")


@pytest.mark.parametrize(
    ("stderr", "said", "mend"),
    [
        ("I1122 x] a\nF1122 10:00 1 x.cpp:1] Check failed: IDs do not match",
         "Check failed: IDs do not match", "weights that belong"),
        ("F1122 x] Check failed: error == cudaSuccess (2 vs. 0) out of memory",
         "out of memory", "free the GPU"),
        ("F1122 x] invalid device ordinal", "invalid device ordinal", "GPU that is"),
        ("ERROR: unknown command line flag 'n_channels'", "'n_channels'",
         "this is not caffe_unet"),
        ("Segmentation fault", "Segmentation fault", "weights"),
        ("", "no reason", "weights"),
    ],
)  # fmt: skip
def test_a_refusal_is_told_as_the_plugin_tells_it(stderr, said, mend):
    found = models.judged(Answer(134, "", stderr, 0.1), "m and w", "caffe_unet")
    assert found.level == "problem"
    assert said in found.what
    assert mend in found.mend


def test_a_check_that_does_not_end_is_a_problem():
    found = models.judged(Answer(None, "", "", 60), "m and w", "caffe_unet")
    assert found.what.endswith("does not end")
