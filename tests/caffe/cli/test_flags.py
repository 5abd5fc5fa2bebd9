from dataclasses import dataclass

import pytest

from caffe.cli.flags import (
    CommonFlags,
    FlagError,
    Flags,
    begin,
    flag,
    parse,
    parse_as,
    table,
)


@dataclass
class ToolFlags(CommonFlags):
    """Flags of a tool."""

    size: int = flag(3, "Size of things.")


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "-solver", "s", "-gpu", "0"],
        ["-solver=s", "--gpu=0", "train"],
        ["--solver", "s", "train", "--gpu", "0"],
    ],
)
def test_both_spellings_before_and_after_the_action(arguments):
    flags, rest = parse(arguments)
    assert (flags.solver, flags.gpu, rest) == ("s", "0", ["train"])


@pytest.mark.parametrize(
    ("argument", "wanted"),
    [
        ("-debug", True),
        ("--debug=true", True),
        ("-debug=1", True),
        ("-nodebug", False),
        ("--debug=false", False),
    ],
)
def test_switches(argument, wanted):
    assert parse([argument, "test"])[0].debug is wanted


def test_values_may_begin_with_a_minus_sign():
    assert parse(["-iterations", "-1"])[0].iterations == -1


def test_two_minus_signs_end_the_flags():
    assert parse(["--", "-gpu"]) == (Flags(), ["-gpu"])


def test_the_defaults_are_those_of_the_original():
    flags = Flags()
    assert (flags.iterations, flags.sigint_effect, flags.sighup_effect) == (
        50,
        "stop",
        "snapshot",
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-foo", "1"], "unknown command line flag 'foo'"),
        (["-nofoo"], "unknown command line flag 'nofoo'"),
        (["-nogpu"], "unknown command line flag 'nogpu'"),
        (["-gpu"], "flag '-gpu' is missing its argument"),
        (["-iterations", "x"], "illegal value 'x' specified for int32 flag"),
        (["-debug=x"], "illegal value 'x' specified for bool flag 'debug'"),
    ],
)
def test_what_is_wrong_is_said(arguments, text):
    with pytest.raises(FlagError, match=text):
        parse(arguments)


def test_the_table_describes_every_flag():
    assert (
        "    -gpu (GPUs to use, separated by ',', or 'all'; nothing for the CPU.) "
        in table()
    )
    assert table().count("\n") + 1 == len(vars(Flags()))


class TestFlagsOfATool:
    def test_are_its_own_and_the_common_ones(self):
        flags, rest = parse_as(ToolFlags, ["-size", "4", "in", "-minloglevel=1"])
        assert (flags.size, flags.minloglevel, rest) == (4, 1, ["in"])
        with pytest.raises(FlagError, match="unknown command line flag 'solver'"):
            parse_as(ToolFlags, ["-solver", "s"])

    def test_stand_before_the_common_ones_in_the_table(self):
        lines = table(ToolFlags).splitlines()
        assert lines[0] == "    -size (Size of things.) type: int32 default: 3"
        assert len(lines) == 1 + len(vars(CommonFlags()))

    def test_version_is_all(self, capsys):
        assert begin(ToolFlags(version=True))
        assert capsys.readouterr().out == "caffe version 1.0.0\n"
        assert not begin(ToolFlags())
