"""Every module, name and path on docs/architecture.md exists."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGES = {path.parent.name for path in ROOT.glob("*/__init__.py")}
NAMED = sorted(set(re.findall(r"`([^`\s]+)`", PAGE)))
# entry point groups look like modules
GROUPS = {"caffe.dialects", "caffe.layers", "pyunet.verbs", "pyunet.data"}
DOTTED = [
    name for name in NAMED
    if "." in name and "/" not in name
    and name.partition(".")[0] in PACKAGES and name not in GROUPS
]  # fmt: skip
PATHS = [name for name in NAMED if "/" in name]


def value_of(dotted):
    """Import as much of a dotted name as is a module, and get the rest from it."""
    words = dotted.split(".")
    for end in range(len(words), 0, -1):
        try:
            value = importlib.import_module(".".join(words[:end]))
        except ModuleNotFoundError as error:
            if not dotted.startswith(str(error.name)):
                raise
            continue
        for word in words[end:]:
            value = getattr(value, word)
        return value
    raise AssertionError(f"no module {dotted}")


@pytest.mark.parametrize("dotted", DOTTED)
def test_a_module_or_name_exists(dotted):
    assert value_of(dotted) is not None


@pytest.mark.parametrize("path", PATHS)
def test_a_path_exists(path):
    assert (ROOT / path).exists()


def test_every_package_is_on_the_page():
    assert {name for name in PACKAGES if name in PAGE} == PACKAGES


def test_a_misspelt_name_would_be_noticed():
    with pytest.raises(AttributeError):
        value_of("caffe.engine.nett")


def test_the_page_names_many_modules():
    assert len(DOTTED) > 10
    assert len(PATHS) > 3
