import numpy as np
import pytest

from pyunet.errors import DataError
from pyunet_metrics.families import FAMILIES, Pair, score

MASK = np.zeros((2, 9, 9), int)
MASK[:, 2:5, 2:6] = 1


def _pair(**more):
    return Pair(MASK, MASK, 2, MASK * 0.8, MASK, MASK, **more)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_each_family_has_the_same_names_pooled_and_of_each_image(family):
    found = score(_pair(), [family])[family]
    assert set(found.per_image) <= set(found.pooled)
    assert {len(values) for values in found.per_image.values()} == {2}


def test_a_volume_has_no_images():
    found = score(_pair(element_size=(2, 1, 1)), ["distance", "objects"])
    assert found["distance"].per_image == found["objects"].per_image == {}
    assert found["objects"].pooled["f1"] == 1


def test_an_unknown_family_is_refused():
    with pytest.raises(DataError, match="metrics beauty: expected some of isbi, over"):
        score(_pair(), ["overlap", "beauty"])
