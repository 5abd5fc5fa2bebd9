"""Every recipe reads the layout of its data set, made small by the test."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from pyunet.errors import DataError
from pyunet_reproduce.readers import find_cases, nearest, read_case, where_to_get
from pyunet_reproduce.recipes import Files, LabelFormat, read_recipe, recipe_names
from pyunet_reproduce.splitting import make_folds
from tests.support.layouts import DEPTH, LAYOUTS, SIZE, make_layout
from tests.support.recipes import small_recipe


def folds_of(recipe, folder):
    return make_folds(recipe, lambda part: find_cases(recipe, part, folder))


def picture(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


class TestLayouts:
    def test_of_all_recipes_are_tested(self):
        assert sorted(LAYOUTS) == recipe_names()

    @pytest.mark.parametrize("name", sorted(LAYOUTS))
    def test_is_read_with_labels_that_belong_to_the_images(self, name, tmp_path):
        recipe = read_recipe(name)
        folds = folds_of(recipe, make_layout(name, tmp_path))
        for fold in folds[:2]:
            assert not {c for _, c in fold.train} & {c for _, c in fold.test}
            for part, case in (fold.train[0], fold.test[-1]):
                example = read_case(recipe, part, case)
                channels = example.image.shape[0]
                assert channels == recipe.preparation.count(4) or channels in (1, 3)
                assert example.image.dtype == np.float32
                assert 0 <= example.image.min() <= example.image.max() <= 1
                size = tuple(recipe.size) or example.classes.shape
                assert example.image.shape[-2:] == size[-2:]
                assert example.classes.shape[-2:] == SIZE
                known = set(np.unique(example.classes[example.counts]).tolist())
                assert known <= set(range(recipe.labels.classes))
                assert len(known) > 1

    def test_of_volumes_gives_slices_to_a_flat_net_and_volumes_to_a_deep_one(
        self, tmp_path
    ):
        flat, deep = read_recipe("atlas"), read_recipe("ct150")
        cases = find_cases(flat, "all", make_layout("atlas", tmp_path / "a", count=2))
        assert len(cases) == 2 * DEPTH
        assert read_case(flat, "all", cases[0]).classes.shape == SIZE
        (case,) = find_cases(deep, "all", make_layout("ct150", tmp_path / "b", count=1))
        assert read_case(deep, "all", case).image.shape == (1, DEPTH, *SIZE)

    def test_with_a_wrong_folder_says_where_to_get_the_data(self, tmp_path):
        recipe = read_recipe("drive")
        with pytest.raises(DataError) as error:
            find_cases(recipe, "training", tmp_path)
        assert str(error.value) == (
            f"{tmp_path}: has no training/images/*.tif. {where_to_get(recipe)}"
        )
        assert "https://drive.grand-challenge.org" in str(error.value)

    def test_without_labels_says_where_to_get_the_data(self, tmp_path):
        recipe = read_recipe("drive")
        make_layout("drive", tmp_path)
        for path in tmp_path.glob("test/1st_manual/*"):
            path.unlink()
        with pytest.raises(DataError, match=r"has no test/1st_manual/\*\.gif\. DRIVE"):
            find_cases(recipe, "test", tmp_path)

    def test_of_lesions_in_several_files_are_put_together(self, tmp_path):
        recipe = read_recipe("atlas")
        folder = make_layout("atlas", tmp_path, count=1)
        case = find_cases(recipe, "all", folder)[0]
        whole = read_case(recipe, "all", case).classes
        assert len(case.labels) == 2
        for path in case.labels:
            one = case.__class__(**{**vars(case), "labels": (path,)})
            assert (read_case(recipe, "all", one).classes <= whole).all()

    def test_with_thermal_images_has_four_channels(self, tmp_path):
        recipe = read_recipe("pst900")
        (part, case), *_ = folds_of(recipe, make_layout("pst900", tmp_path))[0].train
        assert read_case(recipe, part, case).image.shape[0] == 4

    def test_keeps_touching_instances_apart(self, tmp_path):
        recipe = read_recipe("crag")
        folder = make_layout("crag", tmp_path, count=1)
        (case,) = find_cases(recipe, "train", folder)
        example = read_case(recipe, "train", case)
        assert set(np.unique(example.instances)[:3]) == {0, 1, 2}
        assert example.classes[8, 20] == 1
        assert example.classes[8, 25] == 0  # where objects 1 and 2 touch


class TestPairs:
    def test_are_made_by_their_key(self, tmp_path):
        for number in (1, 2, 10):
            picture(tmp_path / f"x/a_{number}.png", np.full((4, 4), number, np.uint8))
            picture(tmp_path / f"y/{number}_m.png", np.full((4, 4), number, np.uint8))
        recipe = small_recipe(
            files={"all": Files(["x/*"], ["y/*"], key=r"(\d+)[^/]*$")},
            labels=LabelFormat("classes", names=[str(n) for n in range(11)]),
        )
        cases = find_cases(recipe, "all", tmp_path)
        assert [case.name for case in cases] == ["x_a_1", "x_a_2", "x_a_10"]
        for case in cases:
            example = read_case(recipe, "all", case)
            assert round(255 * example.image[0, 0, 0]) == example.classes[0, 0]

    def test_whose_names_become_the_same_have_names_of_their_own(self, tmp_path):
        for name in ("a#1", "a+1", "a1"):
            picture(tmp_path / f"x/{name}.png", np.zeros((4, 4), np.uint8))
        recipe = small_recipe(files={"all": Files(["x/*"])})
        names = [case.name for case in find_cases(recipe, "all", tmp_path)]
        assert sorted(names) == ["x_a1", "x_a_1", "x_a_1~2"]

    def test_with_images_alone_are_left_out(self, tmp_path):
        for name in ("x/1", "x/2", "y/2"):
            picture(tmp_path / f"{name}.png", np.zeros((4, 4), np.uint8))
        names = [case.name for case in find_cases(small_recipe(), "all", tmp_path)]
        assert names == ["x_2"]

    def test_in_order_are_refused_where_the_counts_differ(self, tmp_path):
        for number in range(3):
            picture(tmp_path / f"x/{number}.png", np.zeros((4, 4), np.uint8))
        picture(tmp_path / "y/a.png", np.zeros((4, 4), np.uint8))
        recipe = small_recipe(files={"all": Files(["x/*"], ["y/*"], label_key="order")})
        with pytest.raises(DataError, match="3 images and 1 labels"):
            find_cases(recipe, "all", tmp_path)

    def test_without_any_label_are_refused(self, tmp_path):
        picture(tmp_path / "x/1.png", np.zeros((4, 4), np.uint8))
        picture(tmp_path / "y/2.png", np.zeros((4, 4), np.uint8))
        recipe = small_recipe(files={"all": Files(["x/*"], ["y/*"])})
        with pytest.raises(DataError, match=r"1\.png: has no label"):
            find_cases(recipe, "all", tmp_path)

    def test_need_names_that_have_the_key(self, tmp_path):
        picture(tmp_path / "x/a.png", np.zeros((4, 4), np.uint8))
        picture(tmp_path / "y/a.png", np.zeros((4, 4), np.uint8))
        recipe = small_recipe(files={"all": Files(["x/*"], ["y/*"], key=r"(\d+)")})
        with pytest.raises(DataError, match="the name has no"):
            find_cases(recipe, "all", tmp_path)

    def test_of_other_sizes_are_refused(self, tmp_path):
        picture(tmp_path / "x/1.png", np.zeros((4, 4), np.uint8))
        picture(tmp_path / "y/1.png", np.zeros((4, 5), np.uint8))
        recipe = small_recipe(files={"all": Files(["x/*"], ["y/*"])})
        (case,) = find_cases(recipe, "all", tmp_path)
        with pytest.raises(DataError, match=r"labels of \(4, 5\) pixels, the image"):
            read_case(recipe, "all", case)

    def test_listed_in_a_file_that_is_missing_say_so(self, tmp_path):
        picture(tmp_path / "x/1.png", np.zeros((4, 4), np.uint8))
        recipe = small_recipe(files={"all": Files(["x/*"], listed_in="train.txt")})
        with pytest.raises(DataError, match="cannot be read: No such file"):
            find_cases(recipe, "all", tmp_path)


class TestMeaning:
    def one(self, tmp_path, labels, meaning, **more):
        picture(tmp_path / "x/1.png", np.zeros(labels.shape[:2], np.uint8))
        picture(tmp_path / "y/1.png", labels)
        recipe = small_recipe(
            files={"all": Files(["x/*"], ["y/*"], **more)}, labels=meaning
        )
        (case,) = find_cases(recipe, "all", tmp_path)
        return read_case(recipe, "all", case)

    def test_of_binary_labels_may_be_inverted(self, tmp_path):
        labels = np.array([[0, 100, 255]], np.uint8)
        meaning = LabelFormat(above=127, inverted=True)
        assert self.one(tmp_path, labels, meaning).classes.tolist() == [[1, 1, 0]]

    def test_of_classes_leaves_out_what_is_ignored(self, tmp_path):
        labels = np.array([[7, 8, 255]], np.uint8)
        meaning = LabelFormat(
            "classes", names=["a", "b"], values=[[7], [8]], ignore=[255]
        )
        example = self.one(tmp_path, labels, meaning)
        assert example.classes.tolist() == [[0, 1, 2]]
        assert example.counts.tolist() == [[True, True, False]]

    def test_of_classes_refuses_other_values(self, tmp_path):
        labels = np.array([[0, 1, 9]], np.uint8)
        with pytest.raises(DataError, match="label values 9; expected 0, 1"):
            self.one(tmp_path, labels, LabelFormat("classes", names=["a", "b"]))

    def test_of_colours_may_come_in_grey(self, tmp_path):
        meaning = LabelFormat(
            "colours", names=["a", "b"], colours=[[0, 0, 0], [255] * 3]
        )
        labels = np.array([[0, 250]], np.uint8)
        assert self.one(tmp_path, labels, meaning).classes.tolist() == [[0, 1]]

    def test_of_colours_is_the_nearest_one(self, tmp_path):
        labels = np.array([[[250, 3, 9], [0, 0, 0], [9, 0, 240]]], np.uint8)
        meaning = LabelFormat(
            "colours", names=["a", "b", "c"],
            colours=[[0, 0, 0], [255, 0, 0], [0, 0, 255]],
        )  # fmt: skip
        assert self.one(tmp_path, labels, meaning).classes.tolist() == [[1, 0, 2]]

    def test_of_pixels_outside_the_field_of_view_is_none(self, tmp_path):
        labels = np.array([[0, 255, 255]], np.uint8)
        picture(tmp_path / "m/1.png", np.array([[255, 255, 0]], np.uint8))
        example = self.one(tmp_path, labels, LabelFormat(above=127), masks=["m/*"])
        assert example.counts.tolist() == [[True, True, False]]
        assert example.classes.tolist() == [[0, 1, 2]]


class TestFieldOfView:
    def write(self, folder, mask):
        picture(folder / "x/1.png", np.full((4, 6), 9, np.uint8))
        picture(folder / "y/1.png", np.zeros((4, 6), np.uint8))
        if mask is not None:
            picture(folder / "m/1.png", mask)
        files = {"all": Files(["x/*"], ["y/*"], masks=["m/*"])}
        return small_recipe(files=files)

    def test_of_another_size_is_refused(self, tmp_path):
        recipe = self.write(tmp_path, np.zeros((4, 5), np.uint8))
        (case,) = find_cases(recipe, "all", tmp_path)
        with pytest.raises(DataError, match=r"a mask of \(4, 5\) pixels"):
            read_case(recipe, "all", case)

    def test_that_is_missing_is_refused(self, tmp_path):
        recipe = self.write(tmp_path, None)
        with pytest.raises(DataError, match=r"has no m/\*"):
            find_cases(recipe, "all", tmp_path)

    def test_of_volumes_is_taken_slice_by_slice(self, tmp_path):
        rng = np.random.default_rng(0)
        volume = rng.integers(0, 2, (3, 4, 6), np.uint8)
        for folder in "xym":
            (tmp_path / folder).mkdir()
            tifffile.imwrite(
                tmp_path / folder / "1.tif", volume * 255, photometric="minisblack"
            )
        files = {"all": Files(["x/*"], ["y/*"], masks=["m/*"])}
        recipe = small_recipe(files=files)
        cases = find_cases(recipe, "all", tmp_path)
        for plane, case in zip(volume, cases, strict=True):
            np.testing.assert_array_equal(
                read_case(recipe, "all", case).counts, plane > 0
            )


class TestOutlines:
    def test_are_brought_to_the_size_of_the_image(self, tmp_path):
        picture(tmp_path / "x/1.png", np.zeros((9, 12), np.uint8))
        (tmp_path / "y").mkdir()
        corners = ((1, 1), (4, 1), (4, 4), (1, 4))
        points = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in corners)
        (tmp_path / "y/1.xml").write_text(f"<A><Region>{points}</Region></A>")
        recipe = small_recipe(labels=LabelFormat("instances"))
        (case,) = find_cases(recipe, "all", tmp_path)
        found = read_case(recipe, "all", case)
        assert found.classes.shape == (9, 12)
        assert found.classes.sum() == 16


class TestChannels:
    def test_of_other_sizes_are_refused(self, tmp_path):
        picture(tmp_path / "x/1.png", np.zeros((4, 4), np.uint8))
        picture(tmp_path / "z/1.png", np.zeros((4, 5), np.uint8))
        picture(tmp_path / "y/1.png", np.zeros((4, 4), np.uint8))
        files = {"all": Files(["x/*"], ["y/*"], channels_from=[["x/", "z/"]])}
        recipe = small_recipe(files=files)
        (case,) = find_cases(recipe, "all", tmp_path)
        with pytest.raises(DataError, match="further channels of other sizes"):
            read_case(recipe, "all", case)


class TestFolds:
    def test_are_blocks_in_order(self, tmp_path):
        recipe = read_recipe("isbi2012")
        folds = folds_of(recipe, make_layout("isbi2012", tmp_path, count=10))
        tested = [[case.name for _, case in fold.test] for fold in folds]
        assert tested[0] == ["train_1", "train_2"]
        assert tested[4] == ["train_9", "train_10"]

    def test_of_a_random_share_keep_groups_together(self, tmp_path):
        recipe = read_recipe("brain_mri")
        (fold,) = folds_of(recipe, make_layout("brain_mri", tmp_path))
        assert (len(fold.train), len(fold.test)) == (18, 2)
        assert not {c.group for _, c in fold.train} & {c.group for _, c in fold.test}

    def test_with_nothing_to_test_are_refused(self, tmp_path):
        recipe = read_recipe("chase_db1")
        with pytest.raises(DataError, match="20 images to train on and 0 to test"):
            folds_of(recipe, make_layout("chase_db1", tmp_path, count=20))


def test_nearest_of_the_same_size_changes_nothing():
    labels = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(nearest(labels, (2, 3)), labels)
