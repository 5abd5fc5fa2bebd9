"""What several verbs share on their command lines."""

import argparse

import pytest

from pyunet.cli import main
from pyunet.cli.arguments import element_size, slices


@pytest.mark.parametrize("text", ["3", "a:b", "1:2:3", "-1:4", "4:4", "5:2"])
def test_slices_are_two_rising_numbers_with_a_colon(text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}' "):
        slices(text)


@pytest.mark.parametrize("text", ["", "a", "1x", "0", "-1", "inf", "nan", "1x1x1x1"])
def test_a_pixel_size_is_one_to_three_numbers_above_zero(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no pixel size such as"):
        element_size(text)


@pytest.mark.parametrize(
    "verb",
    [["data", "make"], ["data", "synthetic"], ["segment"], ["evaluate"], ["finetune"]],
)
def test_the_help_of_every_verb_ends_with_an_example(verb, capsys):
    assert main([*verb, "--help"]) == 0
    example = capsys.readouterr().out.partition("example:")[2]
    assert f"pyunet {' '.join(verb)} --" in example


@pytest.mark.parametrize("verb", [["data", "make"], ["segment"], ["evaluate"]])
def test_a_verb_says_what_is_wrong_with_its_slices(verb, capsys):
    assert main([*verb, "--slices", "3"]) == 2
    assert "'3' is not FIRST:LAST, such as 24:30" in capsys.readouterr().err
