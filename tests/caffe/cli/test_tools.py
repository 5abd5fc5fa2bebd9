"""What all small commands do alike."""

import subprocess
import sys
from importlib import import_module

import pytest

from tests.support.pipes import run_unread

TOOLS = (
    "extract_features",
    "parse_log",
    "upgrade_net_proto_binary",
    "upgrade_net_proto_text",
    "upgrade_solver_proto_text",
)
UPGRADES = [name for name in TOOLS if name.startswith("upgrade")]


@pytest.mark.parametrize("name", TOOLS)
class TestEveryTool:
    @pytest.mark.parametrize("word", ["--help", "-h", "-help"])
    def test_help_shows_usage_and_an_example(self, name, word, capsys):
        assert import_module(f"caffe.cli.{name}").main([word]) == 0
        out, err = capsys.readouterr()
        assert out.startswith(f"usage: {name} ")
        assert "example:" in out
        assert err == ""

    def test_without_arguments_usage_is_shown_with_status_1(self, name, capsys):
        assert import_module(f"caffe.cli.{name}").main([]) == 1
        assert capsys.readouterr().out.startswith(f"usage: {name} ")

    def test_a_wrong_number_of_arguments_is_said_in_one_line(self, name, capsys):
        assert import_module(f"caffe.cli.{name}").main(["one"]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        (line,) = err.splitlines()
        assert line.startswith(f"{name}: ")
        assert line.endswith("(--help shows an example)")

    def test_help_needs_no_torch(self, name):
        code = (
            f"import sys; from caffe.cli.{name} import main; main(['--help']); "
            "print('torch' in sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == "False"

    def test_arguments_come_from_the_process(self, name, monkeypatch, capsys):
        monkeypatch.setattr(sys, "argv", [name, "--help"])
        assert import_module(f"caffe.cli.{name}").main() == 0
        assert capsys.readouterr().out.startswith(f"usage: {name} ")


@pytest.mark.parametrize("name", UPGRADES)
class TestUpgrades:
    def test_a_file_that_is_not_there_is_named(self, name, tmp_path, capsys):
        gone, new = tmp_path / "gone", tmp_path / "new"
        assert import_module(f"caffe.cli.{name}").main([str(gone), str(new)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line == f"{name}: {gone}: cannot read it: No such file or directory"
        assert list(tmp_path.iterdir()) == []


class TestErrors:
    @pytest.fixture
    def failing(self, monkeypatch):
        module = import_module("caffe.cli.upgrade_net_proto_text")

        def with_error(error):
            def work(words):
                raise error

            monkeypatch.setattr(module, "_work", work)
            return module.main

        return with_error

    def test_an_unforeseen_one_is_named_with_its_kind(self, failing, capsys):
        assert failing(KeyError("x"))(["a", "b"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line == "upgrade_net_proto_text: KeyError: 'x'"

    def test_debug_shows_where_it_was_raised(self, failing):
        with pytest.raises(KeyError):
            failing(KeyError("x"))(["a", "b", "--debug"])

    def test_ctrl_c_ends_with_the_shells_status(self, failing):
        assert failing(KeyboardInterrupt())(["a", "b"]) == 130


@pytest.mark.parametrize(
    "words", [["caffe.cli", "--help"], ["caffe.cli.parse_log", "--help"]]
)
def test_a_reader_that_goes_away_ends_a_command_quietly(words):
    module, *rest = words
    program = f"import sys; from {module} import main; sys.exit(main({rest}))"
    done = run_unread([sys.executable, "-c", program])
    assert done.stderr == b""
    assert done.returncode == 141
