"""Synthetic images of cells: what is in them, and that their truth is exact."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import label, regionprops

from pyunet.data.labels import interpret_labels
from pyunet.data.weightmaps import two_nearest
from pyunet.errors import DataError
from pyunet_synthetic.cells import KINDS, draw_cells, synthetic_cells
from pyunet_synthetic.optics import OPTICS, Scene, display


@pytest.fixture(scope="module")
def made():
    return synthetic_cells(10, 192, rng=0)


def one_disc(radius=20, size=96):
    """A scene of one round cell."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    distance = np.hypot(y, x) / radius
    inside = (distance < 1).astype(np.intp)
    return Scene(inside, np.minimum(distance, 1).astype(np.float32), float(radius))


def shown(kind, scene, count=20):
    """Mean of many pictures of a scene, in their own standard deviations."""
    rng = np.random.default_rng(0)
    pictures = [OPTICS[kind](scene, rng) for _ in range(count)]
    return np.mean([(p - p.mean()) / p.std() for p in pictures], axis=0)


def test_repeats_with_the_seed():
    first, again, other = (synthetic_cells(5, 64, rng=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).mean() > 0.5


def test_every_number_is_one_piece_and_no_number_is_left_out(made):
    for image in made[1]:
        pieces = label(image, background=0, connectivity=1).max()
        assert pieces == image.max() == len(np.unique(image)) - (0 in image)


def test_cells_are_of_the_sizes_that_are_promised():
    rng = np.random.default_rng(3)
    radii = [
        region.equivalent_diameter_area / 2
        for _ in range(15)
        for region in regionprops(draw_cells(192, rng).owner)
        # whole ones, as the border cuts others
        if min(region.bbox[:2]) > 0 and max(region.bbox[2:]) < 192
    ]
    assert 3 < np.percentile(radii, 1) < 8
    assert 20 < np.percentile(radii, 99) < 45


def test_images_are_sparse_to_dense(made):
    shares = (made[1] > 0).mean(axis=(1, 2))
    assert shares.min() < 0.2 < 0.4 < shares.max()


def test_cells_that_touch_are_parted_by_a_thin_line(made):
    # nothing is left to do for the reader of labels, which parts what is adjacent
    parted = interpret_labels(made[1], kind="instances").classes
    np.testing.assert_array_equal(parted > 0, made[1] > 0)
    first, second = two_nearest(made[1][6].astype(np.int32), reach=6)
    assert ((first > 0) & (np.sqrt(first) + np.sqrt(second) <= 4)).sum() > 20


def test_every_image_has_a_cell():
    labels = synthetic_cells(30, 64, rng=5)[1]
    assert labels.any(axis=(1, 2)).all()


def test_grey_values_are_within_what_a_model_takes_as_it_is(made):
    means, deviations = made[0].mean(axis=(1, 2)), made[0].std(axis=(1, 2))
    assert 0.28 * 255 < means.min() < means.max() < 0.62 * 255
    # cutting off too bright pixels takes some
    assert 0.07 * 255 < deviations.min() < deviations.max() < 0.23 * 255


class TestKinds:
    def test_fluorescent_cells_are_bright(self):
        scene = one_disc()
        picture = shown("fluorescence", scene)
        assert picture[scene.owner > 0].mean() > picture[scene.owner == 0].mean() + 1

    @pytest.mark.parametrize("kind", ["bright-field", "histology"])
    def test_stained_cells_are_dark(self, kind):
        scene = one_disc()
        picture = shown(kind, scene)
        assert picture[scene.owner > 0].mean() < picture[scene.owner == 0].mean() - 0.5

    def test_phase_contrast_has_a_halo(self):
        scene = one_disc()
        rng = np.random.default_rng(1)
        near = ndimage.binary_dilation(scene.owner, iterations=4) & (scene.owner == 0)
        far = ~ndimage.binary_dilation(scene.owner, iterations=25)
        steps = []
        for _ in range(20):
            picture = OPTICS["phase"](scene, rng)
            inside, halo, ground = (
                picture[mask].mean() for mask in (scene.owner > 0, near, far)
            )
            steps.append((inside - ground) * (halo - ground))
        # the halo goes the other way than the cell
        assert np.mean(np.array(steps) < 0) > 0.8

    def test_differential_contrast_shades_opposite_sides_oppositely(self):
        scene = one_disc()
        picture = OPTICS["dic"](scene, np.random.default_rng(2))
        y, x = np.mgrid[:96, :96] - 47.5
        rim = (np.hypot(y, x) > 14) & (np.hypot(y, x) < 21)
        dipole = np.array([(picture * rim * axis).sum() for axis in (y, x)])
        dipole /= np.linalg.norm(dipole)
        towards = (dipole[0] * y + dipole[1] * x) * rim
        assert picture[towards > 10].mean() > 1 > picture[towards < -10].mean()

    def test_come_in_turn(self):
        images, _ = synthetic_cells(5, 64, rng=7)
        rng = np.random.default_rng(7)
        for image, kind in zip(images, KINDS, strict=True):
            scene = draw_cells(64, rng)
            np.testing.assert_array_equal(image, display(OPTICS[kind](scene, rng), rng))


@pytest.mark.parametrize(
    ("images", "size", "kinds"), [(0, 64, KINDS), (1, 32, KINDS), (1, 64, ["x-ray"])]
)
def test_what_cannot_be_made_is_refused(images, size, kinds):
    with pytest.raises(DataError, match="expected 1 or more images of 64"):
        synthetic_cells(images, size, kinds=kinds)
