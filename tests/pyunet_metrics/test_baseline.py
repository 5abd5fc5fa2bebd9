import numpy as np
import pytest

from pyunet.errors import DataError
from pyunet_metrics.baseline import otsu


def _two_halves(height=16, width=32):
    images = np.full((1, height, width), 60, np.uint8)
    images[..., width // 2 :] = 200
    return images


class TestOtsu:
    def test_takes_the_brighter_side_for_inside(self):
        inside, threshold = otsu(_two_halves())
        assert 60 <= threshold < 200
        assert inside[..., 16:].all()
        assert not inside[..., :16].any()

    def test_uses_one_threshold_for_all_slices(self):
        images = np.stack([np.full((4, 8), grey, np.uint8) for grey in (50, 60, 210)])
        inside, _ = otsu(images)
        assert inside.all(axis=(1, 2)).tolist() == [False, False, True]

    def test_smoothing_removes_single_pixels(self):
        images = _two_halves()
        images[0, 8, 5] = 255
        assert otsu(images)[0][0, 8, 5]
        assert not otsu(images, sigma=2)[0][0, 8, 5]

    def test_smooths_within_slices_only(self):
        images = np.concatenate([np.zeros((1, 8, 8)), np.ones((1, 8, 8))])
        inside, _ = otsu(images, sigma=2)
        assert inside.mean(axis=(1, 2)).tolist() == [0, 1]

    def test_finds_nothing_in_images_of_one_grey_value(self):
        assert not otsu(np.full((1, 4, 4), 7, np.uint8))[0].any()

    @pytest.mark.parametrize(
        "images",
        [np.ones((4, 4)), np.ones((0, 4, 4)), np.full((1, 2, 2), np.inf)],
    )
    def test_refuses_what_has_no_threshold(self, images):
        with pytest.raises(DataError, match="cannot be thresholded"):
            otsu(images)
