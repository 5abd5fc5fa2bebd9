from dataclasses import dataclass

import pytest

from caffe.cli.flags import CommandFlags, begin
from caffe.cli.flags import Flags as CaffeFlags
from caffe.flags import CommonFlags, FlagError, flag, flag_table, parse_flags
from pyunet_fiji.backend.flags import Flags as CaffeUnetFlags


@dataclass
class Flags(CommandFlags):
    """Flags of a tool."""

    n_tiles: str = flag("", "Number of tiles.")
    size: int = flag(3, "Size of things.")


def parse(arguments):
    return parse_flags(Flags, arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["act", "-n_tiles", "4"],
        ["act", "--n_tiles", "4"],
        ["-n_tiles=4", "act"],
        ["--n-tiles=4", "act"],
        ["-n_tiles", "4", "--", "act"],
        ["-n_tiles", "2", "-n_tiles", "4", "act"],
    ],
)
def test_flags_stand_anywhere_and_have_values_in_every_form(arguments):
    flags, rest = parse(arguments)
    assert (flags.n_tiles, rest) == ("4", ["act"])


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("-debug", True),
        ("--debug=true", True),
        ("-debug=1", True),
        ("-debug=T", True),
        ("-debug=yes", True),
        ("-debug=no", False),
        ("-nodebug", False),
        ("-nodebug=true", False),  # gflags forgets what follows
        ("--debug=false", False),
        ("--debug=F", False),
    ],
)
def test_a_switch_takes_no_argument_of_its_own(argument, expected):
    flags, rest = parse([argument, "act"])
    assert (flags.debug, rest) == (expected, ["act"])


def test_values_may_begin_with_a_minus_sign():
    assert parse(["-n_tiles", "-size"])[0].n_tiles == "-size"
    assert parse(["-size", "-1"])[0].size == -1


def test_two_minus_signs_end_the_flags():
    assert parse(["--", "-size"]) == (Flags(), ["-size"])


def test_a_single_dash_is_no_flag():
    assert parse(["-"])[1] == ["-"]


def test_numbers_may_be_hexadecimal_or_negative():
    assert parse(["-size", "0x10"])[0].size == 16
    assert parse(["-size=-3"])[0].size == -3


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-tiles", "4"], "unknown command line flag 'tiles'"),
        (["-nosize"], "unknown command line flag 'nosize'"),
        (["-size"], "flag '-size' is missing its argument"),
        (["-size", "x"], "illegal value 'x' specified for int32 flag 'size'"),
        (["-size", "1_0"], "illegal value '1_0' specified for int32 flag 'size'"),
        (
            ["-size", "2147483648"],
            "illegal value '2147483648' specified for int32 flag 'size'",
        ),
        (["-debug=x"], "illegal value 'x' specified for bool flag 'debug'"),
    ],
)
def test_a_wrong_flag_is_named(arguments, text):
    with pytest.raises(FlagError) as caught:
        parse(arguments)
    assert str(caught.value) == text


def test_all_wrong_flags_are_named_together():
    with pytest.raises(FlagError) as caught:
        parse(["-one", "-two=2"])
    assert caught.value.faults == (
        "unknown command line flag 'one'",
        "unknown command line flag 'two'",
    )


def test_help_goes_before_wrong_flags():
    assert parse(["-one", "-help"])[0].help


def test_the_table_has_a_line_a_flag_the_common_ones_last():
    lines = flag_table(Flags).splitlines()
    assert lines[1:3] == [
        '    -n_tiles (Number of tiles.) type: string default: ""',
        "    -size (Size of things.) type: int32 default: 3",
    ]
    assert len(lines) == 3 + len(vars(CommonFlags()))


def test_version_is_all(capsys):
    assert begin(Flags(version=True))
    assert capsys.readouterr().out == "caffe version 1.0.0\n"
    assert not begin(Flags())


def test_the_defaults_are_those_of_the_original():
    train = CaffeFlags()
    assert (train.iterations, train.sigint_effect, train.sighup_effect) == (
        50,
        "stop",
        "snapshot",
    )
    predict = CaffeUnetFlags()
    assert (predict.iterations, predict.n_channels, predict.gpu) == (50, 1, "")
    assert not predict.average_mirror
    assert not predict.average_rotate
