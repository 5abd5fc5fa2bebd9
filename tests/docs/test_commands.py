"""What the pages tell people to type exists: programs, verbs, options, scripts."""

import argparse
import dataclasses

import pytest

from caffe.cli import VERBS as CAFFE_ACTIONS
from caffe.cli.flags import Flags
from caffe.flags import parse_flags
from pyunet import cli
from pyunet_fiji.backend.flags import Flags as CaffeUnetFlags
from pyunet_fiji.backend.main import ACTIONS as CAFFE_UNET_ACTIONS
from tests.support.doc_commands import PAGES, ROOT, shown

# scripts that hand their arguments on
HANDED_ON = {
    "tools/train.sh": ("caffe", "train", "-solver"),
    "tools/segment_and_track.sh": ("pyunet", "segment-and-track"),
}
ACTIONS = {
    "caffe": (Flags, CAFFE_ACTIONS),
    "caffe_unet": (CaffeUnetFlags, CAFFE_UNET_ACTIONS),
}
ALL = [each for page in PAGES for each in shown(page)]


def of(*programs, whole=True):
    return [s for s in ALL if s.program in programs and s.whole is whole]


def alternatives(words):
    """Give the verbs of ``a|b|c`` one by one."""
    return words[0].split("|") if words else []


def parser_of(parser, words):
    """Follow verbs down to the parser of the last; give it and what is left."""
    subparsers = [
        action for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
    ]  # fmt: skip
    if not subparsers or not words or words[0].startswith("-"):
        return parser, words
    choices = subparsers[0].choices
    verbs = alternatives(words)
    assert set(verbs) <= set(choices), f"{verbs} are not all in {list(choices)}"
    return parser_of(choices[verbs[0]], words[1:])


def test_the_pages_have_command_lines():
    assert len(of("pyunet")) > 40
    assert len(of("caffe")) > 5
    assert len(of("pyunet", whole=False)) > 20


@pytest.mark.parametrize("line", of("pyunet"), ids=str)
def test_a_command_line_of_pyunet_is_understood(line):
    words = line.words[1:]
    if words[0] != "--version":
        cli._parser(words).parse_args(words)


@pytest.mark.parametrize("line", of("pyunet", whole=False), ids=str)
def test_verb_and_options_in_a_sentence_exist(line):
    words = line.words[1:]
    verbs = cli.verb_names()
    assert set(alternatives(words)) <= {*verbs, "--version", "--help", "--debug"}
    if words and words[0] in verbs:
        parser, rest = parser_of(cli._parser(words), words)
        options = {word.partition("=")[0] for word in rest if word.startswith("-")}
        assert options <= {*parser._option_string_actions, "..."}


@pytest.mark.parametrize("line", of(*ACTIONS), ids=str)
def test_a_command_line_of_caffe_is_understood(line):
    flags, actions = ACTIONS[line.program]
    _, rest = parse_flags(flags, line.words[1:])
    assert len(rest) <= 1
    assert set(rest) <= set(actions)


@pytest.mark.parametrize("line", of("caffe", whole=False), ids=str)
def test_verb_and_flags_of_caffe_in_a_sentence_exist(line):
    words = line.words[1:]
    if words and not words[0].startswith("-"):
        assert set(alternatives(words)) <= set(CAFFE_ACTIONS)
    flags = {word.lstrip("-") for word in words if word.startswith("-")}
    assert flags <= {each.name for each in dataclasses.fields(Flags)}


SCRIPTS = [each for each in ALL if each.program.startswith("tools/")]


@pytest.mark.parametrize("line", SCRIPTS, ids=str)
def test_a_script_is_there_and_what_it_is_given_is_understood(line):
    assert (ROOT / line.program).exists()
    program, *first = HANDED_ON.get(line.program, ("",))
    rest = [*first, *line.words[1:]]
    if not line.whole or not program or "--help" in rest:
        return
    if program == "caffe":
        assert parse_flags(Flags, rest)[1] == ["train"]
    else:
        parser, left = parser_of(cli._parser(rest), rest)
        options = {word for word in left if word.startswith("-")}
        assert options <= set(parser._option_string_actions)
