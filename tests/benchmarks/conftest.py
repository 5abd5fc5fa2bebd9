"""Lets tests import the scripts of benchmarks/, which find each other there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))


@pytest.fixture
def script(tmp_path):
    """Call a script with its cache in the test's own folder; what it wrote."""

    def call(name, *words, status=0):
        done = subprocess.run(
            [sys.executable, BENCHMARKS / name, *map(str, words)],
            env={**os.environ, "PYUNET_BENCHMARKS": str(tmp_path / "cache")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout
        return done.stdout

    return call
