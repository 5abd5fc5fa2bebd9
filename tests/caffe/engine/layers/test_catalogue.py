"""The catalogue and its tests stay together."""

import ast
from pathlib import Path

import pytest

from caffe.engine.catalogue import layer_class, layer_type_list

TESTS = Path(__file__).parents[3]
CLASSES = {name: layer_class(name) for name in layer_type_list()}
WITH_A_FILE = ("caffe.engine.layers.", "caffe.dialects.freiburg.layers.")
FAMILIES = sorted(
    {
        cls.__module__
        for cls in CLASSES.values()
        if cls.__module__.startswith(WITH_A_FILE)
    }
)
OF_FORKS = sorted(
    (name, cls.dialect)
    for name, cls in CLASSES.items()
    if cls.dialect not in ("", "freiburg") and cls.__module__.startswith("caffe.")
)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_type_has_a_test_class_in_the_file_of_its_family(family):
    folder, _, name = family.rpartition(".")
    path = TESTS / folder.replace(".", "/") / f"test_{name}.py"
    tree = ast.parse(path.read_text())
    tested = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    types = {name for name, cls in CLASSES.items() if cls.__module__ == family}
    assert {f"Test{name}" for name in types} <= tested


@pytest.mark.parametrize(("name", "dialect"), OF_FORKS)
def test_every_type_of_a_fork_has_stored_answers_or_tests_of_its_own(name, dialect):
    stored = TESTS / "reference" / "forks" / name
    files = (TESTS / "caffe" / "dialects" / dialect).glob("test_*.py")
    assert stored.is_dir() or any(name in file.read_text() for file in files)


def test_classes_are_named_after_their_type():
    for name, cls in CLASSES.items():
        if cls.__module__ in FAMILIES:
            assert cls.__name__ == f"{name}Layer"
