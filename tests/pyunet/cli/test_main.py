import contextlib
import logging
import signal
import subprocess
import sys
import types

import pytest

import pyunet
from pyunet import cli
from pyunet.cli.saying import say
from pyunet.errors import DataError
from tests.support.pipes import run_unread


@pytest.fixture
def verb(monkeypatch):
    """A verb named data whose work the test gives."""
    module = types.ModuleType("pyunet.cli.data")
    module.HELP = "a verb"
    module.add_arguments = lambda parser: parser.add_argument("--word")
    monkeypatch.setitem(sys.modules, "pyunet.cli.data", module)

    def use(run):
        module.run = run

    return use


def raiser(error):
    def run(args):
        raise error

    return run


def test_the_version_is_printed(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"pyunet {pyunet.__version__}\n"


def test_the_exit_status_is_the_verbs(verb):
    verb(lambda args: 3 if args.word == "three" else 0)
    assert cli.main(["data", "--word", "three"]) == 3
    assert cli.main(["data"]) == 0


def test_an_error_is_one_line_that_names_the_verb(verb, capsys):
    verb(raiser(DataError("a.tif: is no TIFF image")))
    assert cli.main(["data"]) == 1
    assert capsys.readouterr().err == "pyunet data: a.tif: is no TIFF image\n"


def test_a_name_from_outside_forges_no_line_and_turns_no_colours(verb, capsys):
    verb(raiser(DataError("a\npyunet data: all is well\x1b[2K.tif: is no image")))
    assert cli.main(["data"]) == 1
    expected = r"pyunet data: a\npyunet data: all is well\x1b[2K.tif: is no image"
    assert capsys.readouterr().err == expected + "\n"


def test_what_is_printed_of_a_long_error_has_at_most_600_characters(verb, capsys):
    verb(raiser(DataError(f"{'a' * 900}.tif: is no image; expected images")))
    assert cli.main(["data"]) == 1
    said = capsys.readouterr().err
    assert 400 < len(said) <= 600
    assert said.endswith("expected images\n")


def test_running_out_of_memory_is_one_line_that_says_so(verb, capsys):
    verb(raiser(MemoryError()))
    assert cli.main(["data"]) == 1
    assert capsys.readouterr().err == "pyunet data: out of memory\n"


def test_an_error_nobody_raised_on_purpose_says_its_kind(verb, capsys):
    verb(raiser(KeyError("x")))
    assert cli.main(["data"]) == 1
    expected = (
        "pyunet data: a fault of pyunet itself, please report it: KeyError: 'x'\n"
    )
    assert capsys.readouterr().err == expected


def test_a_missing_file_is_named(verb, capsys):
    verb(raiser(FileNotFoundError(2, "No such file or directory", "a.tif")))
    assert cli.main(["data"]) == 1
    assert capsys.readouterr().err.endswith("No such file or directory: 'a.tif'\n")


@pytest.mark.parametrize("words", [["--debug", "data"], ["data", "--debug"]])
def test_debug_raises_the_error(verb, words):
    verb(raiser(DataError("bad")))
    with pytest.raises(DataError, match="bad"):
        cli.main(words)


def test_an_interrupt_is_no_traceback(verb, capsys):
    verb(raiser(KeyboardInterrupt()))
    assert cli.main(["data"]) == 130
    assert capsys.readouterr().err == "pyunet data: interrupted\n"


def test_messages_of_the_package_are_shown(verb, capsys):
    def run(args):
        logging.getLogger("pyunet.data").info("understood")
        return 0

    verb(run)
    cli.main(["data"])
    assert capsys.readouterr().err == "understood\n"


def test_a_name_in_a_message_cannot_make_a_line_of_its_own(verb, capsys):
    def run(args):
        logging.getLogger("pyunet.data").info("%s: read", "a\npyunet: done\x1b[2J")
        say("b\nc: written")
        return 0

    verb(run)
    cli.main(["data"])
    said = capsys.readouterr()
    assert said.err == "a\\npyunet: done\\x1b[2J: read\n"
    assert said.out == "b\\nc: written\n"


def test_an_unknown_verb_lists_the_known_ones(capsys):
    assert cli.main(["dance"]) == 2
    assert "data" in capsys.readouterr().err


def test_help_loads_neither_numpy_nor_torch():
    program = (
        "import sys; from pyunet.cli import main; status = main(['--help']);"
        "print(status, sorted({'numpy', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("0 []\n")


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "pyunet", "--version"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == f"pyunet {pyunet.__version__}\n"


WAITS = """
import os, signal, sys, time, types
from pathlib import Path
from pyunet import cli
from pyunet.files import atomic_path
def run(args):
    try:
        with atomic_path(Path("a.tif")) as draft:
            draft.write_bytes(b"half")
            print("there", flush=True)
            time.sleep(600)
    finally:
        if "again" in sys.argv:
            os.kill(os.getpid(), signal.SIGHUP)
        assert os.listdir() == []
module = types.ModuleType("pyunet.cli.data")
module.HELP, module.run = "a verb", run
module.add_arguments = lambda parser: None
sys.modules["pyunet.cli.data"] = module
sys.exit(cli.main(["data"]))
"""


@pytest.mark.parametrize("again", [[], ["again"]])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_signals_end_a_verb_without_leaving_files(tmp_path, name, again):
    with waiting(tmp_path, *again) as process:
        process.send_signal(signal.Signals[name])
        _, said = process.communicate(timeout=60)
    how = "interrupted" if name == "SIGINT" else f"ended by {name}"
    if name != "SIGINT" or not again:
        assert said == f"pyunet data: {how}\n"
        assert process.returncode == 128 + signal.Signals[name]
    assert list(tmp_path.iterdir()) == []


def test_a_verb_under_nohup_outlives_its_terminal(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with waiting(tmp_path) as process:
            process.send_signal(signal.SIGHUP)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.2)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 128 + signal.SIGTERM
    finally:
        signal.signal(signal.SIGHUP, before)


@contextlib.contextmanager
def waiting(folder, *words):
    """Start a verb that has half of a file and waits."""
    with subprocess.Popen(
        [sys.executable, "-c", WAITS, *words],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout.readline() == "there\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    "words", [["zoo", "list"], ["zoo", "info", "cells"], ["doctor"]]
)
@pytest.mark.parametrize("buffered", [True, False])
def test_a_reader_that_goes_away_ends_a_command_quietly(words, buffered):
    options = [] if buffered else ["-u"]
    done = run_unread([sys.executable, *options, "-m", "pyunet", *words])
    assert done.stderr == b""
    assert done.returncode == 141
