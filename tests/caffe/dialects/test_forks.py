"""Layers of Caffe's forks against numbers that the forks computed."""

from pathlib import Path

import pytest

from tests.support.forks import REFERENCE, check_data_case, check_layer_case

LAYERS = sorted(REFERENCE.glob("*/*.npz"))
DATA_LAYERS = sorted(path.parent for path in REFERENCE.glob("*/*/net.prototxt"))


def name_of(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


@pytest.mark.reference
@pytest.mark.parametrize("path", LAYERS, ids=name_of)
def test_a_layer_agrees_with_its_fork(path, tmp_path, monkeypatch):
    # MultiStageMeanfield reads its first weights from these files
    (tmp_path / "spatial.par").write_text("3\n" * 32)
    (tmp_path / "bilateral.par").write_text("5\n" * 32)
    monkeypatch.chdir(tmp_path)
    check_layer_case(path)


@pytest.mark.reference
@pytest.mark.parametrize("folder", DATA_LAYERS, ids=name_of)
def test_a_data_layer_agrees_with_its_fork(folder, monkeypatch):
    monkeypatch.chdir(folder)
    check_data_case(folder)


def test_there_are_stored_answers():
    assert LAYERS
