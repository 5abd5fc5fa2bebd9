"""The catalogue and its tests stay together."""

import ast
from pathlib import Path

import pytest

from caffe.engine.catalogue import layer_class, layer_type_list

TESTS = Path(__file__).parents[3]
CLASSES = {name: layer_class(name) for name in layer_type_list()}
FAMILIES = sorted(
    {
        cls.__module__
        for cls in CLASSES.values()
        if ".layers." in cls.__module__ and cls.__module__.startswith("caffe.")
    }
)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_type_has_a_test_class_in_the_file_of_its_family(family):
    folder, _, name = family.rpartition(".")
    path = TESTS / folder.replace(".", "/") / f"test_{name}.py"
    tree = ast.parse(path.read_text())
    tested = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    types = {name for name, cls in CLASSES.items() if cls.__module__ == family}
    assert {f"Test{name}" for name in types} <= tested


def test_classes_are_named_after_their_type():
    for name, cls in CLASSES.items():
        if cls.__module__ in FAMILIES:
            assert cls.__name__ == f"{name}Layer"
