"""A user's own model is copied and known by its name from then on."""

import pytest

from pyunet.errors import DataError
from pyunet.zoo.adding import add_model, register
from pyunet.zoo.fetching import files_of, verify
from pyunet.zoo.manifest import Input, find_entry, user_manifest
from tests.support.listed_models import table, write_threshold_net

TABLE = {"what": "cells", "classes": ["no", "yes"], "input": {"pixel_size_um": 0.5}}


@pytest.fixture
def own(listed, tmp_path):
    return write_threshold_net(tmp_path / "own")


def test_the_copy_stays_when_the_original_goes(own, cache):
    deploy, weights = own
    data, text = weights.read_bytes(), deploy.read_text()
    entry = add_model("mine", weights, deploy, TABLE)
    weights.unlink()
    deploy.unlink()
    assert find_entry("mine") == entry
    assert entry.input == Input(pixel_size_um=0.5)
    files = files_of(find_entry("mine"))
    assert files.weights == cache / "mine" / "mine.caffemodel"
    assert files.weights.read_bytes() == data
    assert files.model.read_text() == text
    assert verify(find_entry("mine")) == "as its list says"


def test_a_definition_is_kept_as_one(own, tmp_path):
    definition = tmp_path / "d.modeldef.h5"
    definition.write_bytes(b"1")
    entry = add_model("mine", own[1], definition, {"what": "cells"})
    assert files_of(entry).model.name == "mine.modeldef.h5"


def test_weights_can_be_stored_in_half_of_their_size(own):
    entry = add_model("mine", own[1], own[0], TABLE, half=True)
    assert entry.weights_path.name == "mine.caffemodel.h5"


def test_what_the_user_wrote_into_the_list_stays(own):
    user_manifest().parent.mkdir()
    before = "# mine\n" + table("older", file="w")
    user_manifest().write_text(before)
    add_model("mine", own[1], own[0], TABLE)
    assert user_manifest().read_text().startswith(before)
    assert find_entry("older").file == "w"


def test_a_name_that_is_taken_is_refused(own, listed):
    listed(table("theirs", file="w"))
    add_model("mine", own[1], own[0], TABLE)
    for name in ("mine", "theirs"):
        with pytest.raises(DataError, match=f"{name}: there is a model of this name"):
            add_model(name, own[1], own[0], TABLE)


@pytest.mark.parametrize("name", ["", "../a", "a/b", ".hidden"])
def test_a_name_is_no_path(own, name):
    with pytest.raises(DataError, match="expected a name without folders"):
        add_model(name, own[1], own[0], TABLE)


def test_weights_of_another_ending_are_refused(own, tmp_path):
    with pytest.raises(DataError, match=r"net\.pth: expected \.caffemodel\.h5 or"):
        add_model("mine", tmp_path / "net.pth", own[0], TABLE)


def test_a_key_that_no_model_has_leaves_the_list_as_it_was(own):
    add_model("mine", own[1], own[0], TABLE)
    before = user_manifest().read_text()
    with pytest.raises(DataError, match="key 'colour'"):
        register("other", {"what": "a", "licence": "b", "colour": "red"})
    assert user_manifest().read_text() == before


@pytest.mark.parametrize("size", [float("inf"), float("nan"), -1.0])
def test_a_size_that_no_pixel_has_is_refused_before_anything_is_written(
    own, cache, size
):
    wrong = {**TABLE, "input": {"pixel_size_um": size}}
    with pytest.raises(DataError, match=r"^mine: input: .*expected numbers from 0"):
        add_model("mine", own[1], own[0], wrong)
    assert [path.name for path in cache.iterdir()] == [".manifest.toml.lock"]


def test_weights_that_are_not_there_leave_nothing(own, cache, tmp_path):
    with pytest.raises(DataError, match=r"gone\.caffemodel: cannot be copied: No such"):
        add_model("mine", tmp_path / "gone.caffemodel", own[0], TABLE)
    assert [path.name for path in cache.iterdir()] == [".manifest.toml.lock"]


@pytest.mark.parametrize(
    "what", ['say "[x]"\\', "two\nlines\x7f", "'''", "\u2028 \x1b[31m", "inf"]
)
def test_any_text_comes_back_as_it_was(own, what):
    add_model("mine", own[1], own[0], {**TABLE, "what": what})
    assert find_entry("mine").what == what


def test_a_text_that_no_file_can_hold_leaves_the_list_as_it_was(own, cache):
    with pytest.raises(DataError, match=r"mine: .*cannot be stored"):
        add_model("mine", own[1], own[0], {**TABLE, "what": "\udcff"})
    assert [path.name for path in cache.iterdir()] == [".manifest.toml.lock"]
