"""The shipped vessel net finds dark lines in a drawn photograph of the retina."""

import numpy as np
import pytest
from scipy import ndimage

import pyunet
from pyunet_metrics.ranking import roc_auc

RADIUS = 180


@pytest.fixture(scope="module")
def drawn():
    """Give a photograph (3, Y, X), its lines and its field of view."""
    y, x = np.mgrid[:400, :420]
    eye = np.hypot(y - 200, x - 210) < RADIUS
    lines = np.zeros(eye.shape, bool)
    for number, width in enumerate((2, 3, 4, 5)):
        wave = 70 + 80 * number + 15 * np.sin(x / 40 + number)
        lines |= np.abs(y - wave) < width / 2
    light = 150 - 0.15 * np.hypot(y - 150, x - 260) - 35 * lines
    light = ndimage.gaussian_filter(light, 1)
    light += np.random.default_rng(0).normal(0, 2, light.shape)
    colours = np.stack([1.4 * light, light, 0.5 * light])
    photograph = np.where(eye, np.clip(colours, 0, 255), 3).astype(np.uint8)
    return photograph, lines, eye


@pytest.fixture(scope="module")
def vessels():
    return pyunet.load("retinal-vessels")


@pytest.mark.parametrize("times", [1, 2])
def test_at_any_size_without_training(vessels, drawn, times):
    photograph, lines, eye = (
        np.kron(one, np.ones((times, times), one.dtype)) for one in drawn
    )
    scores = vessels(photograph)
    found = scores[1] - scores[0]
    assert found.shape == lines.shape
    assert roc_auc(lines[eye], found[eye]) > 0.98
    assert vessels.classes == ("background", "vessel")
