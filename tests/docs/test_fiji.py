"""What docs/fiji.md leads to exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "fiji.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", TEXT))
def test_a_file_that_is_linked_is_there(target):
    assert (ROOT / "docs" / target).exists()


@pytest.mark.parametrize("target", re.findall(r"\]\(#([^)]+)\)", TEXT))
def test_a_section_that_is_linked_is_there(target):
    heads = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    assert target in [head.lower().replace(" ", "-") for head in heads]


@pytest.mark.parametrize("path", re.findall(r"tools/containers/[\w.]+", TEXT))
def test_a_container_file_is_there(path):
    assert (ROOT / path).is_file()


def test_no_line_is_longer_than_the_tables_and_commands_need():
    lines = [line for line in TEXT.splitlines() if not line.startswith(("|", "    "))]
    assert max(map(len, lines)) <= 165
