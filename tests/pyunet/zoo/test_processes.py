"""Several processes may share the cache folder, and each may end at any moment."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from caffe.proto import caffe_pb2
from pyunet.zoo.fetching import fetch, verify
from pyunet.zoo.manifest import entries, find_entry, state
from tests.support.listed_models import table, write_threshold_net

ROOT = Path(__file__).parents[3]
PROGRAM = """
import os, signal, sys
from pathlib import Path
from pyunet import cli
from pyunet.zoo import fetching, manifest
listed, die_in, *words = sys.argv[1:]
manifest.package_manifest = lambda: Path(listed)
if die_in:
    setattr(fetching, die_in, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
sys.exit(cli.main(words))
"""
HEAD = 8 * 10**4  # bytes that make the download take a while


@pytest.fixture
def run(listed):
    """Give a function that starts ``pyunet`` in a process of its own."""
    started = []

    def start(*words, die_in=""):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, listed.folder / "manifest.toml", die_in,
             *words],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def model(site, listed, tmp_path):
    """A published model without a known checksum, whose layers are to be renamed."""
    _, weights = write_threshold_net(tmp_path / "own", layer="score_New")
    net = caffe_pb2.NetParameter.FromString(weights.read_bytes())
    net.name = "x" * HEAD
    site.files["/net"] = net.SerializeToString()
    write_threshold_net(listed.folder)
    text = table("bright", urls=[f"{site.url}/net"])
    return listed(text + "[bright.rename]\nscore_New = 'score'\n")["bright"]


def check(model, site, cache):
    """See that the model is whole, pinned to what the site has, and nothing else."""
    assert state(model) == "here"
    net = caffe_pb2.NetParameter.FromString(model.weights_path.read_bytes())
    assert [layer.name for layer in net.layer] == ["score"]
    pinned = (cache / "bright" / "download.sha256").read_text()
    assert pinned == hashlib.sha256(site.files["/net"]).hexdigest()
    assert verify(model) == "as it was fetched (pinned)"
    assert sorted(path.name for path in (cache / "bright").iterdir()) == [
        "bright.caffemodel", "download.sha256", "fetched.json",
    ]  # fmt: skip


def test_a_model_that_several_processes_fetch_comes_once(model, run, site, cache):
    site.pause_s = 0.01
    processes = [run("zoo", "fetch", "bright") for _ in range(3)]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert out == f"{model.weights_path}\n"
    assert site.requests == [("/net", None)]
    check(model, site, cache)


@pytest.mark.parametrize(
    "place", ["_unpack", "_check_weights", "rename_layers", "_pin", "_put", "sha256_of"]
)
def test_a_fetch_that_was_killed_is_not_taken_for_done(model, run, site, cache, place):
    process = run("zoo", "fetch", "bright", die_in=place)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert state(model) == "to fetch"
    fetch(model)
    check(model, site, cache)


def test_a_fetch_that_was_killed_as_it_said_so_is_not_taken_for_done(
    model, run, site, cache, monkeypatch
):
    fetch(model)
    process = run("zoo", "fetch", "bright", "--again", die_in="atomic_path")
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert state(model) == "to fetch"
    fetch(model)
    check(model, site, cache)


def test_what_a_killed_process_had_of_a_download_is_gone_on_from(
    model, run, site, cache
):
    site.pause_s = 0.01
    process = run("zoo", "fetch", "bright")
    part = cache / "bright" / "download.part"
    while not part.is_file() or part.stat().st_size < HEAD // 4:
        assert process.poll() is None
    process.kill()
    process.communicate()
    site.pause_s = 0.0
    fetch(model)
    (_, first), (_, second) = site.requests
    assert first is None
    assert second.startswith("bytes=")
    check(model, site, cache)


ADDS = """
import sys
from pathlib import Path
from pyunet.zoo.adding import add_model
weights, net, *names = sys.argv[1:]
for name in names:
    add_model(name, Path(weights), Path(net), {"what": "cells"})
"""


def test_models_that_are_added_at_once_are_all_in_the_list(listed, tmp_path):
    net, weights = write_threshold_net(tmp_path / "own")
    names = [f"mine{number:02}" for number in range(20)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ADDS, weights, net, *names[first::4]],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for first in range(4)
    ]
    assert [process.wait(300) for process in processes] == [0] * 4
    assert sorted(set(entries()) & set(names)) == names
    for name in names:
        assert verify(find_entry(name)) == "as its list says"
