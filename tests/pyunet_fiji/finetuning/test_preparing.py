"""From paths of images and labels to the files of a run."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from pyunet.errors import DataError
from pyunet_fiji.finetuning.preparing import (
    Meaning,
    Pair,
    find_pairs,
    find_zero,
    read_annotations,
    split,
    write_files,
)
from tests.support import modeldefs

RNG = np.random.default_rng(5)


@pytest.fixture
def folder(tmp_path):
    for name in ("images", "labels", "files"):
        (tmp_path / name).mkdir()
    return tmp_path


def save(path, array, **settings):
    tifffile.imwrite(path, np.asarray(array, np.uint8), **settings)
    return path


def pair(folder, name, labels, image=None):
    """Write one annotated image and give it as a pair."""
    labels = np.asarray(labels)
    grey = RNG.integers(0, 255, labels.shape) if image is None else image
    return Pair(
        save(folder / "images" / f"{name}.tif", grey),
        save(folder / "labels" / f"{name}.tif", labels),
    )


def read(training, validation=(), *, model_classes=(), model_count=2, **meaning):
    return read_annotations(
        training,
        validation,
        Meaning(**meaning),
        model_classes=model_classes,
        model_count=model_count,
    )


def test_files_of_folders_are_paired_in_natural_order(folder):
    for number in (10, 9):
        pair(folder, f"{number}", [[0, 1]])
    found = find_pairs([folder / "images"], [folder / "labels"])
    assert [one.image.stem for one in found] == ["9", "10"]
    assert [one.labels.stem for one in found] == ["9", "10"]


def test_without_labels_the_images_are_annotated_themselves(folder):
    pair(folder, "a", [[0, 1]])
    (found,) = find_pairs([str(folder / "images" / "*.tif")], [])
    assert found.labels is None
    assert found.annotation == found.image


def test_files_of_rois_are_annotations(folder):
    pair(folder, "a", [[0, 1]])
    (folder / "labels" / "a.roi").touch()
    (found,) = find_pairs([folder / "images"], [folder / "labels"])
    assert found.annotation.name == "a.roi"


def test_one_file_of_labels_for_each_image_is_wanted(folder):
    one = pair(folder, "a", [[0, 1]])
    with pytest.raises(DataError, match="1 images, but 2 labels: accepted is one"):
        find_pairs([one.image], [one.labels, one.labels])


@given(st.integers(2, 40), st.floats(0.01, 0.99))
def test_a_share_of_the_images_is_taken_and_none_is_lost(count, share):
    pairs = [Pair(Path(str(number)), None) for number in range(count)]
    training, validation = split(pairs, share)
    assert sorted([*training, *validation], key=pairs.index) == pairs
    assert training
    assert len(validation) == min(max(1, round(share * count)), count - 1)


@pytest.mark.parametrize(
    ("count", "share", "said"),
    [
        (3, 0, "share 0 for validation"),
        (3, 1.0, "accepted is 0 < share < 1"),
        (1, 0.5, "two"),
    ],
)
def test_shares_that_leave_nothing_are_refused(count, share, said):
    with pytest.raises(DataError, match=said):
        split([Pair(Path("a"), None)] * count, share)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([[0, 1, 1, 1]], "background"),
        ([[0, 255, 255, 255]], "background"),
        ([[1, 1, 2, 3]], "ignore"),
        ([[0, 1, 1, 2]], "ignore"),
        ([[0, 0, 1, 2]], "background"),
    ],
)
def test_what_zero_means_is_found_and_said(folder, labels, expected, caplog):
    caplog.set_level("INFO", logger="pyunet_fiji")
    assert find_zero([pair(folder, "a", labels)]) == expected
    assert f"0 is taken as {expected}" in caplog.text


def test_labels_are_understood_together(folder):
    pairs = [pair(folder, "a", [[0, 0, 1, 2]]), pair(folder, "b", [[0, 3, 3, 3]])]
    found = read(pairs[:1], pairs[1:], kind="instances")
    assert found.class_names == ("Background", "Class 1")
    assert (found.zero, len(found.training), len(found.validation)) == (
        "background",
        1,
        1,
    )


def test_names_are_the_models_or_the_users(folder):
    pairs = [pair(folder, "a", [[0, 0, 1, 1]])]
    assert read(pairs, model_classes=("Background", "cell")).class_names[1] == "cell"
    assert read(pairs, class_names=("x", "y")).class_names == ("Background", "x", "y")


def test_more_classes_than_the_model_has_want_a_word(folder):
    pairs = [pair(folder, "a", [[0, 0, 1, 2]])]
    with pytest.raises(DataError, match=r"labels of 2 classes, the model tells 1 from"):
        read(pairs)
    assert len(read(pairs, class_names=("dim", "bright")).class_names) == 3
    found = read(pairs, class_names=("x",))
    with pytest.raises(DataError, match="2 classes, but the names are Background, x"):
        write(folder, found)


def test_an_image_without_annotation_is_named(folder):
    one = pair(folder, "a", [[0, 1]])
    with pytest.raises(
        DataError, match=r"a\.tif: has no overlay with ROIs; .*--labels"
    ):
        read([Pair(one.image, None)])


def test_rois_in_the_overlay_annotate_an_image(folder):
    roifile = pytest.importorskip("roifile")
    roi = roifile.ImagejRoi.frompoints(
        np.array([[4, 4], [12, 4], [12, 9], [4, 9]]), name="nucleus"
    )
    image = save(
        folder / "images" / "a.tif",
        RNG.integers(0, 255, (20, 20)),
        imagej=True,
        metadata={"Overlays": [roi.tobytes()]},
    )
    masked = pair(folder, "b", blobs((20, 20)))
    pairs = [*find_pairs([image], []), masked]
    assert find_zero(pairs) == "background"
    assert find_zero(pairs[:1]) == "background"
    found = read(pairs)
    assert found.class_names == ("Background", "nucleus")
    write(folder, found)
    with h5py.File(folder / "files" / "train_0.h5") as file:
        np.testing.assert_array_equal(file["labels"][0, 0], blobs((20, 20)))


def write(folder, found, **settings):
    values = {"tile": (60, 60), "element_size_um": None, "channels": None}
    return write_files(
        folder / "files", found, modeldefs.definition(), **{**values, **settings}
    )


def blobs(shape):
    labels = np.zeros(shape, np.uint8)
    labels[..., 4:9, 4:12] = 1
    return labels


def test_all_files_of_a_run_are_written_and_listed_by_name(folder, caplog):
    pairs = [pair(folder, name, blobs((2, 21, 30))) for name in "abc"]
    tiles = write(folder, read(pairs[:2], pairs[2:]))
    files = folder / "files"
    assert (files / "trainfilelist.txt").read_text() == "train_0.h5\ntrain_1.h5\n"
    listed = (files / "validfilelist.txt").read_text().split()
    assert listed == ["valid_0_0.h5", "valid_0_1.h5", "valid_0_2.h5", "valid_0_3.h5"]
    assert tiles == 2 * 4  # two slices, tiles of 20 x 20 pixels at the output
    with h5py.File(files / "train_0.h5") as file:
        assert file["data"].shape == (2, 1, 21, 30)
        np.testing.assert_array_equal(file["labels"][:, 0], blobs((2, 21, 30)))
    (line,) = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert line.startswith("3 image(s) do not say how large their pixels are")


def test_without_validation_there_is_no_list_of_it(folder, caplog):
    one = pair(folder, "a", blobs((20, 20)))
    assert write(folder, read([one]), element_size_um=(1.0, 1.0)) == 0
    assert not (folder / "files" / "validfilelist.txt").exists()
    with h5py.File(folder / "files" / "train_0.h5") as file:
        assert file["data"].shape == (1, 1, 40, 40)  # of 0.5 um
    assert "pixels are" not in caplog.text


def test_calibrated_images_are_rescaled_without_a_word(folder, caplog):
    one = pair(folder, "a", blobs((20, 20)))
    save(
        one.image,
        RNG.integers(0, 255, (20, 20)),
        imagej=True,
        resolution=(4, 4),
        metadata={"unit": "micron"},
    )
    write(folder, read([one]))
    with h5py.File(folder / "files" / "train_0.h5") as file:
        assert file["data"].shape == (1, 1, 10, 10)  # from 0.25 um to 0.5
    assert "pixels are" not in caplog.text


def test_images_of_other_channels_are_refused(folder):
    grey = pair(folder, "a", blobs((20, 20)))
    rgb = pair(folder, "b", blobs((20, 20)))
    save(rgb.image, RNG.integers(0, 255, (20, 20, 3)), photometric="rgb")
    with pytest.raises(DataError, match=r"b\.tif: has 3 channel\(s\); accepted are 1"):
        write(folder, read([grey, rgb]))
    with pytest.raises(DataError, match=r"a\.tif: has 1 channel\(s\); accepted are 3"):
        write(folder, read([grey]), channels=3)


def test_labels_of_another_size_are_refused(folder):
    one = pair(folder, "a", blobs((20, 20)), image=RNG.integers(0, 255, (20, 21)))
    with pytest.raises(DataError, match=r"labels.a\.tif: .*same size"):
        write(folder, read([one]))
