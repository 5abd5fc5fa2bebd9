import numpy as np
import pytest

from pyunet.errors import DataError
from pyunet_fiji.modeldef.creating import (
    complete_geometry,
    datasets_of_words,
    find_input_blob,
    parse_memory_map,
    read_text_file,
    spread,
)
from tests.support.modeldefs import definition

NET = definition(levels=2).model_prototxt


def sizes(**given):
    found = complete_geometry(NET, 2, "data3", **given)
    return found.downsample_factor, found.pad_input, found.pad_output


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, ((4, 4), (12, 12), (-28, -28))),
        ({"downsample": (8,)}, ((8, 8), (12, 12), (-28, -28))),
        ({"pad_input": (16, 12)}, ((4, 4), (16, 12), (-24, -28))),
        ({"pad_output": (-24,)}, ((4, 4), (16, 16), (-24, -24))),
        # a pad of 0 is one that was given
        ({"pad_input": (0,), "pad_output": (-40,)}, ((4, 4), (0, 0), (-40, -40))),
        (
            {"downsample": (3,), "pad_input": (1,), "pad_output": (2,)},
            ((3, 3), (1, 1), (2, 2)),
        ),
    ],
)
def test_what_is_not_given_is_found_to_fit(given, wanted):
    assert sizes(**given) == wanted


def test_all_sizes_given_need_no_net():
    found = complete_geometry(
        "nonsense", 3, "x", downsample=(1, 2, 2), pad_input=(4,), pad_output=(0,)
    )
    assert found.downsample_factor == (1, 2, 2)


def test_another_count_of_numbers_is_refused():
    with pytest.raises(DataError, match="1,2,3: 3 numbers; accepted are 1 or 2"):
        sizes(downsample=(1, 2, 3))
    assert spread((7,), 2) == (7, 7)


def test_the_input_blob_is_the_one_that_nobody_makes():
    assert find_input_blob(NET, 2) == "data3"
    deploy = "layer { type: 'Input' top: 'data' }"
    with pytest.raises(DataError, match="in phase TEST: none; accepted is one"):
        find_input_blob(deploy, 2)


def test_a_net_without_output_has_no_sizes():
    with pytest.raises(DataError, match="the net has no output"):
        complete_geometry("layer { type: 'Silence' bottom: 'a' }", 2, "a")


def test_the_output_need_not_be_called_score():
    text = NET.replace("top: 'score'", "top: 'out'")
    assert complete_geometry(text, 2, "data3").pad_output == (-28, -28)


def test_a_memory_map_is_read_from_words_or_a_file(tmp_path):
    path = tmp_path / "map.txt"
    path.write_text("# px MB\n100 2\n\n200, 4 # more\n")
    assert parse_memory_map("100:2,200:4") == ((100, 2), (200, 4))
    assert parse_memory_map(str(path)) == ((100, 2), (200, 4))


@pytest.mark.parametrize("text", ["1:2:3", "1:x", ":", "100:2,3"])
def test_what_is_no_memory_map_is_refused(text):
    with pytest.raises(DataError, match="no memory map; accepted are PIXELS:MB"):
        parse_memory_map(text)


def test_a_text_is_read_as_it_is(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_bytes(b"a\r\nb")
    assert read_text_file(path) == "a\r\nb"
    path.write_bytes(b"\xff")
    with pytest.raises(DataError, match="cannot be read: it is no text in UTF-8"):
        read_text_file(path)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_text_file(tmp_path / "no")


@pytest.fixture
def words(tmp_path):
    """Words as few as the script takes."""
    for name in ("net", "solver"):
        (tmp_path / name).write_text(f"name of {name}")
    return [
        f"model={tmp_path}/net",
        f"solver={tmp_path}/solver",
        "id=tiny",
        "inputblob=data3",
        "downsample=16",
        "elementsize=0.5,0.25",
        "pad_input=60,44",
        "pad_output=-124",
        "outfile=out.modeldef.h5",
    ]


def test_words_of_the_script_have_its_defaults(words, tmp_path):
    path, datasets, cut = datasets_of_words(words)
    assert path.name == "out.modeldef.h5"
    assert datasets == {
        "/.unet-ident": "tiny",
        "/model_prototxt": "name of net",
        "/solver_prototxt": "name of solver",
        "/unet_param/name": "tiny",
        "/unet_param/description": "",
        "/unet_param/input_blob_name": "data3",
        "/unet_param/input_dataset_name": "data",
        "/unet_param/padding": "mirror",
        "/unet_param/normalization_type": 0,
        "/unet_param/element_size_um": (0.5, 0.25),
        "/unet_param/downsampleFactor": (16,),
        "/unet_param/padInput": (60, 44),
        "/unet_param/padOutput": (-124,),
    }
    assert cut == []


def test_additional_words_are_whole_numbers_fractions_or_texts(words):
    more = "additionalArgs=unet_param/a:3,/unet_param/b:2.5,unet_param/c:x:y"
    _, datasets, _ = datasets_of_words([*words, more])
    assert datasets["/unet_param/a"] == 3
    assert isinstance(datasets["/unet_param/b"], np.float32)
    assert datasets["/unet_param/b"] == 2.5
    assert datasets["/unet_param/c"] == "x:y"


def test_a_word_ends_at_its_second_equals_sign(words):
    _, datasets, cut = datasets_of_words([*words, "description=a=b"])
    assert datasets["/unet_param/description"] == "a"
    assert cut == ["description=a=b"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (["nonsense"], "'nonsense'; accepted are words of the form key=value"),
        (["colour=red"], "colour unknown; accepted are model, solver"),
        (["downsample=x"], "downsample=x; accepted are numbers"),
        (["additionalArgs=a"], "'a'; accepted is path:value"),
        (["additionalArgs=/:3"], "'/:3'; accepted is path:value"),
        (["model=/no/such/net"], "cannot be read"),
    ],
)
def test_words_that_are_wrong_are_refused(words, change, text):
    with pytest.raises(DataError, match=text):
        datasets_of_words([*words, *change])


def test_words_that_are_missing_are_named(words):
    with pytest.raises(DataError, match="words: model, outfile missing; accepted are"):
        datasets_of_words(words[1:-1])
