"""A short slice of ``tools/crash.sh``: kills of each quick job lose nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="the campaign forks, and reads /proc"
)


def crash(*words):
    command = [sys.executable, "-m", "tests.crash.run", *map(str, words)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )


def test_killed_trainings_and_conversions_lose_nothing(tmp_path):
    words = (1, "--only", "train (", "--only", "data make", "--work", tmp_path)
    for total in (1, 2):  # it goes on where it stopped
        run = crash(*words)
        assert (run.returncode, run.stderr.count("crash: ")) == (0, 0), run.stderr
        tally = json.loads((tmp_path / "tally.json").read_text())
        assert sum(tally["kills"].values()) == total
    assert [path.name for path in tmp_path.iterdir()] == ["tally.json"]
