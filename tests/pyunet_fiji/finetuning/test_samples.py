"""Expected values: shapes and attributes of the specification, tiles put together."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from pyunet.errors import DataError
from pyunet_fiji.finetuning.annotations import label_marks
from pyunet_fiji.finetuning.images import Hyperstack
from pyunet_fiji.finetuning.samples import (
    Sample,
    make_sample,
    validation_tiles,
    write_training_file,
    write_validation_files,
)
from pyunet_fiji.modeldef import LossWeights
from tests.support.modeldefs import definition

FLAT, SOLID = definition(), definition(axes=3)  # output: input - 40
NAMES = ("Background", "zell\u00e4hnlich")


def random_sample(shape, *, channels=1, frames=1, seed=0):
    rng = np.random.default_rng(seed)
    data = rng.random((frames, channels, *shape), np.float32)
    labels = rng.integers(0, 3, (frames, 1, *shape)).astype(np.float32)
    weights = 1 + rng.random((frames, 1, *shape), np.float32)
    return Sample(data, labels, weights, weights / 2)


def hyperstack(tmp_path, array):
    return Hyperstack(np.asarray(array), tmp_path / "cells.tif")


class TestMakeSample:
    def test_brings_image_and_annotation_to_the_pixel_size_of_the_net(self, tmp_path):
        rng = np.random.default_rng(0)
        image = hyperstack(tmp_path, rng.integers(0, 99, (1, 2, 1, 20, 30)))
        mask = np.ones((1, 1, 20, 30), int)
        mask[0, 0, 4:10, 6:12] = 2
        sample = make_sample(
            image, label_marks(mask), FLAT, NAMES, element_size_um=(0.25, 0.25)
        )
        assert sample.data.shape == (1, 2, 10, 15)
        inside = np.zeros((10, 15))
        inside[2:5, 3:6] = 1
        np.testing.assert_array_equal(sample.labels[0, 0], inside)
        np.testing.assert_array_equal(sample.weights[0, 0][inside > 0], 1)
        np.testing.assert_array_equal(
            sample.sampling[0, 0], np.where(inside, 1, 0.1).astype(np.float32)
        )
        assert {each.dtype for each in sample} == {np.dtype(np.float32)}

    @pytest.mark.parametrize(
        ("model", "shape"), [(FLAT, (6, 1, 8, 9)), (SOLID, (2, 1, 3, 8, 9))]
    )
    def test_takes_frames_and_slices_as_the_net_does(self, tmp_path, model, shape):
        rng = np.random.default_rng(0)
        image = hyperstack(tmp_path, rng.random((2, 1, 3, 8, 9)))
        mask = rng.integers(1, 3, (2, 3, 8, 9))
        sizes = (0.5,) * model.dimensions
        sample = make_sample(
            image, label_marks(mask), model, NAMES, element_size_um=sizes
        )
        assert {each.shape for each in sample} == {shape}

    def test_of_an_image_without_pixel_size_takes_that_of_the_net(self, tmp_path):
        image = hyperstack(tmp_path, np.random.default_rng(0).random((1, 1, 1, 8, 9)))
        marks = label_marks(np.full((1, 1, 8, 9), 2))
        sample = make_sample(image, marks, FLAT, NAMES)
        assert sample.data.shape == (1, 1, 8, 9)

    def test_of_nothing_but_ignored_pixels_is_an_error(self, tmp_path):
        image = hyperstack(tmp_path, np.random.default_rng(0).random((1, 1, 1, 8, 9)))
        marks = label_marks(np.zeros((1, 1, 8, 9), int))
        with pytest.raises(
            DataError, match=r"cells\.tif: every pixel is to be ignored"
        ):
            make_sample(image, marks, FLAT, NAMES, element_size_um=(0.5, 0.5))


class TestWriteTrainingFile:
    @pytest.mark.parametrize(
        ("model", "size", "chunk"),
        [(FLAT, (20, 30), (1, 1, 20, 30)), (SOLID, (5, 20, 30), (1, 1, 1, 20, 30))],
    )
    def test_has_the_layout_of_the_plugin(self, tmp_path, model, size, chunk):
        sample = random_sample(size, channels=2, frames=3)
        write_training_file(tmp_path / "t.h5", sample, model, NAMES)
        with h5py.File(tmp_path / "t.h5") as file:
            names = ("data", "labels", "weights", "weights2")
            assert sorted(file) == ["conversionParameters", *names]
            for name, array in zip(names, sample, strict=True):
                dataset = file[name]
                np.testing.assert_array_equal(dataset[()], array)
                assert dataset.dtype == np.float32
                assert dataset.chunks == chunk
                assert (dataset.compression, dataset.compression_opts) == ("gzip", 3)
                size_um = dataset.attrs["element_size_um"]
                assert size_um.dtype == np.float64
                assert tuple(size_um) == model.element_size_um

    def test_says_how_it_was_made(self, tmp_path):
        model = replace(
            FLAT,
            loss_weights=LossWeights(40.0, 5.0, 0.2, 8.0),
            normalization_type=2,
            input_dataset_name="raw",
        )
        write_training_file(tmp_path / "t.h5", random_sample((8, 9)), model, NAMES)
        with h5py.File(tmp_path / "t.h5") as file:
            assert "raw" in file
            found = dict(file["conversionParameters"].attrs)
        names = found.pop("classNames")
        assert [name.decode() for name in names] == list(NAMES)
        assert names.dtype.kind == "S"
        assert {key: value.tolist() for key, value in found.items()} == {
            "foregroundBackgroundRatio": [0.2],
            "sigma1_um": [8.0],
            "borderWeightFactor": [40.0],
            "borderWeightSigmaPx": [5.0],
            "normalizationType": [2],
        }
        assert found["normalizationType"].dtype == np.int32
        assert found["sigma1_um"].dtype == np.float64

    def test_that_cannot_be_written_leaves_nothing(self, tmp_path):
        (tmp_path / "t.h5").mkdir()
        with pytest.raises(DataError, match=r"t\.h5: cannot be written"):
            write_training_file(tmp_path / "t.h5", random_sample((8, 9)), FLAT, NAMES)
        assert [path.name for path in tmp_path.iterdir()] == ["t.h5"]


def cases():
    return [
        (FLAT, (56, 64), (80, 104)),
        (FLAT, (10, 9), (60, 48)),  # smaller than a tile: mirrored more than once
        (FLAT, (48, 32), (56, 56)),
        (SOLID, (9, 30, 20), (44, 56, 60)),
    ]


@pytest.mark.parametrize(("model", "size", "tile"), cases())
class TestValidationTiles:
    def test_cover_the_image_in_order(self, model, size, tile):
        sample = random_sample(size, channels=2, frames=3)
        tiles = list(validation_tiles(sample, model, tile))
        output = [extent - 40 for extent in tile]
        counts = [-(-n // o) for n, o in zip(size, output, strict=True)]
        assert len(tiles) == np.prod(counts)
        whole = np.full(
            (3, 1, *(n * o for n, o in zip(counts, output, strict=True))), np.nan
        )
        labels = whole.copy()
        for index, each in zip(np.ndindex(*counts), tiles, strict=True):
            part = tuple(
                slice(i * o, (i + 1) * o) for i, o in zip(index, output, strict=True)
            )
            whole[(..., *part)] = each.weights
            labels[(..., *part)] = each.labels
        inside = tuple(slice(extent) for extent in size)
        np.testing.assert_array_equal(whole[(..., *inside)], sample.weights)
        np.testing.assert_array_equal(labels[(..., *inside)], sample.labels)
        whole[(..., *inside)] = 0
        assert not whole.any()

    def test_see_the_image_mirrored(self, model, size, tile):
        sample = random_sample(size, channels=2, frames=3)
        output = [extent - 40 for extent in tile]
        counts = [-(-n // o) for n, o in zip(size, output, strict=True)]
        far = [
            (20, max(count * o + 20 - n, 0))
            for count, o, n in zip(counts, output, size, strict=True)
        ]
        around = np.pad(sample.data, [(0, 0), (0, 0), *far], mode="reflect")
        tiles = validation_tiles(sample, model, tile)
        for index, each in zip(np.ndindex(*counts), tiles, strict=True):
            part = tuple(
                slice(i * o, i * o + extent)
                for i, o, extent in zip(index, output, tile, strict=True)
            )
            np.testing.assert_array_equal(each.data, around[(..., *part)])

    def test_have_mirrored_labels_beyond_the_image(self, model, size, tile):
        sample = random_sample(size)
        output = [extent - 40 for extent in tile]
        last = list(validation_tiles(sample, model, tile))[-1]
        far = [(0, max(-n % o, 0)) for n, o in zip(size, output, strict=True)]
        around = np.pad(sample.labels, [(0, 0), (0, 0), *far], mode="reflect")
        part = tuple(slice(-extent, None) for extent in output)
        np.testing.assert_array_equal(last.labels, around[(..., *part)])


@pytest.mark.parametrize("tile", [(40, 80), (80,), (80, 80, 80)])
def test_a_tile_without_output_is_an_error(tile):
    with pytest.raises(DataError, match="accepted are 2 numbers"):
        next(validation_tiles(random_sample((8, 9)), FLAT, tile))


def test_validation_files_hold_a_tile_each(tmp_path):
    sample = random_sample((56, 64), frames=2)
    files = write_validation_files(tmp_path / "id_valid_0", sample, FLAT, (80, 104))
    assert [path.name for path in files] == ["id_valid_0_0.h5", "id_valid_0_1.h5"]
    tiles = validation_tiles(sample, FLAT, (80, 104))
    for path, tile in zip(files, tiles, strict=True):
        with h5py.File(path) as file:
            assert sorted(file) == ["data3", "labels", "weights"]
            for name, array in zip(("data3", "labels", "weights"), tile, strict=True):
                np.testing.assert_array_equal(file[name][()], array)
                assert file[name].chunks == (1, 1, *array.shape[2:])
                assert file[name].attrs["element_size_um"].tolist() == [0.5, 0.5]
