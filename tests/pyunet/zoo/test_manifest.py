"""What is known of trained models is read strictly, and never promises too much."""

import re

import pytest
from PIL import Image

from pyunet.errors import DataError
from pyunet.zoo.finding import find_model
from pyunet.zoo.manifest import (
    Input,
    entries,
    find_entry,
    package_manifest,
    read_manifest,
    state,
    user_manifest,
)
from tests.support.listed_models import table

OWN = read_manifest(package_manifest())
SHA256 = re.compile("[0-9a-f]{64}|")


class TestTheListOfThePackage:
    def test_names_the_published_models_and_those_of_the_project(self):
        assert set(OWN) >= {
            "em-membranes", "retinal-vessels", "cells", "demo", "phseg_v5",
            "2d_cell_net_v0", "caffemodels", "cascaded-fcn-liver",
            "cascaded-fcn-lesions",
        }  # fmt: skip

    @pytest.mark.parametrize("entry", OWN.values(), ids=OWN)
    def test_has_what_a_person_wants_to_know(self, entry):
        assert entry.what
        assert entry.licence
        assert entry.citation
        assert SHA256.fullmatch(entry.sha256)
        assert entry.classes or entry.collection
        for score in entry.scores:
            assert score.data
            assert score.command
        with Image.open(entry.folder / entry.thumbnail) as picture:
            assert picture.format == "PNG"
            assert max(picture.size) <= 128

    @pytest.mark.parametrize("entry", OWN.values(), ids=OWN)
    def test_a_file_that_is_here_has_a_checksum_and_a_net(self, entry):
        if entry.file and state(entry) == "here":
            assert entry.sha256
            assert find_model(entry.prototxt).is_file()

    def test_addresses_are_of_the_web(self):
        urls = [url for entry in OWN.values() for url in entry.urls]
        assert urls
        assert all(url.startswith("https://") for url in urls)


class TestReading:
    def test_inner_tables_are_read(self, listed):
        scores = '[[a.scores]]\nmetric = "V"\nvalue = 1\ndata = "d"\n'
        found = listed(table("a", inputs="pixel_size_um = 2", file="w") + scores)["a"]
        assert found.input == Input(pixel_size_um=2.0)
        assert [(s.metric, s.value) for s in found.scores] == [("V", 1.0)]
        assert found.folder == listed.folder

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (table("a", file="w", colour="red"), "key 'colour'; expected one of"),
            (table("a", file="w", size="big"), "size: 'big'; expected int"),
            (table("a"), "expected either file or urls"),
            (table("a", file="w", urls=["u"]), "expected either file or urls"),
            (table("a", file="w", definition="d"), "one of prototxt, definition and"),
            (
                table("a", file="w", objects="cell"),
                "objects 'cell': is none of classes",
            ),
            (table("a", file="w", inputs="take = 'red'"), "expected"),
            (table("a", file="w", inputs="window_px = 3"), "goes with the norm"),
            (table("a", file="w", inputs="eye_width_px = 3"), "goes with inside 'eye'"),
            (table("a", file="w", inputs="mean = nan"), "expected numbers from 0"),
            (table("a", file="w", inputs="channels = 0"), "one channel or more"),
            ("a = 1", r"\[a\]: expected a table"),
            (table("a", file="w", folder="/"), r"\[a\]: expected a table"),
            (table("'../a'", file="w"), "name without folders"),
            (table("a", file="w").replace("licence", "#"), "'licence'"),
        ],
    )
    def test_what_no_model_has_is_refused(self, listed, text, said):
        with pytest.raises(DataError, match=said):
            listed(text)


class TestStates:
    def test_a_file_is_here_or_missing(self, listed):
        entry = listed(table("a", file="w.caffemodel"))["a"]
        assert state(entry) == "missing"
        (listed.folder / "w.caffemodel").touch()
        assert state(entry) == "here"

    def test_a_published_model_is_here_when_all_its_files_are(self, listed, cache):
        entry = listed(
            table("a", urls=["u"], member="x/w.h5", definition="d.modeldef.h5",
                  prototxt="")
        )["a"]  # fmt: skip
        (cache / "a").mkdir(parents=True)
        (cache / "a" / "w.h5").touch()
        assert state(entry) == "to fetch"
        (cache / "a" / "d.modeldef.h5").touch()
        assert state(entry) == "to fetch"
        (cache / "a" / "fetched.json").touch()
        assert state(entry) == "here"


class TestFinding:
    def test_the_users_own_stand_beside_the_packages(self, listed, cache):
        listed(table("a", file="w"))
        cache.mkdir()
        user_manifest().write_text(table("b", file="w") + table("a", file="other"))
        assert set(entries()) == {"a", "b"}
        assert entries()["a"].file == "w"
        assert find_entry("b").folder == cache

    def test_an_unknown_name_lists_the_known_ones(self, listed):
        listed(table("a", file="w") + table("b", file="w"))
        with pytest.raises(DataError, match="known are a, b"):
            find_entry("c")

    def test_an_installed_package_has_its_list_inside(self, tmp_path, monkeypatch):
        package = tmp_path / "pyunet"
        monkeypatch.setattr("importlib.resources.files", lambda _: package)
        assert package_manifest() == tmp_path / "weights" / "manifest.toml"
        inside = package / "_weights" / "manifest.toml"
        inside.parent.mkdir(parents=True)
        inside.touch()
        assert package_manifest() == inside
