"""docs/start.md is run as it is written."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.doc_commands import FENCED, ROOT

PAGE = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
# a download would fail at once
NO_NETWORK = dict.fromkeys(
    ("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9"
)


def script():
    """Join all blocks but the set-up, which tools/test.sh itself begins with."""
    parts = []
    for _, kind, body in FENCED.findall(PAGE):
        if kind == "sh":
            parts.append(body)
        elif kind == "python":
            parts.append(f"python - <<'END'\n{body}END\n")
    return "\n".join(parts)


def run_page(folder):
    environment = {
        **os.environ,
        **NO_NETWORK,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYUNET_CACHE": str(folder / "cache"),
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        ["bash", "-e", "-c", script()], cwd=folder, env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_every_command_runs_without_a_network_and_leaves_what_the_page_says(tmp_path):
    done = run_page(tmp_path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "('membrane', 'inside') (256, 256) (2, 256, 256)" in done.stdout

    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    named = set(re.findall(r"^\| `([\w.]+)` \|", PAGE, re.MULTILINE))
    assert len(named) == 5
    assert named <= left

    with open(tmp_path / "first/counted/images_objects.csv", newline="") as file:
        assert len(list(csv.reader(file))) > 10  # the truth has dozens of cells


def test_the_page_uses_each_model_that_it_names():
    models = set(re.findall(r"--model ([\w-]+)", script()))
    assert models == {"demo", "em-membranes", "cells"}
