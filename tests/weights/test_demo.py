"""The model `demo`, on slices that it was not trained on."""

import numpy as np

import pyunet
from pyunet_metrics.baseline import otsu
from pyunet_synthetic.membranes import synthetic_stack


def test_is_better_than_a_threshold_by_far():
    images, truth = synthetic_stack(2, 148, rng=5)
    model = pyunet.load("demo")
    errors = [
        np.mean((model.labels(image) > 0) != (inside > 0))
        for image, inside in zip(images, truth, strict=True)
    ]
    threshold = np.mean(otsu(images)[0] != (truth > 0))
    assert max(errors) < 0.1 < threshold
