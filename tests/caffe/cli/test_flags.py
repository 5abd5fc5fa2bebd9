import pytest

from caffe.cli.flags import FlagError, Flags, parse, table


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
    assert "    -gpu (GPU to use, 'all', or nothing for the CPU) " in table()
    assert table().count("\n") + 1 == len(vars(Flags()))
