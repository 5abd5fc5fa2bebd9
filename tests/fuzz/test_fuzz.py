"""The fuzz targets for a moment, and what finds and counts their failures."""

from __future__ import annotations

import faulthandler
import os
import random
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from tests.fuzz import campaign, target
from tests.fuzz.campaign import Campaign, replay_once_failed
from tests.fuzz.mutation import LARGEST, mutate_bytes, mutate_lines, mutate_message
from tests.fuzz.run import main
from tests.fuzz.target import BadTextError, Target, check_text, find, refusing
from tests.fuzz.worker import failure_of

ROOT = Path(__file__).parents[2]
TARGETS = find()
SOUND = [b"one line\nand another one\n", b"abc"]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "2")


def run(*arguments, folder):
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz.run", *arguments, f"--work={folder}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


class TestTargets:
    def test_stand_some_damaged_files_each(self, tmp_path):
        done = run("all", "--executions", "5", folder=tmp_path)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
        for name in TARGETS:
            expected = f"fuzz: {name}: 5 executions in all (seed 1), 0 distinct"
            assert expected in done.stdout

    @pytest.mark.filterwarnings("ignore")  # of libraries, as in the commands
    @pytest.mark.parametrize("name", TARGETS)
    def test_accept_the_sound_files_that_they_start_from(
        self, name, tmp_path, monkeypatch
    ):
        """Else fuzzing would start from files that are refused at once."""
        monkeypatch.chdir(tmp_path)
        sound = TARGETS[name].seeds()
        assert any(not file.startswith("odd") for file in sound)
        for file, data in sound.items():
            before = target.refusals[0]
            assert failure_of(TARGETS[name], data, tmp_path) is None
            if not file.startswith("odd"):
                assert target.refusals[0] == before, file

    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize("name", TARGETS)
    def test_stand_what_they_once_failed_at(self, name, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert replay_once_failed(TARGETS[name], tmp_path) == {}

    def test_have_committed_inputs_only_under_their_own_names(self):
        kept = {path.name for path in (ROOT / "tests/fuzz/failed").glob("*")}
        assert kept <= set(TARGETS)


@pytest.fixture
def campaign_of(tmp_path):
    """Give a function that runs a target for some inputs, and returns the campaign."""

    def start(run, executions, *, seed=1):
        made = Campaign(
            Target("toy", run, lambda: {"a": SOUND[0]}), tmp_path, seed=seed
        )
        with warnings.catch_warnings():  # of forks in a process with threads
            warnings.simplefilter("ignore", DeprecationWarning)
            made.run(seconds=None, executions=executions)
        return made

    return start


def nothing(data, folder):
    """A reader that accepts everything."""


def faulty(data, folder):
    raise ZeroDivisionError


class TestCampaign:
    def test_goes_on_where_it_stopped(self, campaign_of, tmp_path):
        log = tmp_path / "seen"

        def seen(data, folder):
            with log.open("ab") as file:
                file.write(data + b"|")

        assert campaign_of(seen, 7).state.executions == 7
        assert campaign_of(seen, 5).state.executions == 12
        in_parts = log.read_bytes()
        log.unlink()
        (tmp_path / "toy" / "state.json").unlink()
        campaign_of(seen, 12)
        assert log.read_bytes() == in_parts

    def test_counts_what_fails_alike_once_and_keeps_the_smallest(
        self, campaign_of, tmp_path
    ):
        made = campaign_of(faulty, 30)
        ((key, kept),) = made.state.failures.items()
        assert key.startswith("ZeroDivisionError-tests-fuzz-test_fuzz.py-faulty")
        assert kept["times"] == 30
        assert made.state.executions == 30
        rng = (random.Random(f"1:toy:{number}") for number in range(30))
        made_again = [Target("toy", faulty, dict).make([SOUND[0]], r) for r in rng]
        (path,) = (tmp_path / "toy" / "failures").glob("*.input")
        assert path.read_bytes() == min(made_again, key=len)
        assert "ZeroDivisionError" in path.with_suffix(".txt").read_text()

    @pytest.mark.parametrize(
        ("end", "kind"),
        [
            (faulthandler._sigsegv, "SIGSEGV"),
            (lambda: os.kill(os.getpid(), 7), "SIGBUS"),
            (lambda: os._exit(3), "Exit3"),
            (lambda: sys.exit(3), "SystemExit"),
            (lambda: bytearray(3 << 30), "MemoryError"),
            (lambda: os.write(2, b"libtiff: warning"), "Printed"),
        ],
    )
    def test_survives_what_an_input_does(self, end, kind, campaign_of):
        seen = []

        def at_the_third(data, folder):
            seen.append(data)
            if len(seen) == 3:
                end()

        made = campaign_of(at_the_third, 4)
        (key,) = made.state.failures
        assert key.startswith(kind)
        assert made.state.failures[key]["number"] == 2
        assert made.state.executions == 4

    def test_ends_an_input_that_hangs(self, campaign_of, monkeypatch):
        monkeypatch.setattr(campaign, "SECONDS_AN_INPUT", 0)
        monkeypatch.setattr(campaign, "_WINDOW", 0.01)
        made = campaign_of(lambda data, folder: time.sleep(60), 2)
        assert {key[:4] for key in made.state.failures} == {"Hang"}
        assert made.state.executions == 2

    def test_forgets_a_failure_that_was_mended(self, campaign_of, tmp_path):
        assert campaign_of(faulty, 3).state.failures
        made = campaign_of(nothing, 3)
        assert made.state.failures
        made.replay()
        assert made.state.failures == {}
        assert not list((tmp_path / "toy" / "failures").iterdir())

    def test_tells_the_totals(self, campaign_of, tmp_path, capsys):
        campaign_of(nothing, 5, seed=8)
        assert main(["--totals", f"--work={tmp_path}"]) == 0
        rows = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert rows[1][:3] == ["toy", "5", "0.00"]
        assert rows[1][4:] == ["8", "0"]
        assert rows[2] == ["all", "5", "0"]

    def test_an_unknown_target_is_an_error(self, tmp_path, capsys):
        assert main(["nosuch", "1", f"--work={tmp_path}"]) == 2
        assert "no target 'nosuch'" in capsys.readouterr().out


class TestRefusing:
    def test_an_error_that_is_meant_ends_there_and_is_counted(self):
        before = target.refusals[0]
        with refusing():
            raise CaffeError("no net")
        assert target.refusals[0] == before + 1

    @pytest.mark.parametrize("text", ["", "a\nb", "\x1b[31m", "\udc80", "a" * 601])
    def test_a_text_that_is_no_short_line_is_a_failure(self, text):
        with pytest.raises(BadTextError):
            check_text(ValueError(text))

    def test_what_an_error_of_the_package_says_is_always_a_short_line(self):
        for text in ("a\nb\r\x00\x1b", "\u202e\ufeff\u2028\udc80", "a" * 5000):
            check_text(CaffeError(text))


class TestMutation:
    @pytest.mark.parametrize("mutate", [mutate_bytes, mutate_lines])
    def test_of_bytes_follows_from_the_random_numbers(self, mutate):
        made = [[mutate(SOUND, random.Random(i)) for i in range(50)] for _ in "ab"]
        assert made[0] == made[1]
        assert len(set(made[0])) > 30

    def test_of_messages_keeps_the_schema_and_reaches_its_parts(self):
        changed = set()
        for number in range(300):
            net = caffe_pb2.NetParameter(name="n")
            net.layer.add(name="a", type="Pooling").pooling_param.kernel_size.append(2)
            mutate_message(net, random.Random(number))
            again = caffe_pb2.NetParameter.FromString(net.SerializePartialToString())
            changed.add(str(again))
        assert len(changed) > 150
        assert any("stride" in text for text in changed)
        assert len(net.SerializePartialToString()) < LARGEST
