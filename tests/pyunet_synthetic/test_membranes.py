import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter
from skimage.filters import threshold_otsu
from skimage.measure import label

from pyunet.data.labels import interpret_labels
from pyunet.errors import DataError
from pyunet_synthetic.membranes import synthetic_stack, write_synthetic


@pytest.fixture(scope="module")
def stack():
    return synthetic_stack(4, 192, rng=0)


def test_repeats_with_the_seed(stack):
    again, other = (synthetic_stack(4, 192, rng=seed)[0] for seed in (0, 1))
    np.testing.assert_array_equal(stack[0], again)
    assert (again != other).mean() > 0.5


def test_looks_like_electron_micrographs(stack):
    images, labels = stack
    assert images.dtype == labels.dtype == np.uint8
    assert 0.1 < (labels == 0).mean() < 0.3
    inside, membrane = images[labels > 0].mean(), images[labels == 0].mean()
    assert inside - membrane > 25


def test_has_dozens_of_cells_that_change_slowly(stack):
    labels = stack[1] > 0
    assert 20 < label(labels[0], connectivity=1).max() < 200
    assert (labels[0] == labels[1]).mean() > (labels[0] == labels[3]).mean() > 0.6


@pytest.mark.parametrize("smoothing", [0, 1, 2])
def test_fools_a_threshold(stack, smoothing):
    images, labels = stack
    smooth = gaussian_filter(images.astype(float), (0, smoothing, smoothing))
    error = np.mean((smooth > threshold_otsu(smooth)) != (labels > 0))
    assert error > 0.15


def test_labels_are_understood_as_isbi(stack):
    assert "255 is the inside of cells" in interpret_labels(stack[1]).sentence


def test_files_are_stacks(stack, tmp_path):
    images, labels = write_synthetic(*stack, tmp_path / "new" / "folder")
    np.testing.assert_array_equal(tifffile.imread(images), stack[0])
    np.testing.assert_array_equal(tifffile.imread(labels), stack[1])
    assert {p.name for p in images.parent.iterdir()} == {"images.tif", "labels.tif"}


@pytest.mark.parametrize(("slices", "size"), [(0, 64), (1, 16)])
def test_too_small_a_stack_is_refused(slices, size):
    with pytest.raises(DataError, match="expected 1 or more slices of 32"):
        synthetic_stack(slices, size)


def test_a_folder_that_is_a_file_is_refused(stack, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="file: cannot be written"):
        write_synthetic(*stack, tmp_path / "file")
