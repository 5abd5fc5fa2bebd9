"""Recipes are data that are checked when they are read."""

from pathlib import Path

import pytest

from pyunet.data.preparation import Preparation
from pyunet.errors import DataError
from pyunet.zoo.manifest import find_entry
from pyunet_reproduce import recipes
from pyunet_reproduce.nets import output_tile
from pyunet_reproduce.recipes import (
    filled,
    published,
    read_recipe,
    recipe_names,
)

MINIMAL = """
title = "T"
published_at = "https://example.org"
terms = "none"
layout = "x"
fills = []
[files.all]
images = ["x/*"]
[split]
of = "all"
[net]
name = "unet_vessels"
input = [60, 60]
[training]
iterations = 1
samples = 1
"""


@pytest.fixture
def read(tmp_path):
    def make(text):
        path = tmp_path / "own.toml"
        path.write_text(text)
        return read_recipe(str(path))

    return make


class TestPublished:
    def test_has_87_rows_of_40_data_sets(self):
        rows = published()
        assert (len(rows), len({row.dataset for row in rows})) == (87, 40)

    def test_rows_have_a_recipe_each(self):
        known = [row for name in recipe_names() for _, row in filled(read_recipe(name))]
        assert set(published()) <= set(known)

    def test_rows_of_other_nets_have_recipes_with_them(self):
        others = [row for row in published() if row.net]
        assert {row.model for row in others} == {"FCN8 (e)", "OCR (HRNetV2-W48)"}
        assert len(others) == 4
        for name, net in (("crag", "fcn8s"), ("urbanlf", "ocr_hrnetv2_w48")):
            recipe = read_recipe(name).with_net(net)
            assert recipe.net.model in {row.net for _, row in filled(recipe)}


class TestRecipes:
    @pytest.mark.parametrize("name", recipe_names())
    def test_fill_rows_that_are_published(self, name):
        recipe = read_recipe(name)
        rows = {(row.dataset, row.metric) for row in published()}
        assert recipe.fills
        assert {(fill.dataset, fill.metric) for fill in recipe.fills} <= rows

    @pytest.mark.parametrize("name", recipe_names())
    def test_name_parts_that_they_have(self, name):
        recipe = read_recipe(name)
        split = recipe.split
        used = {*split.train, *split.test, *([split.of] if split.of else [])}
        assert used == set(recipe.files)
        assert {fill.part for fill in recipe.fills} <= {"", *split.test}

    @pytest.mark.parametrize("name", recipe_names())
    def test_have_tiles_that_their_nets_take(self, name):
        recipe = read_recipe(name)
        for net in (recipe.net, *recipe.others):
            assert min(output_tile(recipe.with_net(net.name), 1)) > 0

    @pytest.mark.parametrize("name", recipe_names())
    def test_say_where_the_data_are(self, name):
        recipe = read_recipe(name)
        assert recipe.published_at.startswith("https://")
        assert recipe.terms
        assert recipe.layout.strip()

    def test_train_another_net_at_the_rate_of_its_own_solver(self):
        recipe = read_recipe("crag")
        other = recipe.with_net("fcn8s")
        assert (recipe.training.base_lr, other.training.base_lr) == (1e-4, 0)
        assert other.net == recipe.others[0]


def test_the_zoos_vessels_are_trained_and_tested_on_other_images_as_its_list_says():
    file = Path(__file__).parents[2] / "prototxt/unet_vessels/retinal-vessels.toml"
    recipe = read_recipe(str(file))
    assert set(recipe.files) == {*recipe.split.train, *recipe.split.test}
    wanted = find_entry("retinal-vessels").input
    assert recipe.preparation == Preparation(
        wanted.take, local_contrast=wanted.window_px, eye_width=wanted.eye_width_px
    )


class TestReading:
    def test_a_file_of_ones_own(self, read):
        recipe = read(MINIMAL)
        assert (recipe.name, recipe.split.folds, recipe.average) == ("own", 1, "")

    def test_a_name_that_is_none_lists_all(self):
        with pytest.raises(
            DataError, match=r"drivel: no such recipe.*chase_db1.*drive"
        ):
            read_recipe("drivel")

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ("[split]", "[splits]", "key 'splits'; expected one of"),
            ('of = "all"', 'off = "all"', "key 'off'; expected one of folds, of"),
            ("iterations = 1", 'iterations = "1"', "iterations: '1'; expected int"),
            ("samples = 1", "", "missing 1 required positional argument: 'samples'"),
            ("[split]", '[labels]\nkind = "odd"\n[split]', "kind: 'odd'; expected"),
            ("[split]", "[split", "is no TOML"),
            ("fills = []", '[[fills]]\ndataset = "D"\nmetric = "M"\nscore = "x.y"\n',
             "score 'x.y': expected names that begin"),
            ("samples = 1", "samples = 1\naugmentation = { grey = 2 }",
             "grey variation 2.0"),
            ("samples = 1", "samples = 1\naugmentation = { elastic_std = [1, 2] }", ""),
        ],
    )  # fmt: skip
    def test_checks_keys_and_values(self, read, old, new, words):
        text = MINIMAL.replace(old, new)
        if not words:
            augmentation = read(text).training.augmentation
            assert augmentation.elastic_std == (1.0, 2.0)
            return
        with pytest.raises(DataError) as error:
            read(text)
        assert words in str(error.value)

    def test_of_a_literal_number_as_float(self, read):
        text = MINIMAL.replace("samples = 1", "samples = 1\nbase_lr = 1")
        value = read(text).training.base_lr
        assert isinstance(value, float)

    def test_of_a_table_where_a_list_is_wanted(self, read):
        with pytest.raises(DataError, match="expected"):
            read(MINIMAL.replace("input = [60, 60]", "input = 60"))


def test_every_family_of_scores_is_used_or_known():
    used = {
        name.partition(".")[0]
        for recipe in map(read_recipe, recipe_names())
        for name in [*(fill.score for fill in recipe.fills), *recipe.also]
    }
    assert used <= set(recipes.FAMILIES)
