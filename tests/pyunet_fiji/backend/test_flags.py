"""Flags in the manner of gflags."""

import pytest

from pyunet_fiji.backend.flags import FlagError, parse, table


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
    ("argument", "wanted"),
    [
        ("-average_mirror", True),
        ("--average_mirror=true", True),
        ("-average_mirror=1", True),
        ("-average_mirror=no", False),
        ("-noaverage_mirror", False),
        ("--average_mirror=F", False),
    ],
)
def test_a_switch_takes_no_argument_of_its_own(argument, wanted):
    flags, rest = parse([argument, "act"])
    assert (flags.average_mirror, rest) == (wanted, ["act"])


def test_a_value_may_look_like_a_flag():
    assert parse(["-model", "-gpu"])[0].model == "-gpu"


def test_a_single_dash_is_no_flag():
    assert parse(["-"])[1] == ["-"]


def test_defaults_are_those_of_the_original():
    flags, _ = parse([])
    assert (flags.iterations, flags.n_channels, flags.gpu) == (50, 1, "")
    assert not flags.average_mirror
    assert not flags.average_rotate


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["-tiles", "4"], "unknown command line flag 'tiles'"),
        (["-nomodel"], "unknown command line flag 'nomodel'"),
        (["-model"], "flag '-model' is missing its argument"),
        (
            ["-iterations", "two"],
            "illegal value 'two' specified for int32 flag 'iterations'",
        ),
        (
            ["-iterations", "2147483648"],
            "illegal value '2147483648' specified for int32 flag 'iterations'",
        ),
        (
            ["-average_mirror=perhaps"],
            "illegal value 'perhaps' specified for bool flag 'average_mirror'",
        ),
    ],
)
def test_a_wrong_flag_is_named(arguments, wanted):
    with pytest.raises(FlagError) as caught:
        parse(arguments)
    assert str(caught.value) == wanted


def test_all_wrong_flags_are_named_together():
    with pytest.raises(FlagError) as caught:
        parse(["-one", "-two=2"])
    assert str(caught.value).splitlines() == [
        "unknown command line flag 'one'",
        "unknown command line flag 'two'",
    ]


def test_help_goes_before_wrong_flags():
    assert parse(["-one", "-help"])[0].help


def test_numbers_may_be_hexadecimal_or_negative():
    assert parse(["-iterations", "0x10"])[0].iterations == 16
    assert parse(["-iterations=-3"])[0].iterations == -3


def test_the_table_has_one_line_a_flag_with_type_and_default():
    lines = table().splitlines()
    assert any(
        line.startswith("    -iterations (")
        and line.endswith("type: int32 default: 50")
        for line in lines
    )
    assert any(line.endswith('type: string default: ""') for line in lines)
