"""The model `cells`, on synthetic images that it was not trained on."""

import numpy as np
import pytest

import pyunet
from pyunet.objects.instances import find_instances
from pyunet_metrics.objects import f1
from pyunet_synthetic.cells import KINDS, synthetic_cells


@pytest.fixture(scope="module")
def model():
    return pyunet.load("cells")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_finds_most_cells_of_every_kind_at_any_depth_of_grey(model, kind, dtype):
    images, truth = synthetic_cells(1, 192, kinds=[kind], rng=304)
    # 12 of 16 bits, as many cameras have: far from the training images
    grey = images[0] if dtype == np.uint8 else images[0].astype(dtype) * 16
    labels = model.labels(grey)
    found = find_instances(np.asarray(labels), how="watershed", min_size_px=30)
    assert f1(truth[0].astype(int), found) > 0.6
    assert np.mean((truth[0] > 0) == (labels > 0)) > 0.9
