"""Modules, names and paths on the pages about the code exist."""

import importlib
import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {path.parent.name for path in ROOT.glob("*/__init__.py")}
# entry point groups look like modules, and what a page adds is not there
GROUPS = {"pyunet.verbs", "pyunet.data", "pyunet.models"}


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


ARCHITECTURE, CONTRIBUTING = map(text_of, ("docs/architecture.md", "CONTRIBUTING.md"))
NAMED = set(re.findall(r"`([^`\s<>]+)`", ARCHITECTURE + CONTRIBUTING))
DOTTED = sorted(
    name for name in NAMED - GROUPS
    if re.fullmatch(rf"({'|'.join(PACKAGES)})(\.\w+)+", name)
)  # fmt: skip
PATHS = sorted(name for name in NAMED if "/" in name)


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
    assert {name for name in PACKAGES if name in ARCHITECTURE} == PACKAGES


def test_a_misspelt_name_would_be_noticed():
    with pytest.raises(AttributeError):
        value_of("caffe.engine.nett")


def test_the_pages_name_many_modules():
    assert len(DOTTED) > 10
    assert len(PATHS) > 20


def test_a_shown_piece_of_python_is_python():
    blocks = re.findall(r"```python\n(.*?)```", CONTRIBUTING, re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        source = textwrap.dedent(block).replace("    ...\n", "    **{},\n")
        compile(source, "CONTRIBUTING.md", "exec")


def test_prototxts_are_parsed_in_one_place():
    sources = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    parsing = {
        str(path.relative_to(ROOT))
        for path in sources
        if "text_format" in path.read_text(encoding="utf-8")
    }
    assert parsing == {"caffe/proto/text.py"}


def test_the_page_about_dialects_shows_the_package_that_the_tests_install():
    page = text_of("docs/dialects.md")
    folder = ROOT / "tests" / "support" / "shrinkage"
    files = [folder / "pyproject.toml", *(folder / "caffe_shrinkage").iterdir()]
    texts = [path.read_text(encoding="utf-8") for path in files if path.is_file()]
    assert len(texts) > 3
    assert all(text in page for text in texts)
