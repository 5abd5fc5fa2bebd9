import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from pyunet.data.augmentation import Augmentation
from pyunet.data.labels import interpret_labels
from pyunet.data.training_set import Recipe, TileSource
from pyunet.data.weightmaps import border_weights
from pyunet.errors import DataError

CELL = np.pad(np.full((9, 9), 255, np.uint8), ((1, 0), (1, 0)))
LABELS = interpret_labels(np.tile(CELL, (2, 6, 7)))
IMAGES = np.random.default_rng(0).random((2, 1, 60, 70), dtype=np.float32)
PLAIN = Recipe((52, 56), (40, 40), samples=0)


class TestPlainTiles:
    def test_cover_every_image_with_the_fewest_tiles(self):
        assert len(TileSource(IMAGES, LABELS, PLAIN)) == 2 * 2 * 2

    def test_are_cut_from_the_images_and_mirrored_beyond_them(self):
        samples = list(TileSource(IMAGES, LABELS, PLAIN))
        # the first output tile starts at (0, 0), its input at (-6, -8)
        mirrored = np.pad(IMAGES[0], ((0, 0), (6, 6), (8, 8)), mode="reflect")
        np.testing.assert_allclose(samples[0].data, mirrored[:, :52, :56], atol=1e-6)
        np.testing.assert_array_equal(samples[0].label, LABELS.classes[:1, :40, :40])
        # the last ends with the image
        np.testing.assert_array_equal(samples[-1].label, LABELS.classes[1:, 20:, 30:])
        np.testing.assert_allclose(samples[-1].data, _last(), atol=1e-6)

    def test_carry_the_weights_of_the_paper(self):
        first = next(iter(TileSource(IMAGES, LABELS, PLAIN)))
        frequent = LABELS.classes.mean() / (1 - LABELS.classes.mean())
        expected = border_weights(LABELS.instances[0]) + np.where(
            LABELS.classes[0], 1, frequent
        )
        np.testing.assert_allclose(first.weights[0], expected[:40, :40], rtol=1e-5)

    def test_of_an_image_smaller_than_a_tile_are_centred_on_it(self):
        recipe = Recipe((100, 100), (80, 90), samples=0)
        (first, _) = TileSource(IMAGES, LABELS, recipe)
        np.testing.assert_array_equal(first.label[0, 10:70, 10:80], LABELS.classes[0])


def _last():
    mirrored = np.pad(IMAGES[1], ((0, 0), (6, 6), (8, 8)), mode="reflect")
    return mirrored[:, -52:, -56:]


class TestAugmentedTiles:
    recipe = Recipe((52, 56), (40, 40), samples=6)

    def test_repeat_with_the_seed(self):
        source = TileSource(IMAGES, LABELS, self.recipe)
        first, second = list(source), list(source)
        other = list(
            TileSource(IMAGES, LABELS, dataclasses.replace(self.recipe, seed=1))
        )
        assert len(first) == 6
        for one, two in zip(first, second, strict=True):
            for values, again in zip(one, two, strict=True):
                np.testing.assert_array_equal(values, again)
        assert (first[0].data != other[0].data).any()

    def test_have_the_shapes_and_types_of_the_net(self):
        for data, label, weights in TileSource(IMAGES, LABELS, self.recipe):
            assert (data.shape, data.dtype) == ((1, 52, 56), np.float32)
            assert (label.shape, label.dtype) == ((1, 40, 40), np.uint8)
            assert (weights.shape, weights.dtype) == ((1, 40, 40), np.float32)
            assert 0 <= data.min() < data.max() <= 1
            assert set(np.unique(label)) == {0, 1}

    def test_bend_image_and_label_alike(self):
        # the image is the label map, so both must agree in the middle of a tile
        pictures = LABELS.classes[:, None].astype(np.float32)
        how = Augmentation(grey=0, interpolation="linear", elastic_std=3)
        recipe = dataclasses.replace(self.recipe, augmentation=how)
        for data, label, _ in TileSource(pictures, LABELS, recipe):
            middle = data[0, 6:46, 8:48]
            assert (np.abs(middle - label[0]) <= 0.76).all()
            assert np.mean((middle > 0.5) == label[0]) > 0.97

    def test_without_any_variation_are_plain_tiles(self):
        how = Augmentation(
            elastic_std=0, rotate=False, mirror=False, shift=False, grey=0
        )
        recipe = dataclasses.replace(self.recipe, augmentation=how)
        plain = np.stack([s.label for s in TileSource(IMAGES, LABELS, PLAIN)])
        for sample in TileSource(IMAGES, LABELS, recipe):
            assert (sample.label == plain).all(axis=(1, 2, 3)).any()

    def test_come_from_all_slices_in_turn(self):
        flat = np.stack([np.full((1, 60, 70), grey, np.float32) for grey in (0.2, 0.7)])
        how = Augmentation(grey=0)
        recipe = dataclasses.replace(self.recipe, augmentation=how)
        greys = [
            round(float(s.data.mean()), 3) for s in TileSource(flat, LABELS, recipe)
        ]
        assert sorted(greys) == [0.2] * 3 + [0.7] * 3

    def test_keep_every_channel(self):
        colour = np.concatenate([IMAGES, IMAGES / 2, IMAGES / 4], axis=1)
        recipe = dataclasses.replace(self.recipe, augmentation=Augmentation(grey=0))
        data = next(iter(TileSource(colour, LABELS, recipe))).data
        assert data.shape == (3, 52, 56)


class TestVolumes:
    volume = np.random.default_rng(1).random((2, 2, 12, 40, 44), dtype=np.float32)
    recipe = Recipe((8, 30, 30), (4, 20, 22), samples=3)

    def labels(self, images):
        classes = (images[:, 0] > 0.5).astype(np.uint8)
        return interpret_labels(classes, kind="classes")

    def test_give_tiles_of_every_channel(self):
        source = TileSource(self.volume, self.labels(self.volume), self.recipe)
        for data, label, weights in source:
            assert data.shape == (2, 8, 30, 30)
            assert label.shape == weights.shape == (1, 4, 20, 22)

    def test_are_covered_by_plain_tiles(self):
        recipe = dataclasses.replace(self.recipe, samples=0)
        labels = self.labels(self.volume)
        samples = list(TileSource(self.volume, labels, recipe))
        assert len(samples) == 2 * 3 * 2 * 2
        np.testing.assert_array_equal(
            samples[0].label[0], labels.classes[0, :4, :20, :22]
        )
        mirrored = np.pad(
            self.volume[0], ((0, 0), (2, 2), (5, 5), (4, 4)), mode="reflect"
        )
        np.testing.assert_allclose(
            samples[0].data, mirrored[:, :8, :30, :30], atol=1e-6
        )

    def test_bend_image_and_label_alike(self):
        smooth = ndimage.gaussian_filter(self.volume, (0, 0, 2, 3, 3))[:, :1]
        blobs = (smooth > 0.5).astype(np.float32)
        how = Augmentation(
            grey=0, interpolation="linear", elastic_std=(0.5, 3.0, 3.0),
            field="freiburg", elastic_spacing=(6, 15, 15),
        )  # fmt: skip
        recipe = dataclasses.replace(self.recipe, augmentation=how)
        for data, label, _ in TileSource(blobs, self.labels(blobs), recipe):
            middle = data[0, 2:6, 5:25, 4:26]
            assert np.mean((middle > 0.5) == label[0]) > 0.9

    def test_need_tiles_of_three_axes(self):
        with pytest.raises(DataError, match="12 x 40 x 44 pixels and tiles of 52 x 56"):
            TileSource(self.volume, self.labels(self.volume), PLAIN)
        with pytest.raises(DataError, match="input 8 x 30 x 30 and output 20 x 22"):
            Recipe((8, 30, 30), (20, 22))


def test_draws_say_where_each_tile_was_read():
    source = TileSource(IMAGES, LABELS, PLAIN)
    draws = list(source.draws())
    assert [draw.number for draw in draws] == [0] * 4 + [1] * 4
    np.testing.assert_array_equal(draws[0].coordinates[:, 6, 8], [0, 0])
    np.testing.assert_array_equal(draws[0].sample.data, next(iter(source)).data)


@pytest.mark.parametrize("output", [(60, 40), (39, 40), (0, 40)])
def test_an_output_tile_that_does_not_fit_is_refused(output):
    with pytest.raises(DataError, match="input 52 x 56 and output"):
        Recipe((52, 56), output)


def test_a_negative_number_of_samples_is_refused():
    with pytest.raises(DataError, match="-1 samples"):
        Recipe(samples=-1)
