import json
import sys
from pathlib import Path

import numpy as np
import pytest

from pyunet.errors import DataError
from pyunet_metrics import saliency
from tests.support.stored import load_arrays

REFERENCE = Path(__file__).parents[1] / "reference" / "metrics_sod"
EXPECTED = json.loads((REFERENCE / "expected.json").read_text())["cases"]


def _load(name):
    arrays = load_arrays(REFERENCE / f"{name}.npz")
    return arrays["gt"], arrays["pred"]


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_gives_the_numbers_of_pysodmetrics(name):
    found = saliency.evaluate(*_load(name))
    assert found == pytest.approx(EXPECTED[name], abs=1e-6)


def test_of_a_stack_are_means_over_its_images():
    truth, prediction = _load("00_soft")
    found = saliency.evaluate([truth, truth], [prediction, prediction])
    assert found == pytest.approx(EXPECTED["00_soft"], abs=1e-6)
    mixed = saliency.evaluate([truth, truth], [prediction, truth])
    assert mixed["mae"] == pytest.approx(EXPECTED["00_soft"]["mae"] / 2)
    assert mixed["hce"] == EXPECTED["00_soft"]["hce"] / 2


def test_takes_booleans_and_floats_to_1_for_grey_values():
    truth, prediction = _load("01_shift")
    found = saliency.evaluate(truth > 128, prediction / 255)
    assert found == pytest.approx(EXPECTED["01_shift"], abs=1e-6)


@pytest.mark.parametrize(
    ("truth", "prediction", "text"),
    [
        (np.ones((2, 2)), np.ones((2, 3)), r"\(2, 2\).*\(2, 3\).*same shape"),
        (np.ones(4), np.ones(4), r"expected the same shape for both, \(Y, X\)"),
        (np.ones((2, 2)), np.full((2, 2), -1), "prediction has values from -1 to -1"),
        (np.full((2, 2), np.nan), np.ones((2, 2)), "truth has values from nan"),
        (np.ones((0, 2)), np.ones((0, 2)), "same shape"),
    ],
)
def test_refuses_what_cannot_be_compared(truth, prediction, text):
    with pytest.raises(DataError, match=text):
        saliency.evaluate(truth, prediction)


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "py_sod_metrics", None)
    with pytest.raises(DataError, match=r"pip install pyunet\[metrics\]"):
        saliency.evaluate(np.eye(2), np.eye(2))
