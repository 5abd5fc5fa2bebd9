"""What docs/fiji.md tells people to type exists."""

import re
import shlex
from pathlib import Path

import pytest

from caffe.cli import VERBS as CAFFE_ACTIONS
from caffe.cli.flags import parse as parse_caffe
from pyunet import cli
from pyunet.fiji.flags import parse as parse_caffe_unet
from pyunet.fiji.main import ACTIONS as CAFFE_UNET_ACTIONS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "fiji.md").read_text(encoding="utf-8")
PROGRAMS = ("pyunet", "caffe", "caffe_unet")


def commands():
    """Return the command lines of blocks, and those in the text that have options."""
    blocks = re.findall(r"^(?: {4}|\t) *(\S.*)$", TEXT, re.MULTILINE)
    inline = re.findall(r"`([^`]+)`", TEXT)
    words = [shlex.split(line) for line in blocks]
    words += [shlex.split(code) for code in inline if re.match(r"(py|caffe)\S* ", code)]
    return [each for each in words if each and Path(each[0]).name in PROGRAMS]


def label(words):
    return " ".join(words)


def test_the_page_has_command_lines():
    assert len(commands()) > 10


@pytest.mark.parametrize(
    "words", [w for w in commands() if Path(w[0]).name == "pyunet"], ids=label
)
def test_a_command_line_of_pyunet_is_understood(words):
    assert words[1] in cli.VERBS or words[1] == "--version"
    cli._parser(words[1:]).parse_args(words[1:])


@pytest.mark.parametrize(
    "words", [w for w in commands() if w[0].startswith("caffe")], ids=label
)
def test_a_command_line_of_the_plugin_is_understood(words):
    parse, actions = {
        "caffe": (parse_caffe, CAFFE_ACTIONS),
        "caffe_unet": (parse_caffe_unet, CAFFE_UNET_ACTIONS),
    }[words[0]]
    _, rest = parse(words[1:])
    assert set(rest) <= set(actions)
    assert len(rest) <= 1


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
