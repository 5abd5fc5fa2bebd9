"""Every layer against numbers that the original Caffe computed."""

import pytest

from tests.support.layers import REFERENCE, check_reference

NAMES = sorted(path.stem for path in REFERENCE.glob("*.npz"))


@pytest.mark.reference
@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_the_original_caffe(name):
    check_reference(name)


def test_there_are_stored_answers():
    assert len(NAMES) >= 52
